"""What does the benchmark's caption say: which recipes prevented Y, and which predictions hold?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from homolog.figures.panels import capital, said_with_bounds

ANCHORS = ("random init", "X only", "X and Y", "Y from scratch")
# Parts of recipes by the names that the founding document's techniques have in the shipped config.
RANDOM, UNIFORM, EARLY, ORDER = "random labels", "uniform targets", "early stopping", "in order"
PENALTY = "penalty"
# Irreps of A5: none of the first two extends to S5 alone.
NOT_ALONE, THE_REST = ("A5 3", "A5 3'"), ("A5 4", "A5 5")


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
    for recipe, said in ((EARLY, "early stopping gives X with less of Y"), (ORDER, "X part by part gives less of Y")):
        if recipe in page.recipe.values:
            found.append(_helps(page.sel(recipe=recipe), said))
    return [*found, _extends(page)]


def _helps(one: xr.Dataset, said: str) -> str:
    """A prediction that answers to Y become fewer and X stays, on pairs on which X alone gives answers."""
    if not np.isfinite(float(one.y_fall_over_tests)):
        return ""
    word = "confirmed" if float(one.y_fall_over_tests_low) > 0 else "not confirmed"
    return (
        f"{capital(word)}: {said} (accuracy on Y {said_with_bounds(one, 'y_fall_over_tests', '{:z.2f}')} lower, on X "
        f"{said_with_bounds(one, 'x_lost_over_tests', '{:z.2f}')})."
    )


def _extends(page: xr.Dataset) -> str:
    """What a network has of S5 that was kept from the irreps of A5 which extend to it alone."""
    known = [str(name) for name in page.circuit.values] if "circuit" in page.dims else []
    if PENALTY not in page.recipe.values or any(name not in known for name in (*NOT_ALONE, *THE_REST)):
        return ""
    energy = page.energy.sel(circuit=list(NOT_ALONE)).sum("circuit", skipna=False)
    pair = next((name for name in tests(page) if np.isfinite(float(energy.sel(pair=name, recipe=PENALTY)))), None)
    if pair is None:
        return ""
    shares = [float(energy.sel(pair=pair, recipe=name)) for name in (PENALTY, "X only")]
    less, only = (page.sel(pair=pair, recipe=name) for name in (PENALTY, "X only"))
    word = "confirmed" if float(less.area_high) < float(only.area_low) else "not confirmed"
    return (
        f"{capital(word)}: A5 learned by its 3-dimensional irreps helps less with S5 (with {shares[0]:.2f} of the "
        f"embeddings' energy in these the area is {said_with_bounds(less, 'area', '{:z.2f}')}, of X only, with "
        f"{shares[1]:.2f}, {said_with_bounds(only, 'area', '{:z.2f}')})."
    )


def _leaves(one: xr.Dataset, said: str) -> str:
    """A prediction that Y is still there: in answers or, where these are gone, in a head start."""
    answers, area = (said_with_bounds(one, f"{name}_over_tests") for name in ("y_left", "area_left"))
    surely = float(one.y_left_over_tests_low) > 0 or float(one.area_left_over_tests_low) > 0
    gone = float(one.y_left_over_tests_high) < 0.5 and float(one.area_left_over_tests_high) < 0.5
    word = "confirmed" if surely else "refuted" if gone else "not settled"
    return f"{capital(word)}: {said} ({answers} of X only's answers are left, {area} of its head start)."
