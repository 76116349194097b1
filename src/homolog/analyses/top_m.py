"""Does a filter that keeps the m most active units push features onto single units, and what does it cost by width?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.nulls import haar_rotation
from homolog.analyses.replicates import over_replicates
from homolog.streams import stream
from homolog.toys.top_m import (
    FILTERS,
    alignment,
    hidden,
    keep_at_random,
    keep_largest,
    keep_largest_turned,
    outputs,
    participation,
    start,
)
from homolog.toys.training import Parameters, train_members

# Rows of the held-out set, and random directions behind a null.
HELD_OUT, RANDOM = 2048, 2000
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Found = dict[str, np.ndarray]


def top_m(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks with each filter over widths around the number of planted features.

    Variables by ``features``, ``ratio`` (units over features) and ``filter``, means over replicates with bounds:
    ``fvu`` of the reconstruction on held-out rows, ``gap`` (fvu less that of the replicate without a filter),
    ``alignment`` and ``participation`` of the features' read-in weights, whose null is random directions, and
    ``turned_alignment`` in the basis of the turned filter. Without ``ratio``, ``more_below``: the mean gap at widths
    below the number of features less that from there on, by replicate.
    """
    options = spec["options"]
    numbers, ratios = options["features"], options["ratios"]
    cells = [[_cell(options, number, ratio, progress) for ratio in ratios] for number in numbers]
    dims = ("features", "ratio", "filter", "replicate")
    values = {}
    for name, one in cells[0][0].items():
        array = np.array([[cell[name] for cell in row] for row in cells])
        values[name] = (dims if one.ndim == 2 else dims[:2] + dims[3:], array)
    narrow = np.array(ratios) < 1
    if narrow.any() and not narrow.all():
        gap = values["gap"][1]
        values["more_below"] = dims[:1] + dims[2:], gap[:, narrow].mean(1) - gap[:, ~narrow].mean(1)
    coords = {"features": numbers, "ratio": ratios, "filter": list(FILTERS)}
    dataset = over_replicates(values, coords, TITLES, SHARES)
    facts = {name: options[name] for name in ("kept", "active", "replicates", "steps")}
    return dataset.assign_attrs(experiment=spec["experiment"], **facts)


TITLES = {
    "fvu": "FVU on held-out rows",
    "gap": "FVU less that without a filter",
    "more_below": "that at widths below the number of features, less from there on",
    "alignment": "alignment with a unit, max |W_fi| / |W_f|",
    "turned_alignment": "alignment with an axis of the turned basis",
    "participation": "units over which a feature is spread",
}
SHARES = ("alignment", "turned_alignment")


def _cell(options: dict[str, Any], features: int, ratio: float, progress: Progress) -> Found:
    """All filters and replicates of one width: arrays (filter, replicate), and nulls (replicate)."""
    units, replicates = max(2, round(ratio * features)), options["replicates"]
    key = ("top_m", features, units)
    draws, masks = stream(*key, "rows"), stream(*key, "masks")
    axes = _orthogonal(replicates, features, stream("top_m", features, "axes"))
    turned = _orthogonal(replicates, units, stream(*key, "turned"))
    alone = start(replicates, features, units, stream(*key, "start"))
    # Filters share starts and rows, so that a gap is the filter's.
    begun = {name: torch.cat([one] * len(FILTERS)) for name, one in alone.items()}

    def drawn(rows: int) -> Tensor:
        return _rows(features, options["active"], rows, draws, axes)

    def errors(parameters: Parameters, inputs: Tensor) -> Tensor:
        own = inputs.repeat(len(FILTERS), 1, 1)
        kept = _filtered(hidden(parameters, own), options["kept"], masks, turned)
        return ((outputs(parameters, kept) - own) ** 2).sum(2).mean(1)

    def losses(parameters: Parameters, step: int) -> Tensor:
        return errors(parameters, drawn(options["batch_size"]))

    trained = train_members(begun, losses, options["steps"], options["lr"], warm_up=0.05, progress=progress)
    rows = drawn(HELD_OUT)
    variance = rows.var(1, correction=0).sum(1)
    fvu = errors(trained, rows).reshape(len(FILTERS), replicates) / variance
    read = axes.repeat(len(FILTERS), 1, 1) @ trained["in"]
    return _told(fvu, read, turned, stream(*key, "null"))


def _told(
    fvu: Tensor, read: Float[Tensor, "members features units"], turned: Tensor, generator: torch.Generator
) -> Found:
    replicates, units = len(turned), read.shape[2]
    random = torch.randn(replicates, RANDOM, units, generator=generator)
    shape = (len(FILTERS), replicates)
    return {
        "fvu": fvu.numpy(),
        "gap": (fvu - fvu[:1]).numpy(),
        "alignment": alignment(read).mean(1).reshape(shape).numpy(),
        "turned_alignment": alignment(read @ turned.repeat(len(FILTERS), 1, 1)).mean(1).reshape(shape).numpy(),
        "participation": participation(read).mean(1).reshape(shape).numpy(),
        "alignment_null": alignment(random).mean(1).numpy(),
        "participation_null": participation(random).mean(1).numpy(),
    }


def _filtered(activations: Tensor, kept: int, masks: torch.Generator, turned: Tensor) -> Tensor:
    """A quarter of the members for each of `FILTERS`, in order."""
    plain, top, random, rotated = activations.chunk(len(FILTERS))
    at_random, in_turned = keep_at_random(random, kept, masks), keep_largest_turned(rotated, kept, turned)
    return torch.cat([plain, keep_largest(top, kept), at_random, in_turned])


def _rows(
    features: int, active: float, rows: int, draws: torch.Generator, axes: Float[Tensor, "replicates features features"]
) -> Float[Tensor, "replicates rows features"]:
    """Features that are there with probability `active` / `features`, uniform in [1/2, 1], in turned coordinates."""
    drawn = torch.rand(2, len(axes), rows, features, generator=draws)
    return torch.where(drawn[0] < active / features, 0.5 + drawn[1] / 2, 0.0) @ axes


def _orthogonal(count: int, size: int, generator: torch.Generator) -> Float[Tensor, "count size size"]:
    return torch.stack([haar_rotation(size, generator) for _ in range(count)]).float()
