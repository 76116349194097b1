"""Does every model have what its parent, its hook points and its sizes need?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homolog.config.models import ExternalModel, Model, Recipe, RetrainedModel, TrainedModel, derive
from homolog.config.problems import Names, Path, Problem, listed, nearest, shortened


def check_parents(models: Mapping[str, Model], names: Names) -> Iterator[Problem]:
    in_a_cycle: set[str] = set()
    for name, model in models.items():
        if not isinstance(model, RetrainedModel):
            continue
        path = ("models", name, "parent", "model")
        if text := names.problem(model.parent.model):
            yield path, text
        elif isinstance(models.get(model.parent.model), ExternalModel):
            yield (
                path,
                f"{model.parent.model} is external, so there are no weights; allowed: a model with weights",
            )
        line = _line_of_parents(name, models)
        if line[-1] in line[:-1] and line[-1] not in in_a_cycle:
            cycle = line[line.index(line[-1]) :]
            in_a_cycle.update(cycle)
            yield (
                ("models", cycle[0], "parent", "model"),
                f"parents in a circle: {' -> '.join(cycle)}; allowed: a line of parents that ends in a model with "
                "a task and an architecture, or a network; give one of these that instead of a parent",
            )


def _line_of_parents(name: str, models: Mapping[str, Model]) -> list[str]:
    """`name`, its parent, its parent's parent, ... up to the first that is unknown, has no parent, or came before."""
    line = [name]
    while isinstance(model := models.get(line[-1]), RetrainedModel) and line[-1] not in line[:-1]:
        line.append(model.parent.model)
    return line


def in_order_of_descent(models: Mapping[str, Model]) -> list[str]:
    return sorted(models, key=lambda name: len(_line_of_parents(name, models)))


def check_model(name: str, model: TrainedModel | RetrainedModel, recipes: dict[str, Recipe]) -> Iterator[Problem]:
    """Check a model whose parents are in `recipes` already, and add its recipe unless it is beyond that."""
    parent = None
    if isinstance(model, RetrainedModel):
        parent = recipes.get(model.parent.model)
        if parent is None:
            return  # What is wrong with the parent is told already.
        here = ("models", name, "reinitialise")
        if model.objective is not None:
            yield (
                ("models", name, "objective"),
                f"{model.objective}, of a model with a task; allowed: none, for it learns the labels; leave it out",
            )
        problems = [*_check_known(here, model.reinitialise, parent), *_check_widened(name, model, parent)]
        yield from problems
        if problems:
            return
    recipe = derive(model, parent)
    path = ("models", name)
    problems = list(_check_known((*path, "activations", "hook_points"), _declared_hook_points(model), recipe))
    yield from problems
    if model.training and recipe.training.batch_size > recipe.task.n_train:
        yield (
            (*path, "training", "batch_size"),
            f"{recipe.training.batch_size}, of {recipe.task.n_train} training rows; allowed: at most all of them; "
            "lower it",
        )
    if not problems:
        recipes[name] = recipe


def _declared_hook_points(model: TrainedModel | RetrainedModel) -> list[str]:
    return (model.activations and model.activations.hook_points) or []


def _check_known(path: Path, points: list[str], recipe: Recipe) -> Iterator[Problem]:
    known = recipe.architecture.hook_points()
    for point in points:
        if point not in known:
            text = f"{shortened(point)} isn't a hook point of the model; it has: {listed(known)}"
            yield path, f"{text}; {nearest(point, known)}"


def _check_widened(name: str, model: RetrainedModel, parent: Recipe) -> Iterator[Problem]:
    known = parent.architecture.widenable()
    for point, units in model.widen.items():
        path = ("models", name, "widen", point)
        if point not in known:
            yield path, f"this layer can't be widened; those that can: {listed(known)}; {nearest(point, known)}"
        elif point not in model.reinitialise:
            yield (
                path,
                f"widened but not reinitialised; reinitialised are: {listed(model.reinitialise)}; "
                f"add {point} to models.{name}.reinitialise, since its weights can't be kept",
            )
        elif units <= parent.width(point):
            yield (
                path,
                f"{units}; allowed: more than the parent's {parent.width(point)} units; raise it or leave it out",
            )
