"""How many features are there, by dead latents, agreement of dictionaries, description length and stable latents?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.counting import (
    detectable,
    found_features,
    gaussian_length,
    length_at_best,
    length_by,
    mmcs,
    stable_latents,
)
from homolog.analyses.recovered import live
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.dictionary import Dictionary
from homolog.worlds.trials import Progress, Spec, Trial, fit_trials, trials_of

ESTIMATES = ("live", "mmcs", "bits", "stable")
"""Live latents of the largest dictionary; of the size that agrees best with the next; that describes rows in the fewest
bits; stable latents of the size that has most."""
TITLES = {
    "live": "live latents",
    "stable": "latents that return in most seeds",
    "excess": "latents that return beyond chance",
    "mmcs": "largest cosine of a latent in the next larger dictionary",
    "bits": "bits to describe a row",
    "found": "features with a latent of their own",
    "estimate": "estimated number of features",
    "by_rank": "share of runs that find a feature, by the rank of its rate",
}
SHARES = ("mmcs", "by_rank")
ALONG = {"estimate": ("by",), "by_rank": ("rank",)}


def how_many(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit every decomposition in every size, by all its seeds, and count.

    By ``world``, ``decomposition`` and ``size`` `live`, `stable`, `mmcs`, `bits`, `found`; `estimate` by ``by``;
    `by_rank` by ``rank``. By ``world`` `features` and `detectable` (NaN where none are known); `bits_null`: of a
    Gaussian, `bits_ceiling`: by the true features and codes.
    """
    options, trials = spec["options"], trials_of(spec)
    sizes, most = options["sizes"], max(len(one.world.features) for one in trials)
    found = ByTrial.of(spec)
    for first, decomposition in with_first_column(spec["decompositions"]):
        by_size = [list(fit_trials(_of_size(decomposition, size), trials, False, device, progress)) for size in sizes]
        for rows in zip(*by_size, strict=True):
            numbers = _measured(rows[0].trial, [one.dictionaries for one in rows], options, most)
            found.put(rows[0].trial, numbers, first + rows[0].point)
    for trial in trials:
        found.put(trial, _known(trial, options))
    along = dict.fromkeys(found.by_column, ("size",)) | ALONG
    coords = {"decomposition": found.labels, "size": sizes, "by": list(ESTIMATES), "rank": np.arange(1, most + 1)}
    dataset = over_replicates(found.values(along), coords | world_coords(spec), TITLES, SHARES)
    others = min(len(one["seeds"]) for one in spec["decompositions"]) - 1
    return dataset.assign_attrs(experiment=spec["experiment"], others=others, **options)


def _of_size(decomposition: Spec, size: int) -> Spec:
    return decomposition | {"grid": [one | {"n_latents": size} for one in decomposition["grid"]]}


def _measured(trial: Trial, by_size: list[list[Dictionary]], options: Spec, most: int) -> dict[str, np.ndarray]:
    """Counts by size, means over seeds, and the estimates, of one trial."""
    alive = [[one.directions[live(one, trial.test)] for one in own] for own in by_size]
    turns = [trial.turn(number).float() for number in range(len(by_size[0]))]
    given = options["true_cosine"], options["quorum"]
    turned = [[one @ turn for one, turn in zip(own, turns, strict=True)] for own in alive]
    found: dict[str, Any] = {
        "live": [np.mean([len(one) for one in own]) for own in alive],
        "stable": [stable_latents(own, own, *given) for own in alive],
        "stable_null": [stable_latents(own, other, *given) for own, other in zip(alive, turned, strict=True)],
        "mmcs": [*(_mean(mmcs, *pair) for pair in pairwise(alive)), np.nan],
        "mmcs_null": [*(_mean(mmcs, *pair) for pair in zip(alive, turned[1:], strict=False)), np.nan],
        "bits": [
            np.mean([length_by(one, trial.test, len(trial.train.rows), options["precision"]) for one in own])
            for own in by_size
        ],
    }
    arrays = {name: np.array(values) for name, values in found.items()}
    arrays["excess"] = arrays["stable"] - arrays["stable_null"]
    ranks = np.full((len(alive), most), np.nan)
    features = trial.world.features
    for row, own in zip(ranks, alive, strict=True):
        row[: len(features)] = torch.stack([found_features(features, one, given[0]) for one in own]).mean(0)
    by_rank = np.full(most, np.nan)
    by_rank[: len(features)] = ranks[:, : len(features)].max(0)
    known = ranks[:, : len(features)].sum(1) if len(features) else np.full(len(alive), np.nan)
    return arrays | {"found": known, "by_rank": by_rank, "estimate": estimates(arrays)}


def estimates(by_size: dict[str, np.ndarray]) -> np.ndarray:
    """The number of features by each of `ESTIMATES`, from numbers by size."""
    alive = by_size["live"]
    best, shortest = int(np.nanargmax(by_size["mmcs"])), int(by_size["bits"].argmin())
    return np.array([alive[-1], alive[best], alive[shortest], by_size["stable"].max()])


def _mean(measure: Any, ones: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return float(np.mean([measure(one, other) for one, other in zip(ones, others, strict=True)]))


def _known(trial: Trial, options: Spec) -> dict[str, float]:
    """Features, detectable ones, the bits of a Gaussian, and those by what rows are made of; NaN if unknown."""
    bits, unknown = gaussian_length(trial.train, trial.test, options["precision"]), float("nan")
    features = trial.world.features
    if not len(features):
        return {"features": unknown, "detectable": unknown, "bits_null": bits, "bits_ceiling": unknown}
    noise = trial.spec["options"]["noise"]
    could = detectable(trial.train, noise, features.shape[1], options["true_cosine"])
    best = length_at_best(trial.test, features, len(trial.train.rows), options["precision"])
    counted = {"features": float(len(features)), "detectable": float(could.sum())}
    return counted | {"bits_null": bits, "bits_ceiling": best}
