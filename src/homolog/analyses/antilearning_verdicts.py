"""What do the numbers of the benchmark say: is a pair a test at all, and was Y prevented, hidden or kept?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from homolog.analyses.replicates import interval, mean_of_known, over_replicates

TITLES = {
    "x_accuracy": "accuracy on X",
    "y_accuracy": "accuracy on Y's non-trivial part",
    "y_confidence": "largest probability on Y",
    "y_right": "probability of the right class on Y",
    "area": "area of relearning Y above scratch",
    "relearning": "accuracy on Y while it is learned again",
    "linear_probe": "accuracy on Y of a linear probe",
    "mlp_probe": "accuracy on Y of an MLP probe",
    "linear_probe_gain": "accuracy of a linear probe above that of a random init",
    "mlp_probe_gain": "accuracy of an MLP probe above that of a random init",
    "readable": "accuracy of the linear probe of the best layer but the logits, above that of a random init",
    "readable_left": "share of X only's gain in probes that is left",
    "area_above_null": "area of relearning Y above that of another scratch",
    "energy": "share of a circuit",
    "x_lost": "accuracy on X lost against X only",
    "y_fall": "accuracy on Y lost against X only",
    "confidence_fall": "largest probability on Y lost against X only",
    "y_left": "share of X only's answers on Y that are left",
    "area_left": "share of X only's area that is left",
    "passes": "thousand rows that passed forward and back",
    "steps": "optimiser steps",
    "kept_lr": "factor of the rate that was kept",
    "kept_weight_decay": "factor of the weight decay that was kept",
    "kept_width": "share of units that was kept",
    "transfer": "share of what teaching both gives on Y that X alone gives",
}
VERDICTS = ("prevented", "hidden", "kept", "X lost", "unclear")
# So much accuracy on X is given up at most.
X_GIVEN = 0.1
# Of X only's answers on Y, or of its area, less than this share is left where Y isn't kept, or not hidden.
MOST_LEFT, LITTLE_LEFT = 0.5, 0.25
X_ONLY, X_AND_Y = 1, 2
Arrays = Mapping[str, np.ndarray]


def gate_of(
    y: Float[np.ndarray, "2 members"],
    area: Float[np.ndarray, " members"],
    null: Float[np.ndarray, " members"],
    chance: float,
    least: float,
) -> tuple[str, Float[np.ndarray, " members"]]:
    """Whether X alone gives Y, and the share of Y that it gives, by member: of what teaching both gives above chance.

    `y`: accuracy on Y of X only and of X and Y. ``answers``: at least `least` of it is there without training on Y, and
    surely some. ``circuit``: it isn't, but Y is surely learned faster than from scratch, more so than another scratch.
    ``none``: neither; such a pair is no test of antilearning.
    """
    share = (y[0] - chance) / np.maximum(y[1] - chance, 1e-9)
    mean, low, _ = interval(share)
    if float(mean) >= least and float(low) > 0:
        return "answers", share
    faster = float(interval(area - null)[1]) > 0 and float(np.mean(area)) >= least
    return ("circuit" if faster else "none"), share


def verdict_of(gate: str, numbers: Mapping[str, Float[np.ndarray, " members"]]) -> str:
    """What became of Y, by the members of one recipe on one pair, each against its own X only.

    ``X lost``: accuracy on X is lower by more than 0.1. ``kept``: half or more of X only's answers on Y are left (of a
    pair whose gate is ``circuit``: half of its area). ``hidden``: they aren't, but surely Y is learned faster than
    from scratch (beyond another scratch), or layers are surely read better than a random init's, by half of what X
    only's are or more. ``prevented``: neither, and at most a quarter of X only's area is left. ``unclear``: none.
    """
    if not np.isfinite(numbers["x_lost"]).all():
        return ""
    if float(np.mean(numbers["x_lost"])) > X_GIVEN:
        return "X lost"
    of = "y_left" if gate == "answers" else "area_left"
    if float(np.mean(numbers[of])) >= MOST_LEFT:
        return "kept"
    readable = float(interval(numbers["readable"])[1]) > 0 and float(np.mean(numbers["readable_left"])) >= MOST_LEFT
    if readable or float(interval(numbers["area_above_null"])[1]) > 0:
        return "hidden"
    return "unclear" if float(np.mean(numbers["area_left"])) > LITTLE_LEFT else "prevented"


def derived(
    values: Arrays,
    by_name: Mapping[str, Arrays],
    null: Float[np.ndarray, "pairs members"],
    coords: Mapping[str, Any],
    classes: np.ndarray,
    least: float,
) -> xr.Dataset:
    """Means over members, gates and verdicts. `values` are (pair, recipe, member, ...), those of X only at 1."""
    chance = 1 / classes
    relative = _against_x_only(values, by_name, null, chance)
    gates = [
        gate_of(values["y_accuracy"][place, 1:3], values["area"][place, X_ONLY], null[place], chance[place], least)
        for place in range(len(classes))
    ]
    verdicts = [
        [verdict_of(gate, {name: one[place, recipe] for name, one in relative.items()}) for recipe in range(len(row))]
        for place, (gate, row) in enumerate(zip((one for one, _ in gates), values["x_accuracy"], strict=True))
    ]
    tests = np.array([gate != "none" for gate, _ in gates])
    found = {name: (DIMS + (("moment",) if one.ndim > 3 else ()), one) for name, one in {**values, **relative}.items()}
    further: dict[str, list[str]] = {}
    for name, layers in by_name.items():
        dim = "circuit" if name == "energy" else "layer"
        further[dim] = list(dict.fromkeys([*further.get(dim, []), *layers]))
        found[name] = ((*DIMS, dim), np.stack(list(layers.values()), -1))
        if dim == "layer":
            found[f"{name}_gain"] = ((*DIMS, dim), np.stack([gain_of(one) for one in layers.values()], -1))
    found["transfer"] = (("pair", "replicate"), np.stack([share for _, share in gates]))
    found["area_null"] = (("pair", "replicate"), null)
    for name in ("x_lost", "y_fall", "confidence_fall", "y_left", "area_left", "readable"):
        over_tests = np.where(tests[:, None, None], relative[name], np.nan)
        found[f"{name}_over_tests"] = (("recipe", "replicate"), mean_of_known(over_tests))
    dataset = over_replicates(found, {**coords, **further}, TITLES)
    return dataset.assign(
        gate=("pair", [gate for gate, _ in gates]),
        verdict=(("pair", "recipe"), verdicts),
        chance=("pair", chance),
    )


DIMS = ("pair", "recipe", "replicate")


def _against_x_only(values: Arrays, by_name: Mapping[str, Arrays], null: np.ndarray, chance: np.ndarray) -> Arrays:
    """Each member against its own X only, which has its start and its data."""
    x, y, sure, area = (values[name] for name in ("x_accuracy", "y_accuracy", "y_confidence", "area"))
    only = slice(X_ONLY, X_ONLY + 1)
    above = y - chance[:, None, None]
    gains = [gain_of(one) for layer, one in by_name["linear_probe"].items() if layer != "logits"]
    best = np.max([np.where(np.isnan(one), -np.inf, one) for one in gains], 0)
    readable = np.where(np.isfinite(best), best, np.nan)
    return {
        "x_lost": x[:, only] - x,
        "y_fall": y[:, only] - y,
        "confidence_fall": sure[:, only] - sure,
        "y_left": above / _apart(above[:, only]),
        "area_left": area / _apart(area[:, only]),
        "area_above_null": area - null[:, None],
        "readable": readable,
        "readable_left": readable / _apart(readable[:, only]),
    }


def gain_of(probe: Float[np.ndarray, "pairs recipes members"]) -> Float[np.ndarray, "pairs recipes members"]:
    """How much better a layer's probe is than that of the same layer of a random init, which is the first recipe."""
    return np.asarray(probe - probe[:, :1])


def _apart(values: np.ndarray) -> np.ndarray:
    """Values that are told from 0; NaN for the others, over which no share means anything."""
    return np.where(values > 0.02, values, np.nan)
