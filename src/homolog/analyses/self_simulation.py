"""Do synthetic activations, made from a fitted autoencoder, foretell which of its latents return on real ones?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from homolog.alignment.similarity import cosine
from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.recovered import described, live
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.simulated import KINDS, simulate
from homolog.worlds.trials import TOGETHER, Progress, Spec, Trial, trials_of

SOURCES = ("real", *KINDS)
TITLES = {
    "stability": "largest cosine of a latent in refits",
    "foretold": "rank correlation of foretold and observed stability over latents",
    "told_apart": "share of rows nearest to a row of their own kind",
    "fvu": "FVU of refits on the rows they were fitted to",
    "latent": "largest cosine of each latent in refits, of one replicate",
}


def self_simulation(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit half of the rows, make rows like it, refit these and the other half, and compare latent by latent.

    By ``world``, ``decomposition`` and ``source`` (real: the other half) `stability`, `foretold` (real: by another set
    of refits, the ceiling), `told_apart` (null: 1/2) and `fvu`. `stability_null`: turned latents in real refits.
    """
    options, trials, found = spec["options"], trials_of(spec), ByTrial.of(spec)
    most = max(point["n_latents"] for one in spec["decompositions"] for point in one["grid"])
    latents = np.full((len(spec["worlds"]), len(found.labels), len(SOURCES), most), np.nan)
    for first, decomposition in with_first_column(spec["decompositions"]):
        for point, chosen in enumerate(decomposition["grid"]):
            key = decomposition["name"], point
            for trial, base, refits, rows in _fitted(
                decomposition["method"], chosen, key, trials, options, device, progress
            ):
                numbers, each = _measured(trial, base, refits, rows)
                found.put(trial, numbers, first + point)
                if trial.replicate == 0:
                    latents[spec["worlds"].index(trial.spec), first + point, :, : each.shape[1]] = each
    along = {name: ("source",) for name, array in found.by_column.items() if array.ndim > 3}
    coords = {"decomposition": found.labels, "source": list(SOURCES)} | world_coords(spec)
    dataset = over_replicates(found.values(along), coords, TITLES)
    dataset["latent_stability"] = (
        ("world", "decomposition", "source", "latent"),
        latents,
        {"long_name": TITLES["latent"]},
    )
    return dataset.assign(told_apart_null=0.5).assign_attrs(experiment=spec["experiment"], **options)


Refits = dict[str, list[Dictionary]]


def _fitted(
    method: str, chosen: Spec, key: tuple[str, int], trials: list[Trial], options: Spec, device: str | torch.device,
    progress: Progress,
) -> list[tuple[Trial, Dictionary, Refits, dict[str, Tensor]]]:  # fmt: skip
    """Each trial with the dictionary of one half, rows by source, and refits to them; twice as many to real rows."""
    halves = [tuple(trial.halves.values()) for trial in trials]

    def members_of(number: int, source: str, rows: Tensor, seeds: int) -> list[Member]:
        samples, own = InMemory(rows.to(device)), (*trials[number].key, *key, source)
        return [Member(chosen, seed, "all", samples, None, own) for seed in range(seeds)]

    def fit(members: list[Member]) -> list[Dictionary]:
        return [one.to("cpu") for one in fit_members(method, members, progress, together=TOGETHER)]

    bases = fit([member for i, (first, _) in enumerate(halves) for member in members_of(i, "base", first, 1)])
    rows: list[dict[str, Tensor]] = []
    for trial, base, (first, second) in zip(trials, bases, halves, strict=True):
        made = {
            kind: simulate(base, first, kind, len(second), stream("simulated", *trial.key, *key, kind))
            for kind in KINDS
        }
        rows.append({"real": second} | made)
    counts = {source: options["refits"] * (2 if source == "real" else 1) for source in SOURCES}
    refits = iter(fit([m for i, own in enumerate(rows) for s in SOURCES for m in members_of(i, s, own[s], counts[s])]))
    return [
        (trial, base, {source: [next(refits) for _ in range(counts[source])] for source in SOURCES}, own)
        for trial, base, own in zip(trials, bases, rows, strict=True)
    ]


def _measured(
    trial: Trial, base: Dictionary, refits: Refits, rows: dict[str, Tensor]
) -> tuple[dict[str, Any], Float[np.ndarray, "sources latents"]]:
    directions = base.directions[live(base, trial.test)]
    count = len(refits["real"]) // 2
    observed, again = (returned(directions, part) for part in (refits["real"][:count], refits["real"][count:]))
    foretold = torch.stack([again, *(returned(directions, refits[kind]) for kind in KINDS)])
    turn = trial.turn().float()
    # Real rows that nothing here was fitted to, for a fair comparison: as many of each.
    test = trial.test.rows
    fvu = [np.mean([one.member["fvu"] for one in refits[source]]) for source in SOURCES]
    values = {
        "stability": torch.cat([observed.mean()[None], foretold[1:].mean(1)]).numpy(),
        "stability_null": float(returned(directions @ turn, refits["real"]).mean()),
        "foretold": np.array([_rank_correlation(one, observed) for one in foretold]),
        "told_apart": np.array([told_apart(test, rows[source][: len(test)]) for source in SOURCES]),
        "fvu": np.array(fvu),
        "base_fvu": described(base, trial.test)["fvu"],
    }
    return values, torch.cat([observed[None], foretold[1:]]).numpy()


def returned(directions: Float[Tensor, "latents units"], refits: list[Dictionary]) -> Float[Tensor, " latents"]:
    """Of each latent the largest cosine with one of a refit that is used, a mean over refits."""
    found = [cosine(directions, one.directions[one.firing_rate > 0]).amax(1) for one in refits]
    return torch.stack(found).mean(0)


def told_apart(one: Float[Tensor, "n units"], other: Float[Tensor, "m units"]) -> float:
    """Share of rows whose nearest other row is of their own sample, of as many rows of each (Schilling, 1986).

    1/2 where both come from one distribution; 1 where they don't overlap.
    """
    count = min(len(one), len(other))
    pooled = torch.cat([one[:count], other[:count]]).double()
    apart = torch.cdist(pooled, pooled).fill_diagonal_(torch.inf)
    own = torch.arange(2 * count) < count
    return float((own[apart.argmin(1)] == own).double().mean())


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's; NaN where all are equal."""
    if float(one.std()) == 0 or float(other.std()) == 0:
        return float("nan")
    return float(stats.spearmanr(one.numpy(), other.numpy()).statistic)
