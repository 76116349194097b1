"""Can every experiment compare the runs that it names, at the hook points and in the dimensions that they have?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import filterfalse

from homolog.config.analyses import StabilityOptions
from homolog.config.antilearning import AntilearningOptions
from homolog.config.check_antilearning import check_antilearning
from homolog.config.check_networks import check_steps
from homolog.config.check_worlds import check_axes
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import FIGURE_NEEDS, Condition, MadeExperiment, RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.models import Recipe
from homolog.config.network_models import NetworkRecipe
from homolog.config.planted import RecoveryOptions
from homolog.config.problems import Names, Path, Problem, listed, nearest, shortened
from homolog.config.sparse_autoencoders import JointOptions
from homolog.networks.points import is_glob
from homolog.registry import FIGURES_OF


def check_experiment(
    path: Path,
    experiment: RunsExperiment,
    decompositions: Mapping[str, Decomposition],
    recipes: Mapping[str, Recipe],
    networks: Mapping[str, NetworkRecipe],
    names: Mapping[str, Names],
) -> Iterator[Problem]:
    """Every contradiction between an experiment and the rest; only models with a recipe are looked into."""
    yield from _check_references(path, experiment, names)
    for label, condition in experiment.conditions.items():
        yield from _check_condition((*path, "conditions", label), condition, {**recipes, **networks})
    yield from _check_tasks(path, experiment, recipes)
    yield from _check_figure(path, experiment)
    yield from _check_joint(path, experiment, decompositions)
    yield from _check_measured(path, experiment, decompositions, recipes)


def _check_tasks(path: Path, experiment: RunsExperiment, recipes: Mapping[str, Recipe]) -> Iterator[Problem]:
    """All runs of an experiment are compared input by input, whatever their condition."""
    models = dict.fromkeys(name for condition in experiment.conditions.values() for name in condition.models)
    found = {name: recipes[name] for name in models if name in recipes}
    if len({recipe.task.model_dump_json() for recipe in found.values()}) > 1:
        tasks = listed(f"{name}: {_one_line(recipe)}" for name, recipe in found.items())
        yield (
            (*path, "conditions"),
            f"models of different tasks ({tasks}); allowed: models that see the same inputs; "
            "make experiments of their own of them",
        )


def check_made(
    path: Path, experiment: MadeExperiment, decompositions: Mapping[str, Decomposition], names: Mapping[str, Names]
) -> Iterator[Problem]:
    """Every contradiction between an experiment on worlds that its analysis makes and the rest."""
    yield from _check_figure(path, experiment)
    for name in experiment.decompositions or []:
        if text := names["decompositions"].problem(name):
            yield (*path, "decompositions"), text
        elif isinstance(decompositions.get(name), GivenOptions | JointOptions):
            yield (
                (*path, "decompositions"),
                f"{name}, which isn't fitted to one set of activations; allowed: decompositions that are; leave it out",
            )
    if isinstance(experiment.analysis, RecoveryOptions):
        yield from check_axes(path, experiment, experiment.analysis, decompositions)
    if isinstance(experiment.analysis, AntilearningOptions):
        yield from check_antilearning(path, experiment.analysis)


def _check_figure(path: Path, experiment: RunsExperiment | MadeExperiment) -> Iterator[Problem]:
    """The analysis must compute what the figure draws."""
    allowed = FIGURES_OF[experiment.analysis.name]
    if experiment.figure not in allowed:
        yield (
            (*path, "figure"),
            f"{experiment.figure}, which doesn't draw what {experiment.analysis.name} finds; allowed: "
            f"{listed(allowed)}; take one of these",
        )
    if not isinstance(experiment.analysis, StabilityOptions):
        return
    views, matchings = FIGURE_NEEDS.get(experiment.figure, ([], []))
    for key, needed, present in (
        ("views", views, list[str](experiment.analysis.views)),
        ("matchings", matchings, list[str](experiment.analysis.matchings)),
    ):
        missing = [name for name in needed if name not in present]
        if missing:
            yield (
                (*path, "analysis", key),
                f"no {listed(missing)}; allowed: lists with {listed(needed)}, which figure {experiment.figure} draws; "
                "add what is missing, or choose another figure",
            )


def _check_references(path: Path, experiment: RunsExperiment, names: Mapping[str, Names]) -> Iterator[Problem]:
    for name in experiment.decompositions:
        if text := names["decompositions"].problem(name):
            yield (*path, "decompositions"), text
    for label, condition in experiment.conditions.items():
        for name in condition.models:
            if text := names["models"].problem(name):
                yield (*path, "conditions", label, "models"), text


def _check_condition(
    path: Path, condition: Condition, recipes: Mapping[str, Recipe | NetworkRecipe]
) -> Iterator[Problem]:
    """Runs of one condition must be comparable, and there must be two of them to compare."""
    found = {name: recipes[name] for name in condition.models if name in recipes}
    retrained = [name for name, recipe in found.items() if recipe.parent]
    scratch = [name for name, recipe in found.items() if not recipe.parent]
    if retrained and scratch:
        yield (
            (*path, "models"),
            f"models with a parent ({listed(retrained)}) beside models without ({listed(scratch)}); allowed: all of "
            "one kind, since retrained runs are compared with their parent run; make conditions of their own of them",
        )
    trained = {name: recipe.training.steps if recipe.training else None for name, recipe in found.items()}
    yield from check_steps((*path, "steps"), condition.steps, trained)
    if scratch and not condition.steps and len(condition.models) * len(condition.seeds) == 1:
        yield path, "one run, so nothing to compare it with; allowed: at least two runs; add a seed or a model"


def _check_joint(
    path: Path, experiment: RunsExperiment, decompositions: Mapping[str, Decomposition]
) -> Iterator[Problem]:
    """The analysis compares what is fitted to each run by itself."""
    found = [decompositions[name] for name in experiment.decompositions if name in decompositions]
    if len(found) == len(experiment.decompositions) and all(isinstance(each, JointOptions) for each in found):
        yield (
            (*path, "decompositions"),
            f"only {listed(experiment.decompositions)}, which all runs are fitted to together; allowed: a list with "
            "one that is fitted to each run, for the analysis to compare; add one, such as a pca",
        )


def _one_line(recipe: Recipe) -> str:
    return ", ".join(f"{key} {value}" for key, value in recipe.task.model_dump().items())


def _check_measured(
    path: Path, experiment: RunsExperiment, decompositions: Mapping[str, Decomposition], recipes: Mapping[str, Recipe]
) -> Iterator[Problem]:
    """Every run that is compared must have the hook points, and enough dimensions for the latents."""
    compared = _compared(experiment, recipes)
    measured = {name: decompositions[name] for name in experiment.decompositions if name in decompositions}
    # A glob that is left means nothing, which is said already.
    for point in filterfalse(is_glob, experiment.hook_points):
        missing = list(_check_recorded((*path, "hook_points"), point, "", compared))
        yield from missing
        for name, decomposition in measured.items():
            here = (*path, "decompositions")
            lacking: list[Problem] = []
            for partner in decomposition.partners():
                lacking += _check_recorded(here, partner, f"{name}: partner ", compared)
                if partner == point:
                    others = [other for other in _shared_hook_points(compared) if other != point]
                    yield (
                        here,
                        f"{name}: partner {shortened(partner)} is the hook point itself; allowed: another one "
                        f"({listed(others)}); change decompositions.{name}.partner or the experiment's hook_points",
                    )
            yield from lacking
            if not missing and not lacking:
                yield from _check_sizes(here, name, decomposition, point, compared)


def _compared(experiment: RunsExperiment, recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Recipes of all models of the experiment and of their parents, which are compared with them."""
    compared: dict[str, Recipe] = {}
    for condition in experiment.conditions.values():
        for name in condition.models:
            if name in recipes:
                compared[name] = recipe = recipes[name]
                if recipe.parent:
                    compared[recipe.parent.model] = recipes[recipe.parent.model]
    return compared


