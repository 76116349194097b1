"""How do the directions of latents lie in trained layers, site by site, and what of a layer can be ablated in vain?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.nulls import haar_rotation
from homolog.alignment.views.base import OF_STREAMS
from homolog.analyses.admission import acceptance, counted_runs
from homolog.analyses.by_run import Table, held_out, over_runs, units_of
from homolog.analyses.causal_features import chosen
from homolog.analyses.comparison import Fitted, live_latents
from homolog.analyses.stability import open_fitted
from homolog.store.runs import StoredRun
from homolog.streams import stream
from homolog.toys.arrangement import arranged, is_empty, welch_bound

Progress = Callable[[Iterable[Any]], Iterable[Any]]
TITLES = {
    "live": "live latents",
    "groups": "groups orthogonal to each other",
    "in_factors": "share of latents in tegum factors",
    "rms": "root mean square of cosines",
    "largest_positive": "largest positive cosine",
    "largest": "largest absolute cosine",
    "mean_dimensionality": "dimensions a latent",
    "welch": "Welch bound of the root mean square",
    "dimensions": "dimensions with any variance",
    "empty": "directions that can be ablated one by one",
    "together": "cost of ablating all these at once, of the layer's worth",
    "variance": "their share of the variance here",
    "later": "their share of the variance at the last site",
}


def arrangement_layers(
    spec: dict[str, Any], runs: dict[str, StoredRun], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Measures of `toys.arrangement` on the latents of trained layers, by ``hook_point`` and ``decomposition``.

    Variables `TITLES`, means over runs that count, with bounds. Of directions, `<name>_null`: as many independent
    random ones of the layer's covariance; `<name>_isotropic`: uniform in the dimensions that have variance. By
    ``hook_point`` alone, of principal directions: ``empty`` ones, which can be put at their mean one by one; null of
    ``together``, ``variance`` and ``later``: as many random orthonormal directions. ``later`` of a stream only, where
    all sites share one space.
    """
    accepted = acceptance(spec, runs)
    counted = counted_runs(accepted, spec["references"])
    units, draws = units_of(spec["pairs"]), spec["options"]["null_draws"]
    fitted = {point: open_fitted(spec, runs, point, device) for point in spec["hook_points"]}
    last = {run: next(iter(fitted[spec["hook_points"][-1]].values()))[run].layer for run in counted}
    sites = []
    for by_label in progress(fitted.values()):
        table: Table = {label: {run: _lie(of_run[run], draws) for run in counted} for label, of_run in by_label.items()}
        layers = {run: next(iter(by_label.values()))[run].layer for run in counted}
        emptiness = {"layer": {run: _empty(layer, last[run], draws) for run, layer in layers.items()}}
        whole = over_runs(emptiness, units, TITLES).isel(decomposition=0, drop=True)
        sites.append(over_runs(table, units, TITLES).merge(whole, combine_attrs="override"))
    dataset = xr.concat(sites, pd.Index(spec["hook_points"], name="hook_point"), data_vars="all")
    facts = {"experiment": spec["experiment"], "tolerance": spec["options"]["tolerance"]}
    return dataset.merge(accepted).assign_attrs(facts)


def _lie(fitted: Fitted, draws: int) -> dict[str, float]:
    """How a dictionary's live directions lie, beside random ones."""
    layer, dictionary = fitted.layer, chosen(fitted)
    directions = dictionary.directions[live_latents(layer, dictionary)].cpu()
    found = arranged(directions) | {"live": float(len(directions))}
    values, vectors = with_variance(layer)
    found["welch"] = welch_bound(len(directions), len(values))
    for kind, spread in (("null", values.sqrt()), ("isotropic", torch.ones_like(values))):
        rows = []
        for draw in range(draws):
            generator = stream("arrangement", kind, layer.run, layer.hook_point, fitted.label, draw)
            random = torch.randn(len(directions), len(values), generator=generator, dtype=values.dtype)
            rows.append(arranged(random * spread @ vectors.T))
        found |= {f"{name}_{kind}": float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return found


def with_variance(layer: Layer) -> tuple[Float[Tensor, " dims"], Float[Tensor, "units dims"]]:
    """Eigenvalues and eigenvectors of the layer's covariance, where there is any variance."""
    values, vectors = layer.spectrum.values.cpu(), layer.spectrum.vectors.cpu()
    kept = values > 1e-10 * values[0]
    return values[kept], vectors[:, kept]


def _empty(layer: Layer, last: Layer, draws: int) -> dict[str, float]:
    """How much of a layer can be ablated, one principal direction at a time and all of these at once."""
    _, vectors = with_variance(layer)
    axes = vectors.T.to(layer.covariance)
    rows = held_out(layer)
    free = axes[is_empty(rows, axes, _loss_of(layer)).to(axes.device)]
    found = {"dimensions": float(len(axes)), "empty": float(len(free)), **_together(layer, last, free)}
    drawn = []
    for draw in range(draws):
        generator = stream("arrangement", "empty", layer.run, layer.hook_point, draw)
        drawn.append(_together(layer, last, haar_rotation(len(axes), generator).to(axes)[: len(free)] @ axes))
    return found | {f"{name}_null": float(np.mean([row[name] for row in drawn])) for name in drawn[0]}


def _together(layer: Layer, last: Layer, axes: Float[Tensor, "axes units"]) -> dict[str, float]:
    """What orthonormal axes cost when all are put at their mean, over what the layer is worth, and what they hold."""
    rows, loss = held_out(layer), _loss_of(layer)
    mean = rows.mean(0)
    own, without = loss(rows), loss(mean.expand_as(rows))
    cost = (loss(rows - (rows - mean) @ axes.T @ axes) - own) / (without - own)
    stays = layer.symmetry in OF_STREAMS
    there = [(rows - mean) @ axes.T, rows - mean]
    found = {"together": cost, "variance": _ratio(there)}
    if stays:
        # Both layers' gauges are taken back: the stream has one basis.
        whole = last.gauge.undo(held_out(last))
        whole = whole - whole.mean(0)
        found["later"] = _ratio([whole @ layer.gauge.undo(axes).T, whole])
    return found


def _ratio(rows: Sequence[Tensor]) -> float:
    part, whole = (float(one.square().sum()) for one in rows)
    return part / whole


def _loss_of(layer: Layer) -> Callable[[Tensor], float]:
    """The mean loss of the held-out inputs, both folds, when their activations are replaced."""
    sizes = [len(layer.activations[fold]) for fold in FOLDS]

    def loss(rows: Tensor) -> float:
        total, count = 0.0, 0
        for fold, part in zip(FOLDS, torch.split(rows, sizes), strict=True):
            rest = layer.rest[fold]
            each = rest.losses(rest.replaced(part[: rest.rows])[None])
            total, count = total + float(each.sum()), count + rest.rows
        return total / count

    return loss
