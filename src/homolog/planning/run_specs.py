"""What does each job inside a run depend on: training it, recording and decomposing it, or taking what others made?"""

from __future__ import annotations

import os
from pathlib import Path

from homolog.config import Config
from homolog.config.decompositions import Fitted
from homolog.config.given import GivenOptions
from homolog.config.models import ExternalOptions
from homolog.config.network_models import NetworkRecipe
from homolog.config.training import TrainingOptions
from homolog.planning.runs import Run, Spec, architecture, has_objective, is_external, parent, recipe, task
from homolog.registry import CORPORA, METHODS


def train(config: Config, run: Run) -> Spec:
    given = recipe(config, run)
    return {
        "run": {"model": run.source, "seed": run.seed},
        "task": task(given),
        "architecture": architecture(given),
        "training": _training(given.training, 0 if run.regauged else run.step),
        "reinitialise": [] if run.regauged else given.reinitialise,
        "symmetry": [run.regauged] if run.regauged else [],
    }


def dump_activations(config: Config, run: Run) -> Spec:
    given = recipe(config, run)
    return {
        "task": task(given),
        "architecture": architecture(given),
        **given.activations.model_dump(mode="json"),
    }


def take_activations(config: Config, run: Run) -> Spec:
    given = _external(config, run)
    alone = len(given.hook_points) == 1
    paths = [{"hook_point": name, "path": given.source(run.seed, name)} for name in given.hook_points]
    return {
        # Others' files may be those of several runs: without it these would ask for one and the same.
        "run": {"model": run.model, "seed": run.seed},
        "sources": [{**source, "alone": alone} for source in paths],
        "n_test": given.n_test,
    }


def train_network(config: Config, run: Run) -> Spec:
    given = _network(config, run)
    if given.training is None:
        raise ValueError(f"{run} isn't trained here.")
    return {
        "run": {"model": run.source, "seed": run.seed},
        "network": given.network.spec(given.number(run.seed)),
        "corpus": corpus(given),
        "objective": given.objective,
        "training": _training(given.training, run.step),
        # Its weights are an input, where there are any that were found here.
        "parent": given.parent and f"{given.parent.model}/seed_{given.parent.seed}",
        "reinitialise": given.reinitialise,
    }


def _training(given: TrainingOptions, step: int | None) -> Spec:
    """The whole training, or its first steps; nothing else matters where there are none."""
    if step == 0:
        return {"steps": 0}
    return given.model_dump(mode="json") | ({} if step is None else {"steps": step})


def corpus(given: NetworkRecipe) -> Spec:
    """What a network is fed, as jobs build it."""
    data = given.data.model_dump(mode="json")
    return {"target": CORPORA[data.pop("name")], **data}


def dump_network(config: Config, run: Run) -> Spec:
    given = _network(config, run)
    return {
        "network": given.network.spec(given.number(run.seed)),
        "corpus": corpus(given),
        **given.activations.model_dump(mode="json", exclude={"hook_points", "streams"}),
        "points": given.activations.named(),
        "streams": given.activations.fixed(),
    }


def network_files(config: Config, run: Run) -> list[str]:
    """Files that a network is made of: its weights, its configuration, its module."""
    given = _network(config, run)
    return given.network.inputs(given.number(run.seed))


def fed_files(config: Config, run: Run) -> list[str]:
    """Files of the corpus that a network from outside is fed."""
    return _network(config, run).data.files()


def recorded_files(config: Config, run: Run) -> list[str]:
    """Files with the activations of an external run."""
    given = _external(config, run)
    return list(dict.fromkeys(given.source(run.seed, name) for name in given.hook_points))


def decompose(config: Config, run: Run, hook_point: str, decomposition: str) -> Spec:
    options = fitted(config, decomposition)
    given = None if is_external(config, run) else recipe(config, run)
    return {
        # Untrained and regauged share the streams of their source: one is its step 0, the other must equal it. A null
        # must share none, nor a step that is compared with the end.
        "run": {"model": run.model if run.is_gaussian or run.step else run.source, "seed": run.seed},
        **({"gaussian": True} if run.is_gaussian else {}),
        "task": given and task(given),
        "architecture": given and architecture(given),
        "spliced": _spliced(config, run, hook_point),
        "hook_point": hook_point,
        "partner": next(iter(options.partners()), None),
        **method(options, decomposition),
        # One draw of a null is enough: its seed is compared with all others.
        "seeds": options.member_seeds()[: 1 if run.is_gaussian else None],
    }


def _spliced(config: Config, run: Run, hook_point: str) -> Spec | None:
    """How a reconstruction is spliced into a network by its modules; None where its objective isn't known."""
    if not has_objective(config, run):
        return None
    given = _network(config, run)
    return {
        "target": "homolog.networks.splicing:Spliced",
        "network": given.network.spec(given.number(run.seed)),
        "corpus": corpus(given),
        "objective": given.objective,
        "point": given.activations.named()[hook_point],
    }


def imitated(config: Config, run: Run) -> Run | None:
    """The run whose network this one imitates, if it does."""
    return parent(config, run) if has_objective(config, run) and _network(config, run).objective == "imitate" else None


def method(options: Fitted, name: str) -> Spec:
    """How a decomposition is fitted, and the names of its grid points."""
    return {
        "name": name,
        "method": METHODS[options.method],
        "gauge": options.gauge,
        "grid": options.expand(),
        "labels": options.labels(name),
    }


def fitted(config: Config, name: str) -> Fitted:
    """The options of a decomposition that is fitted here; a ValueError for others."""
    options = config.decompositions[name]
    if isinstance(options, GivenOptions):
        raise ValueError(f"{name} is given, and nothing is fitted.")
    return options


def take_dictionaries(config: Config, run: Run, hook_point: str, decomposition: str) -> Spec:
    given = _given(config, decomposition)
    paths = given.paths(run.model, run.seed, hook_point)
    named = {"run": {"model": run.model, "seed": run.seed}, "hook_point": hook_point, "name": decomposition}
    return {**named, "paths": paths, "gauge": given.gauge, "task": None, "spliced": _spliced(config, run, hook_point)}


def given_files(config: Config, run: Run, hook_point: str, decomposition: str) -> list[str]:
    """Files of the dictionaries that are given of a run; all files of a folder."""
    paths = _given(config, decomposition).paths(run.model, run.seed, hook_point)
    return [file for path in paths for file in _files_of(path)]


def _files_of(path: str) -> list[str]:
    """A file itself; of a folder its files, so that a change in one of them is seen."""
    if not os.path.isdir(path):
        return [path]
    return sorted(str(file) for file in Path(path).iterdir() if file.is_file())


def _external(config: Config, run: Run) -> ExternalOptions:
    external = config.external(run.model)
    if external is None:
        raise ValueError(f"{run} is no run of an external model.")
    return external


def _network(config: Config, run: Run) -> NetworkRecipe:
    network = config.network(run.source)
    if network is None:
        raise ValueError(f"{run} is no run of a network by its modules.")
    return network


def _given(config: Config, name: str) -> GivenOptions:
    options = config.decompositions[name]
    if not isinstance(options, GivenOptions):
        raise ValueError(f"{name} is fitted, not given.")
    return options
