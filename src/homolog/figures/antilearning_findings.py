"""What does the benchmark's caption say: which recipes prevented Y, and which predictions hold?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from homolog.figures.panels import capital, said_with_bounds

ANCHORS = ("random init", "X only", "X and Y", "Y from scratch")
# Parts of recipes by the names that the founding document's techniques have in the shipped config.
RANDOM, UNIFORM, EARLY = "random labels", "uniform targets", "early stopping"


def tests(page: xr.Dataset) -> list[str]:
    """Pairs on which X alone gives Y."""
    return [str(name) for name in page.pair.values if str(page.gate.sel(pair=name).item()) != "none"]


def ran(one: xr.Dataset) -> list[str]:
    """Recipes that were run on a pair."""
    return [str(name) for name in one.recipe.values if np.isfinite(float(one.x_accuracy.sel(recipe=name)))]


def answer(page: xr.Dataset) -> str:
    """The gate, the verdicts, and the predictions."""
    chosen = tests(page)
    parts = [_gate(page, chosen)]
    if chosen:
        parts += [_verdicts(page, chosen), *_predictions(page)]
    return " ".join(part for part in parts if part)


def _gate(page: xr.Dataset, chosen: list[str]) -> str:
    said = [f"{name} ({_transfer(page.sel(pair=name))})" for name in chosen]
    left = [f"{name} ({_transfer(page.sel(pair=name))})" for name in map(str, page.pair.values) if name not in chosen]
    none = f" No test, since X alone gives too little of Y: {', '.join(left)}." if left else ""
    return f"X alone gives Y on {len(said)} of {page.sizes['pair']} pairs: {', '.join(said) or 'none'}.{none}"


def _transfer(one: xr.Dataset) -> str:
    if str(one.gate.item()) == "circuit":
        return f"a head start alone, area {said_with_bounds(one.sel(recipe='X only'), 'area')}"
    return said_with_bounds(one, "transfer")


def _verdicts(page: xr.Dataset, chosen: list[str]) -> str:
    """How many of the cases are of each kind, and which prevented Y."""
    recipes = [str(name) for name in page.recipe.values if name not in ANCHORS]
    table = page.verdict.sel(pair=chosen, recipe=recipes)
    cases = int((table != "").sum())
    counts = {name: int((table == name).sum()) for name in ("prevented", "hidden", "kept", "X lost", "unclear")}
    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    done = [
        f"{recipe} ({pair})" for recipe in recipes for pair in chosen if _verdict(page, pair, recipe) == "prevented"
    ]
    return f"Of {cases} cases: {listed}. Y was prevented by {', '.join(done) or 'no recipe'}."


def _verdict(page: xr.Dataset, pair: str, recipe: str) -> str:
    return str(page.verdict.sel(pair=pair, recipe=recipe).item())


def _predictions(page: xr.Dataset) -> list[str]:
    """Of the founding document, each confirmed or refuted by the mean over pairs that are tests."""
    found = []
    for recipe, said in ((RANDOM, "random labels on Y leave Y there"), (UNIFORM, "uniform targets leave Y there")):
        if recipe in page.recipe.values:
            found.append(_leaves(page.sel(recipe=recipe), said))
    if UNIFORM in page.recipe.values:
        one = page.sel(recipe=UNIFORM)
        less = float(one.confidence_fall_over_tests_low) > 0
        found.append(
            f"{'Confirmed' if less else 'Not confirmed'}: they make it less sure (largest probability "
            f"{said_with_bounds(one, 'confidence_fall_over_tests')} lower)."
        )
    if EARLY in page.recipe.values:
        one = page.sel(recipe=EARLY)
        helps = float(one.y_fall_over_tests_low) > 0
        found.append(
            f"{'Confirmed' if helps else 'Not confirmed'}: early stopping gives X with less of Y (accuracy on Y "
            f"{said_with_bounds(one, 'y_fall_over_tests')} lower, on X {said_with_bounds(one, 'x_lost_over_tests')})."
        )
    return found


def _leaves(one: xr.Dataset, said: str) -> str:
    """A prediction that Y is still there: in answers or, where these are gone, in a head start."""
    answers, area = (said_with_bounds(one, f"{name}_over_tests") for name in ("y_left", "area_left"))
    surely = float(one.y_left_over_tests_low) > 0 or float(one.area_left_over_tests_low) > 0
    gone = float(one.y_left_over_tests_high) < 0.5 and float(one.area_left_over_tests_high) < 0.5
    word = "confirmed" if surely else "refuted" if gone else "not settled"
    return f"{capital(word)}: {said} ({answers} of X only's answers are left, {area} of its head start)."