def _shared_hook_points(compared: Mapping[str, Recipe]) -> list[str]:
    every = [recipe.hook_points for recipe in compared.values()]
    return [point for point in every[0] if all(point in points for points in every)] if every else []


def _check_recorded(path: Path, point: str, prefix: str, compared: Mapping[str, Recipe]) -> Iterator[Problem]:
    """One problem for all models that lack the hook point in the same way."""
    lacking: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for name, recipe in compared.items():
        if point not in recipe.hook_points:
            exists = point in recipe.architecture.hook_points()
            names = recipe.hook_points if exists else recipe.architecture.hook_points()
            lacking.setdefault((exists, tuple(names)), []).append(name)
    for (exists, known), models in lacking.items():
        who = listed(models)
        if exists:
            yield (
                path,
                f"{prefix}{shortened(point)} isn't recorded by {who}; recorded: {listed(known)}; "
                f"add it to activations.hook_points of {who}",
            )
        else:
            yield (
                path,
                f"{prefix}{shortened(point)} isn't a hook point of {who}; it has: {listed(known)}; "
                f"{nearest(point, known)}",
            )


def _check_sizes(
    path: Path, name: str, decomposition: Decomposition, point: str, compared: Mapping[str, Recipe]
) -> Iterator[Problem]:
    """Tell the tightest limit only."""
    limits = []
    for model, recipe in compared.items():
        if limit := decomposition.most_latents(recipe.width, point, recipe.task.n_train):
            limits.append((*limit, model))
    most = max(decomposition.choices("n_latents")) if limits else 0
    if limits and most > min(limits)[0]:
        units, reason, model = min(limits)
        yield (
            path,
            f"{name}: n_latents = {most} at {point} of {model}; allowed: at most {units}, the {reason}; "
            f"lower decompositions.{name}.n_latents",
        )
