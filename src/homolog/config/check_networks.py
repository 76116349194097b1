"""Does what is said of networks that are read by their modules fit together: hook points, data, objective, parent?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homolog.config.check_names import is_hook_point
from homolog.config.corpora import (
    CorpusOptions,
    DigitImagesOptions,
    FashionMNISTImagesOptions,
    ImagesOptions,
    TextOptions,
)
from homolog.config.models import RetrainedModel
from homolog.config.network_models import NetworkModel, NetworkRecipe, network_recipe, retrained_recipe
from homolog.config.problems import Path, Problem, listed, nearest, shortened
from homolog.networks.points import chosen, is_glob

# Corpora of which it is known that an objective finds nothing in them.
_WITHOUT_TOKENS = (ImagesOptions, DigitImagesOptions, FashionMNISTImagesOptions)


def check_network(name: str, model: NetworkModel, networks: dict[str, NetworkRecipe]) -> Iterator[Problem]:
    """Names of hook points become folders and groups, too; options of the corpus must agree. Adds its recipe."""
    path = ("models", name)
    networks[name] = network_recipe(model)
    for point, meant in model.activations.named().items():
        # Globs that are left mean nothing that can be told: why not is said already.
        if not is_hook_point(point) and not is_glob(point):
            way_out = f"write a mapping, such as {{my_name: {shortened(meant)}}}" if point == meant else "rename it"
            yield (
                (*path, "activations", "hook_points"),
                f"{shortened(point)}; allowed: letters, digits, underscores and dots, as results go by it; {way_out}",
            )
    known = list(model.activations.named())
    for point in model.activations.streams or []:
        if point not in known and not (is_glob(point) and chosen(point, known)) and not any(map(is_glob, known)):
            yield (
                (*path, "activations", "streams"),
                f"{shortened(point)} isn't recorded; recorded: {listed(known)}; {nearest(point, known)}",
            )
    for section, corpus in (("data", model.data), ("fallback", model.fallback)):
        for key, text in corpus.contradictions() if corpus else ():
            yield (*path, section, key), text
        if corpus and model.objective and (unfit := _unfit(model.objective, corpus)):
            yield (*path, "objective"), unfit
    if model.fallback and model.data.brought:
        yield (
            (*path, "fallback"),
            f"{model.fallback.name}, beside {model.data.name}, which a library brings, so that it is always there; "
            "allowed: none; leave it out, or name other data",
        )
    if model.training and model.objective is None:
        yield (
            (*path, "training"),
            "a training, and nothing that it is for; allowed: with an objective; add objective: next_token or label, "
            "or leave training out: then the network is read as it is made",
        )


def check_retrained(name: str, model: RetrainedModel, networks: dict[str, NetworkRecipe]) -> Iterator[Problem]:
    """Check a network of which parts are trained again, whose parents are in `networks`, and add its recipe."""
    path, parent = ("models", name), networks[model.parent.model]
    found = retrained_recipe(parent, model.parent, model.reinitialise, model.objective, model.training)
    networks[name] = found
    if model.widen:
        yield (
            (*path, "widen"),
            "of a network by its modules; allowed: none, for it is made by its function; leave it out",
        )
    if model.activations is not None:
        yield (
            (*path, "activations"),
            "of a network that is retrained; allowed: none, for what is recorded is as of its parent; leave it out",
        )
    if found.objective is None:
        yield (
            (*path, "objective"),
            f"nothing, nor with {model.parent.model}; allowed: next_token, label, or imitate, which is to give what "
            "the parent gives; add one",
        )
    elif text := _unfit(found.objective, found.data):
        yield (*path, "objective"), text
    if found.training is None:
        yield (
            (*path, "training"),
            f"nothing, nor with {model.parent.model}, which others trained; needed: at least steps; add training",
        )
    if (runs := parent.listed) is not None and model.parent.seed >= runs:
        yield (*path, "parent", "seed"), f"{model.parent.seed}, of {runs} that are listed; allowed: 0 to {runs - 1}"


def _unfit(objective: str, corpus: CorpusOptions) -> str | None:
    """Why nothing of such a corpus can be predicted, if that is known."""
    what = getattr(corpus, "name", "the corpus")
    if objective == "next_token" and isinstance(corpus, _WITHOUT_TOKENS):
        return f"next_token, of {what}, which has no tokens; allowed: label, or data of text; change one of them"
    if objective == "label" and isinstance(corpus, TextOptions):
        return f"label, of {what}, which has no classes; allowed: next_token, or data with classes; change one of them"
    return None


def fed(recipe: NetworkRecipe) -> str:
    """What a network is fed, in one line, equal for equal data."""
    return recipe.data.model_dump_json()


def check_steps(path: Path, steps: list[int] | None, trained: Mapping[str, int | None]) -> Iterator[Problem]:
    """Steps of training must lie before the end of that of each model: `trained`, None where others trained it."""
    for name, total in trained.items():
        if steps and total is None:
            yield path, f"of {name}, which others trained; allowed: models that are trained here; leave it out"
        elif steps and total is not None and max(steps) >= total:
            yield (
                path,
                f"{max(steps)}, of {name}, which is trained for {total} steps; allowed: less than that; lower it",
            )
