"""How does a small bottleneck arrange more features than it has units, as they become sparser?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.analyses.replicates import over_replicates
from homolog.streams import stream
from homolog.toys.bottleneck import dimensionality, outputs, sample, start
from homolog.toys.training import Parameters, train_members

# A feature counts as represented from half of a weight of unit norm on: its squared norm is near 0 or near 1.
REPRESENTED = 0.5
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def superposition(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train toy models over sparsities, all together, and say how many features each holds, and how.

    Variables by ``sparsity``, means over replicates with bounds: ``represented`` (features), ``per_dimension``
    (|W|^2 / units), ``mean_dimensionality`` (of represented features). Their null is `initial`: random weights.
    """
    options = spec["options"]
    sparsities, replicates = options["sparsities"], options["replicates"]
    member = torch.tensor(sparsities).repeat_interleave(replicates)
    begun = start(len(member), options["features"], options["units"], stream("superposition", "start"))
    draws = stream("superposition", "rows")

    def losses(parameters: Parameters, step: int) -> torch.Tensor:
        inputs = sample(member, options["batch_size"], options["features"], draws)
        return ((outputs(parameters, inputs) - inputs) ** 2).sum(2).mean(1)

    trained = train_members(begun, losses, options["steps"], options["lr"], progress=progress)
    values = _told(trained["weight"]) | {f"{key}_null": one for key, one in _told(begun["weight"]).items()}
    shaped = {key: (("sparsity", "replicate"), one.reshape(len(sparsities), replicates)) for key, one in values.items()}
    dataset = over_replicates(shaped, {"sparsity": sparsities}, TITLES)
    facts = {name: options[name] for name in ("features", "units", "replicates", "steps")}
    return dataset.assign_attrs(experiment=spec["experiment"], **facts)


TITLES = {
    "represented": "features with a weight of their own",
    "per_dimension": "features per dimension, |W|^2 / units",
    "mean_dimensionality": "share of a dimension of each such feature",
}


def _told(weight: torch.Tensor) -> dict[str, np.ndarray]:
    norms = (weight**2).sum(2)
    held = norms > REPRESENTED
    shares = torch.where(held, dimensionality(weight), torch.nan).nanmean(1)
    return {
        "represented": held.sum(1).double().numpy(),
        "per_dimension": (norms.sum(1) / weight.shape[2]).numpy(),
        "mean_dimensionality": shares.numpy(),
    }
