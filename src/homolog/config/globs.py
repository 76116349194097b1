"""Which hook points do the globs in config.yaml mean? (Their names become paths, so that planning has to know them.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from homolog.config.check_names import is_hook_point
from homolog.config.experiments import RunsExperiment
from homolog.config.models import ExternalModel, Model, RetrainedModel, TrainedModel
from homolog.config.network_models import NetworkModel
from homolog.config.problems import Problem, listed, shortened
from homolog.config.root import Config
from homolog.networks.asking import modules_of
from homolog.networks.points import Point, chosen, filled_in, is_glob, matched, wildcards
from homolog.networks.seen import Seen, reached
from homolog.registry import CORPORA

# Modules of a network's spec and a corpus's, and of the files that the network is made of.
Ask = Callable[[dict[str, Any], dict[str, Any], Iterable[str]], dict[str, Seen]]


def expand_globs(config: Config, ask: Ask = modules_of) -> tuple[Config, list[Problem]]:
    """The config with every glob replaced by what it means, and a problem for each that can't be.

    Globs of networks from outside choose among their modules, those of experiments among recorded names. What isn't
    replaced stays a glob. A config without any is returned as it is, and no network is asked for anything.
    """
    models, problems = dict(config.models), []
    for name, model in config.models.items():
        if isinstance(model, NetworkModel) and _has_globs(model):
            models[name], found = _expanded(config, name, model, ask)
            problems += found
    experiments = dict(config.experiments)
    for name, experiment in config.experiments.items():
        if isinstance(experiment, RunsExperiment) and any(map(is_glob, experiment.hook_points)):
            experiments[name], found = _chosen(name, experiment, models)
            problems += found
    return config.model_copy(update={"models": models, "experiments": experiments}), problems


# Models


def _has_globs(model: NetworkModel) -> bool:
    return any(is_glob(text) for entry in model.activations.named().items() for text in entry)


def _expanded(config: Config, name: str, model: NetworkModel, ask: Ask) -> tuple[NetworkModel, list[Problem]]:
    number, here = _a_run(config, name), ("models", name, "activations", "hook_points")
    if problem := model.network.problem(number or 0):
        # What is wrong with files of runs that nothing asks for is no mistake.
        return model, [] if number is None else [(("models", name, "network"), f"seed {number}: {problem}")]
    data = model.fed.model_dump(mode="json")
    corpus = {"target": CORPORA[data.pop("name")], **data}
    try:
        seen = ask(model.network.spec(number or 0), corpus, model.network.inputs(number or 0))
    except ValueError as error:
        text = f"{listed(filter(is_glob, model.hook_points))}: what is meant can't be told: {error}"
        return model, [(here, text.rstrip("."))]
    points: dict[str, str] = {}
    problems: list[Problem] = []
    for own, meant in model.activations.named().items():
        try:
            found = _named(own, meant, seen) if is_glob(own) or is_glob(meant) else {own: meant}
            _add(points, own, found)
        except ValueError as error:
            problems.append((here, str(error).rstrip(".")))
    if problems:
        return model, problems
    streams = model.activations.streams
    if streams is not None:
        streams = [name for text in streams for name in (chosen(text, points) if is_glob(text) else [text])]
    activations = model.activations.model_copy(update={"hook_points": points, "streams": streams})
    return model.model_copy(update={"activations": activations}), []


def _a_run(config: Config, name: str) -> int | None:
    """A run of a model: the first one that experiments compare, or others start from."""
    compared = [
        seed
        for experiment in config.experiments.values()
        if isinstance(experiment, RunsExperiment)
        for condition in experiment.conditions.values()
        if name in condition.models
        for seed in condition.seeds
    ]
    started = [
        model.parent.seed
        for model in config.models.values()
        if isinstance(model, RetrainedModel) and model.parent.model == name
    ]
    return min(compared or started, default=None)


def _named(own: str, meant: str, seen: dict[str, Seen]) -> dict[str, str]:
    """Hook points that a glob means, by the names of their own; a ValueError says why there are none."""
    parts = dict(matched(meant, seen))
    points = reached(meant, list(parts), seen)
    if own == meant:  # An entry of a list: modules go by their own names.
        names = {str(point): str(point) for point in points}
        odd = [one for one in names if not is_hook_point(one)]
        if odd:
            example = f"{{my_name_{'_'.join('*' * wildcards(meant))}: {shortened(meant)}}}"
            raise ValueError(
                f"{shortened(meant)} means {shortened(odd[0])}; allowed: letters, digits, underscores and dots, as "
                f"results go by it; write a mapping, such as {example}"
            )
        return names
    if wildcards(own) != wildcards(meant) and (is_glob(own) or len(points) > 1):
        raise ValueError(_uneven(own, meant, points))
    names = {filled_in(own, parts[point]) if is_glob(own) else own: str(point) for point in points}
    odd = [one for one in names if not is_hook_point(one)]
    if odd:
        raise ValueError(
            f"{shortened(own)}, of {shortened(meant)}, becomes {shortened(odd[0])}; allowed: letters, digits, "
            f"underscores and dots, as results go by it; name {shortened(names[odd[0]])} by itself"
        )
    return names


def _uneven(own: str, meant: str, points: list[Point]) -> str:
    """What to say of a name that can't take over what a glob's wildcards stand for."""
    means = ", ".join(map(str, points[:3])) + (", ..." if len(points) > 3 else "")
    stars = "_".join("*" * wildcards(meant))
    return (
        f"{shortened(own)} has {wildcards(own)} wildcards, and {shortened(meant)} {wildcards(meant)}, which means "
        f"{len(points)} ({means}); allowed: as many in both, since the name takes over what each stands for; write for "
        f"instance {own.rstrip('*?_')}_{stars}"
    )


def _add(points: dict[str, str], own: str, found: dict[str, str]) -> None:
    for name, point in found.items():
        if points.setdefault(name, point) != point:
            raise ValueError(
                f"{shortened(own)}: both {points[name]} and {point} would go by the name {name}; allowed: a name for "
                "each; rename one of them"
            )


# Experiments


def _chosen(name: str, experiment: RunsExperiment, models: dict[str, Model]) -> tuple[RunsExperiment, list[Problem]]:
    """The recorded names that an experiment's globs choose, in the order of the models'."""
    used = dict.fromkeys(model for condition in experiment.conditions.values() for model in condition.models)
    recorded = [_recorded(model, models) for model in used]
    known = list(dict.fromkeys(point for points in recorded for point in points or ()))
    points: dict[str, None] = {}
    problems: list[Problem] = []
    for text in experiment.hook_points:
        found = chosen(text, known) if is_glob(text) else [text]
        # What is wrong with a model that can't be told is said already.
        if not found and None not in recorded:
            seen = f"{shortened(text)} means no hook point of {listed(used)}"
            problems.append((("experiments", name, "hook_points"), f"{seen}; recorded: {listed(known)}; correct it"))
        points |= dict.fromkeys(found or [text])
    return experiment.model_copy(update={"hook_points": list(points)}), problems


def _recorded(name: str, models: dict[str, Model]) -> list[str] | None:
    """Names that a model's activations go by; None where they can't be told."""
    before: set[str] = set()
    model = models.get(name)
    while isinstance(model, RetrainedModel) and not (model.activations and model.activations.hook_points):
        if name in before:
            return None
        before.add(name)
        name = model.parent.model
        model = models.get(name)
    if isinstance(model, ExternalModel):
        return list(model.external.hook_points)
    if isinstance(model, NetworkModel):
        return None if _has_globs(model) else model.hook_points
    if isinstance(model, TrainedModel | RetrainedModel):
        named = model.activations and model.activations.hook_points
        return named or (model.architecture.hook_points() if isinstance(model, TrainedModel) else None)
    return None
