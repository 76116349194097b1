"""Can an experiment compare runs without a task: networks by their modules, and what others recorded?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homolog.config.analyses import OF_ACTIVATIONS
from homolog.config.check_networks import check_steps, fed
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.models import ExternalModel, ExternalOptions, Model
from homolog.config.network_models import NetworkRecipe
from homolog.config.problems import Path, Problem, listed, nearest, shortened
from homolog.config.sparse_autoencoders import JointOptions
from homolog.networks.points import is_glob

# What is said of a model without a task: recorded elsewhere, or read here.
Outside = ExternalOptions | NetworkRecipe


def check_external_experiment(
    path: Path,
    experiment: RunsExperiment,
    decompositions: Mapping[str, Decomposition],
    models: Mapping[str, Model],
    networks: Mapping[str, NetworkRecipe],
) -> Iterator[Problem]:
    """Every contradiction of an experiment with external models; nothing of one without, but that none is given."""
    named = list(dict.fromkeys(name for condition in experiment.conditions.values() for name in condition.models))
    named += [known.parent.model for name in named if (known := networks.get(name)) and known.parent]
    external = {name: one for name in named if (one := _outside(models.get(name)) or networks.get(name))}
    used = {name: decompositions[name] for name in experiment.decompositions if name in decompositions}
    if not external:
        given = [name for name, one in used.items() if isinstance(one, GivenOptions)]
        if given and all(name in models for name in named):
            yield (
                (*path, "decompositions"),
                f"{listed(given)}, of models that are trained here ({listed(named)}); allowed: given dictionaries of "
                "external models; compare them with homolog.compare, which takes the runs' activations.h5 too",
            )
        return
    trained = [name for name in named if name in models and name not in external]
    if trained:
        yield (
            (*path, "conditions"),
            f"external models ({listed(external)}) beside models with a task ({listed(trained)}); allowed: "
            "all of one kind, as they must see the same inputs; make experiments of their own of them",
        )
    yield from _check_data(path, external)
    yield from _check_runs(path, experiment, external)
    yield from _check_hook_points(path, experiment, external)
    yield from _check_used(path, experiment, used, external)


def _outside(model: Model | None) -> Outside | None:
    """What is said of a model that others recorded."""
    return model.external if isinstance(model, ExternalModel) else None


def _check_data(path: Path, external: Mapping[str, Outside]) -> Iterator[Problem]:
    """Networks from outside must be fed the same; what others recorded can't be told to be."""
    data = {name: fed(one) for name, one in external.items() if isinstance(one, NetworkRecipe)}
    if data and (len(data) < len(external) or len(set(data.values())) > 1):
        yield (
            (*path, "conditions"),
            f"models that are fed different data ({listed(external)}); allowed: networks with equal `data`, so that "
            "all are compared on the same rows; make them equal, or experiments of their own",
        )


def _check_runs(path: Path, experiment: RunsExperiment, external: Mapping[str, Outside]) -> Iterator[Problem]:
    for label, condition in experiment.conditions.items():
        here = (*path, "conditions", label)
        for name in condition.models:
            runs = external[name].listed if name in external else None
            if runs is not None and max(condition.seeds) >= runs:
                where = "network" if isinstance(external[name], NetworkRecipe) else "external.activations"
                yield (
                    (*here, "seeds"),
                    f"{max(condition.seeds)}, of {name}, which has {runs} paths; allowed: 0 to {runs - 1}; "
                    f"add a path to models.{name}.{where}",
                )
        recorded = [name for name in condition.models if isinstance(external.get(name), ExternalOptions)]
        yield from check_steps((*here, "steps"), condition.steps, dict.fromkeys(recorded))
        alone = len(condition.models) * len(condition.seeds) == 1
        if alone and recorded == condition.models:
            yield here, "one run, so nothing to compare it with; allowed: at least two runs; add a seed or a model"
    n_test = {name: one.n_test for name, one in external.items() if isinstance(one, ExternalOptions)}
    if len(set(n_test.values())) > 1:
        seen = listed(f"{name}: {number}" for name, number in n_test.items())
        yield (
            (*path, "conditions"),
            f"external models with different n_test ({seen}); allowed: one number, so that all are compared on the "
            "same rows; make them equal",
        )


def _check_hook_points(path: Path, experiment: RunsExperiment, external: Mapping[str, Outside]) -> Iterator[Problem]:
    for point in experiment.hook_points:
        for name, one in external.items():
            if not is_glob(point) and not any(map(is_glob, one.hook_points)) and point not in one.hook_points:
                yield (
                    (*path, "hook_points"),
                    f"{shortened(point)} isn't a hook point of {name}; it has: {listed(one.hook_points)}; "
                    f"{nearest(point, one.hook_points)}",
                )


def _check_partners(
    path: Path, experiment: RunsExperiment, name: str, partners: list[str], external: Mapping[str, Outside]
) -> Iterator[Problem]:
    for partner in partners:
        told = {model: one for model, one in external.items() if not any(map(is_glob, one.hook_points))}
        lacking = [model for model, one in told.items() if partner not in one.hook_points]
        if lacking or partner in experiment.hook_points:
            seen = f"isn't a hook point of {listed(lacking)}" if lacking else "is the hook point itself"
            yield (
                (*path, "decompositions"),
                f"{name}: partner {shortened(partner)} {seen}; allowed: another array that was recorded; change "
                f"decompositions.{name}.partner",
            )


def _check_used(
    path: Path,
    experiment: RunsExperiment,
    used: Mapping[str, Decomposition],
    external: Mapping[str, Outside],
) -> Iterator[Problem]:
    """Decompositions that need networks, or runs that a given one lacks; and views that need networks."""
    joint = [name for name, one in used.items() if isinstance(one, JointOptions)]
    if joint:
        yield (
            (*path, "decompositions"),
            f"{listed(joint)}, whose loss recovered takes networks, of external models; allowed: decompositions of "
            "each run by itself; leave it out",
        )
    here = [name for name, one in external.items() if isinstance(one, NetworkRecipe) and one.training]
    given = [name for name, one in used.items() if isinstance(one, GivenOptions)]
    if here and given:
        yield (
            (*path, "decompositions"),
            f"{listed(given)}, of networks that are trained here ({listed(here)}), before their training too; allowed: "
            "given dictionaries of what others trained; compare them with homolog.compare",
        )
    for name, one in used.items():
        yield from _check_partners(path, experiment, name, one.partners(), external)
        for condition in experiment.conditions.values():
            models = [model for model in condition.models if model in external]
            runs = [f"{model}/seed_{seed}" for model in models for seed in condition.seeds]
            if isinstance(one, GivenOptions) and one.by_run is not None and (lacking := set(runs) - set(one.by_run)):
                yield (
                    (*path, "decompositions"),
                    f"{name} has no path for {listed(sorted(lacking))}; it has: {listed(one.by_run)}; add it to "
                    f"decompositions.{name}.by_run",
                )
    needing = [view for view in experiment.views if view not in OF_ACTIVATIONS]
    if needing and "views" in experiment.analysis.model_fields_set:
        whose = "external models"
        if all(isinstance(one, NetworkRecipe) for one in external.values()):
            whose = "networks by their modules, of which nobody knows how a hook point's layer reads and is read"
        yield (
            (*path, "analysis", "views"),
            f"{listed(needing)}, of {whose}; allowed: {listed(OF_ACTIVATIONS)}, which take activations alone; "
            "leave out the others, or leave out views",
        )
