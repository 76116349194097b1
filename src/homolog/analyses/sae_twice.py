"""Of what differs when an autoencoder is trained twice, how much do start, order of the data and data explain?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine
from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.recovered import described, live, oracle_features
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.decompositions.split import rows_of_halves
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.base import Drawn
from homolog.worlds.trials import TOGETHER, Progress, Spec, Trial, trials_of

# What two trainings share, from nothing to all but one thing.
SHARED = ("nothing", "start", "data", "data, order", "data, start")
COMPONENTS = ("start", "data", "order", "start x data", "start x order")
TITLES = {
    "similarity": "cosine of matched latents, by what two trainings share",
    "explained": "share of what differs between two trainings on different data",
    "live": "live latents",
    "fvu": "FVU on other rows",
}


@dataclass(frozen=True)
class Cell:
    """One training of the design: which start, which order, which half of the rows."""

    init: int
    order: int
    half: str


def sae_twice(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train each autoencoder from every start in every order, and compare all pairs.

    `similarity` by ``world``, ``decomposition`` and ``shared``; `explained` by ``component``, see `components`.
    `similarity_null`: pairs that share nothing, one of them turned within the spectrum of the rows.
    `similarity_ceiling`, by ``world``: features by least squares from the true codes of either half, if there are any.
    """
    options, trials, found = spec["options"], trials_of(spec), ByTrial.of(spec)
    for first, decomposition in with_first_column(spec["decompositions"]):
        for trial, point, by_cell in _trained(decomposition, trials, options, device, progress):
            found.put(trial, _measured(trial, by_cell), first + point)
    for trial in trials:
        found.put(trial, {"similarity_ceiling": _at_best(trial)})
    along = {"similarity": ("shared",), "explained": ("component",)}
    coords = {"decomposition": found.labels, "shared": list(SHARED), "component": list(COMPONENTS)}
    dataset = over_replicates(found.values(along), coords | world_coords(spec), TITLES)
    return dataset.assign_attrs(experiment=spec["experiment"], **options)


def design(inits: int, orders: int) -> list[Cell]:
    """All starts in all orders on one half of the rows, and each start once on the other half."""
    crossed = [Cell(init, order, "a") for init in range(inits) for order in range(orders)]
    return crossed + [Cell(init, init % orders, "b") for init in range(inits)]


def shared_by(one: Cell, other: Cell) -> str:
    """What two trainings have in common; an order of other rows is another order."""
    if one.half != other.half:
        return "start" if one.init == other.init else "nothing"
    if one.order == other.order:
        return "data, order"
    return "data, start" if one.init == other.init else "data"


def components(similarity: Float[np.ndarray, " shared"]) -> Float[np.ndarray, " components"]:
    """Shares of ``1 - similarity`` of pairs that share nothing, in the order of `COMPONENTS`; they add up to 1.

    One minus the cosine is half the squared distance of unit vectors, so that pairs which differ in some factors are
    apart by the variance of all effects in which one of these takes part. In a random-effects model with starts crossed
    with orders, and orders nested within data, the five kinds of pairs give the five components exactly (the estimator
    by expected mean squares: Searle, Casella & McCulloch, 1992).
    """
    apart = dict(zip(SHARED, 1 - similarity, strict=True))
    total = apart["nothing"]
    start = total - apart["start"]
    data = total - apart["data"]
    order = apart["data"] - apart["data, order"]
    with_data = total - apart["data, start"] - data - start
    rest = total - start - data - order - with_data
    shares: np.ndarray = np.array([start, data, order, with_data, rest]) / total
    return shares


def _trained(
    decomposition: Spec, trials: list[Trial], options: Spec, device: str | torch.device, progress: Progress
) -> Iterator[tuple[Trial, int, dict[Cell, Dictionary]]]:
    cells = design(options["inits"], options["orders"])
    members, places = [], []
    for trial in trials:
        halves = {half: InMemory(rows.to(device)) for half, rows in trial.halves.items()}
        for point, chosen in enumerate(decomposition["grid"]):
            key = (*trial.key, decomposition["name"])
            shape = chosen["n_latents"], halves["a"].units
            starts = [_start(shape, (*key, point, init)) for init in range(options["inits"])]
            members += [
                Member(chosen | {"order_seed": c.order}, c.init, c.half, halves[c.half], None, key, starts[c.init])
                for c in cells
            ]
            places.append((trial, point))
    fitted = fit_members(decomposition["method"], members, progress, together=TOGETHER)
    for number, (trial, point) in enumerate(places):
        own = fitted[number * len(cells) : (number + 1) * len(cells)]
        yield trial, point, {cell: one.to("cpu") for cell, one in zip(cells, own, strict=True)}


def _start(shape: tuple[int, int], key: tuple[str | int, ...]) -> Float[Tensor, "latents units"]:
    """Directions uniform on the sphere, the same on either half of the rows: the trainer draws others for each."""
    return torch.randn(shape, generator=stream("init", *key))


def _measured(trial: Trial, by_cell: dict[Cell, Dictionary]) -> dict[str, Any]:
    alive = {cell: one.directions[live(one, trial.test)] for cell, one in by_cell.items()}
    seen: dict[str, list[float]] = {name: [] for name in SHARED}
    null = []
    for number, (one, other) in enumerate(combinations(by_cell, 2)):
        shared = shared_by(one, other)
        seen[shared].append(alike(alive[one], alive[other]))
        if shared == "nothing":
            turn = trial.turn(number).to(alive[other])
            null.append(alike(alive[one], alive[other] @ turn))
    similarity = np.array([np.mean(seen[name]) for name in SHARED])
    return {
        "similarity": similarity,
        "similarity_null": np.mean(null),
        "explained": components(similarity),
        "live": np.mean([len(one) for one in alive.values()]),
        "fvu": np.mean([described(one, trial.test)["fvu"] for one in by_cell.values()]),
    }


def alike(one: Float[Tensor, "latents units"], other: Float[Tensor, "others units"]) -> float:
    """Mean cosine of latents matched one to one; those that find no partner count as 0."""
    if not len(one) or not len(other):
        return 0.0
    near = cosine(one, other)
    matched = match(near, near, "hungarian").per_latent.nan_to_num(0.0)
    return 2 * float(matched.sum()) / (len(one) + len(other))


def _at_best(trial: Trial) -> float:
    """What the halves themselves allow."""
    if not len(trial.world.features):
        return float("nan")
    train, halves = trial.train, rows_of_halves(len(trial.train.rows)).values()
    one, other = (oracle_features(Drawn(train.rows[index], train.codes[index]))[0] for index in halves)
    return alike(one, other)
