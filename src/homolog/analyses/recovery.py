"""Which methods find the features of a world, what do chance and known codes find, and is what is stable true?"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.alignment.nulls import spectral_rotation
from homolog.analyses.recovered import at_best, codes_found, described, features_found, live, stable_and_true
from homolog.analyses.replicates import over_replicates
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.trials import Progress, Trial, fit_trials, trials_of

TITLES = {
    "f1": "F1 of features and latents",
    "f1_signed": "F1 where the sign counts",
    "mmcs": "largest cosine of a feature with a latent",
    "mmcs_back": "largest cosine of a latent with a feature",
    "codes": "correlation of codes with the true ones",
    "fvu": "FVU on other rows",
    "l0": "active latents on a row",
    "dead": "share of dead latents",
    "live": "live latents",
    "stable": "share of latents that another seed finds",
    "true_if_stable": "share of true ones among latents that return",
    "true_if_not": "share of true ones among latents that don't",
}
GUESSES = "guess_features", "guess_active"
Numbers = dict[str, float]
Values = dict[str, tuple[tuple[str, ...], np.ndarray]]


def recovery(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit every decomposition to every world, and hold it against the truth.

    Variables `TITLES` by ``world`` and ``decomposition``, means over replicates with bounds. `<name>_null`: the same
    dictionary turned within the spectrum of the rows (of `stable`: against another seed's). `<name>_ceiling`, by
    ``world``: features by least squares from the true codes of the rows that were fitted.
    """
    options, trials = spec["options"], trials_of(spec)
    labels = [label for one in spec["decompositions"] for label in one["labels"]]
    found: dict[str, np.ndarray] = {}

    def put(name: str, trial: Trial, column: int, value: float) -> None:
        row = spec["worlds"].index(trial.spec)
        shape = len(spec["worlds"]), len(labels), options["replicates"]
        found.setdefault(name, np.full(shape, np.nan))[row, column, trial.replicate] = value

    first = 0
    for decomposition in spec["decompositions"]:
        for trial, point, dictionaries in fit_trials(decomposition, trials, options["told"], device, progress):
            for name, value in measured(trial, dictionaries, options["true_cosine"]).items():
                put(name, trial, first + point, value)
        first += len(decomposition["grid"])
    values: Values = {name: (("world", "decomposition", "replicate"), array) for name, array in found.items()}
    dataset = over_replicates(values | ceilings(spec, trials), {"decomposition": labels}, TITLES)
    facts = {name: options[name] for name in ("replicates", "rows", "test_rows", "true_cosine")}
    return dataset.assign_coords(world_coords(spec)).assign_attrs(experiment=spec["experiment"], **facts)


def world_coords(spec: dict[str, Any]) -> dict[str, Any]:
    """Worlds by label, and along them their group and what methods are told, over what is true."""
    worlds = spec["worlds"]
    guesses = {name: ("world", [one["options"][name] for one in worlds]) for name in GUESSES}
    groups = ("world", [one["group"] for one in worlds])
    return {"world": [one["label"] for one in worlds], "group": groups} | guesses


def ceilings(spec: dict[str, Any], trials: list[Trial]) -> Values:
    """What each world's replicates would give at best."""
    replicates = spec["options"]["replicates"]
    best = [at_best(one.train, one.test, one.world.features, spec["options"]["true_cosine"]) for one in trials]
    names = dict.fromkeys(name for one in best for name in one)
    return {
        f"{name}_ceiling": (
            ("world", "replicate"),
            np.array([one.get(name, np.nan) for one in best]).reshape(-1, replicates),
        )
        for name in names
    }


def measured(trial: Trial, dictionaries: list[Dictionary], true_cosine: float) -> Numbers:
    """Means over seeds, and over ordered pairs of seeds, of one trial; NaN for what isn't defined in any."""
    each = [_one(trial, one, number, true_cosine) for number, one in enumerate(dictionaries)]
    alive = [one.directions[live(one, trial.test)] for one in dictionaries]
    turned = [one @ _turn(trial, "stable", number).to(one) for number, one in enumerate(alive)]
    pairs = []
    for a, b in permutations(range(len(alive)), 2):
        seen = stable_and_true(alive[a], alive[b], trial.world.features, true_cosine)
        chance = stable_and_true(alive[a], turned[b], trial.world.features, true_cosine)
        pairs.append(seen | {"stable_null": chance["stable"]})
    return _means(each) | _means(pairs)


def _one(trial: Trial, dictionary: Dictionary, number: int, true_cosine: float) -> Numbers:
    alive = live(dictionary, trial.test)
    found = _truth(trial, dictionary, alive, true_cosine)
    turned = dictionary.rotated(_turn(trial, "null", number).to(dictionary.directions))
    chance = _truth(trial, turned, alive, true_cosine)
    null = {f"{name}_null": value for name, value in chance.items()}
    return found | null | described(dictionary, trial.test) | {"live": float(alive.sum())}


def _truth(trial: Trial, dictionary: Dictionary, alive: torch.Tensor, true_cosine: float) -> Numbers:
    directions, codes = dictionary.directions[alive], dictionary.codes(trial.test.rows)[:, alive]
    features = trial.world.features
    found = features_found(features, directions, true_cosine)
    return found | {"codes": codes_found(trial.test, features, codes, directions)}


def _turn(trial: Trial, purpose: str, number: int) -> torch.Tensor:
    covariance = torch.cov(trial.train.rows.double().T, correction=0)
    return spectral_rotation(covariance, stream(purpose, *trial.key, number))


def _means(each: list[Numbers]) -> Numbers:
    names = each[0] if each else {}
    with np.errstate(invalid="ignore"):
        return {name: _mean([one[name] for one in each]) for name in names}


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
