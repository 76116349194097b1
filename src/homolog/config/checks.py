"""Do the parts of config.yaml fit together? (What no single value can tell: names, hook points, sizes.)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homolog.config.check_experiments import check_experiment, check_made
from homolog.config.check_external import check_external_experiment
from homolog.config.check_models import check_model, check_parents, in_order_of_descent
from homolog.config.check_names import check_names
from homolog.config.check_networks import check_network, check_retrained
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import MadeExperiment
from homolog.config.models import ExternalModel, Recipe, RetrainedModel
from homolog.config.network_models import NetworkModel, NetworkRecipe
from homolog.config.problems import Names, Problem
from homolog.config.root import Config


def check(config: Config, names: Mapping[str, Names]) -> Iterator[Problem]:
    """Every contradiction between the readable parts of a configuration."""
    yield from check_parents(config.models, names["models"])
    recipes: dict[str, Recipe] = {}
    networks: dict[str, NetworkRecipe] = {}
    for name in in_order_of_descent(config.models):
        model = config.models[name]
        if isinstance(model, NetworkModel):
            yield from check_network(name, model, networks)
        elif isinstance(model, RetrainedModel) and model.parent.model in networks:
            yield from check_retrained(name, model, networks)
        elif not isinstance(model, ExternalModel):
            yield from check_model(name, model, recipes)
    yield from check_decompositions(config.decompositions)
    yield from check_names(config, names)
    for name, experiment in config.experiments.items():
        path = ("experiments", name)
        if isinstance(experiment, MadeExperiment):
            yield from check_made(path, experiment, config.decompositions, names)
        else:
            yield from check_experiment(path, experiment, config.decompositions, recipes, networks, names)
            yield from check_external_experiment(path, experiment, config.decompositions, config.models, networks)


def check_decompositions(decompositions: Mapping[str, Decomposition]) -> Iterator[Problem]:
    """Every contradiction between the hyper-parameters of one decomposition."""
    for name, decomposition in decompositions.items():
        for key, text in decomposition.contradictions():
            yield ("decompositions", name, key), text
