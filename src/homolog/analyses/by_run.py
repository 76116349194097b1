"""What do the runs of an experiment say together of a number that each of them gives?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.analyses.replicates import mean_of_known, over_replicates
from homolog.dictionary import Dictionary

# Numbers by decomposition, then run.
Table = dict[str, dict[str, dict[str, float]]]


def units_of(pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What each run of the pairs is a replicate of: itself; with several bases, its base."""
    found: dict[str, str] = {}
    for pair in pairs:
        found[pair["a"]], found[pair["b"]] = pair["unit_a"], pair["unit_b"]
    return found


def over_runs(
    table: Table, units: Mapping[str, str], titles: Mapping[str, str] | None = None, shares: Collection[str] = ()
) -> xr.Dataset:
    """Means by ``decomposition`` with their bounds, from numbers by decomposition and run; of each unit the mean first.

    `table` lists, by decomposition and run, numbers by name; what a run doesn't have, or has as NaN, is left out.
    """
    names = dict.fromkeys(name for by_run in table.values() for row in by_run.values() for name in row)
    replicates = list(dict.fromkeys(units[run] for by_run in table.values() for run in by_run))
    values: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name in names:
        array = np.full((len(table), len(replicates)), np.nan)
        for row, by_run in enumerate(table.values()):
            for column, unit in enumerate(replicates):
                numbers = [found.get(name, np.nan) for run, found in by_run.items() if units[run] == unit]
                array[row, column] = mean_of_known(numbers)
        values[name] = (("decomposition", "replicate"), array)
    found = over_replicates(values, {"decomposition": list(table)}, titles, shares)
    return found.assign_attrs(replicates=len(replicates))


def means(numbers: Mapping[str, Float[Tensor, ...]]) -> dict[str, float]:
    """The mean of each over all that isn't NaN."""
    return {name: float(value.double().nanmean()) for name, value in numbers.items()}


def neurons(layer: Layer) -> Dictionary:
    """Each unit as a latent of its own, about its mean."""
    mean = held_out(layer).mean(0)
    return linear(torch.eye(layer.units).to(mean), mean)


def class_means(layer: Layer) -> Dictionary:
    """A latent for each class: from the mean of all to the mean of its inputs; codes by least squares."""
    rows, labels = held_out(layer), torch.cat([layer.labels[fold] for fold in FOLDS])
    mean = rows.mean(0)
    return linear(torch.stack([rows[labels == one].mean(0) - mean for one in torch.unique(labels)]), mean)


def linear(directions: Float[Tensor, "latents units"], mean: Float[Tensor, " units"]) -> Dictionary:
    """Latents along some directions, at unit norm, whose codes are those of least squares about a mean."""
    unit = torch.nn.functional.normalize(directions, dim=1)
    ones = torch.ones(len(unit)).to(unit)
    return Dictionary(unit, torch.linalg.pinv(unit).T.contiguous(), 0 * ones, mean, ones, ones)


def held_out(layer: Layer) -> Float[Tensor, "samples units"]:
    """Both folds of a layer's held-out inputs."""
    return torch.cat([layer.activations[fold] for fold in FOLDS])


def as_attributes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that may stand as attributes of a file."""
    return {name: value for name, value in options.items() if isinstance(value, int | float | str)}
