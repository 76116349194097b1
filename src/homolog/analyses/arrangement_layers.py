"""How do the directions of latents lie in trained layers, site by site, and what of a layer can be ablated in vain?

The ablation itself is in `emptiness`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.matching import match_values
from homolog.analyses.admission import acceptance, counted_runs
from homolog.analyses.by_run import Table, over_runs, units_of
from homolog.analyses.causal_features import chosen
from homolog.analyses.comparison import Fitted, live_latents
from homolog.analyses.emptiness import TITLES as EMPTINESS
from homolog.analyses.emptiness import emptiness, with_variance
from homolog.analyses.stability import open_fitted
from homolog.store.runs import StoredRun
from homolog.streams import stream
from homolog.toys.arrangement import THRESHOLDS, arranged, blurred, in_planes, welch_bound

Progress = Callable[[Iterable[Any]], Iterable[Any]]
TITLES = {
    "live": "live latents",
    "groups": "groups orthogonal to each other",
    "in_factors": "share of latents in tegum factors,\nat the kindest threshold",
    "rms": "root mean square of cosines",
    "largest_positive": "largest positive cosine",
    "largest": "largest absolute cosine",
    "mean_dimensionality": "dimensions a latent",
    "welch": "Welch bound of the root mean square",
    "halves": "cosine of latents between fits to two halves",
    **EMPTINESS,
}
SHARES = ("in_factors", "rms", "largest", "variance", "written", "halves")


def arrangement_layers(
    spec: dict[str, Any], runs: dict[str, StoredRun], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Measures of `toys.arrangement` on the latents of trained layers, by ``hook_point`` and ``decomposition``.

    Variables `TITLES`, means over runs that count, with bounds. Of directions, `<name>_null`: as many independent
    random ones of the layer's covariance; `<name>_isotropic`: uniform in the dimensions that have variance;
    `<name>_planted`: polygons in orthogonal planes (`in_planes`), which are tegum factors, and `<name>_blurred`: these
    with an error that makes two such as unlike as latents fitted to two halves of the rows are: what the test could
    find. By ``hook_point`` alone, of principal directions, what `emptiness` tells.
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
        empty = {"layer": {run: emptiness(layer, last[run], draws) for run, layer in layers.items()}}
        whole = over_runs(empty, units, TITLES, SHARES).isel(decomposition=0, drop=True)
        sites.append(over_runs(table, units, TITLES, SHARES).merge(whole, combine_attrs="override"))
    dataset = xr.concat(sites, pd.Index(spec["hook_points"], name="hook_point"), data_vars="all")
    facts = {"experiment": spec["experiment"], "tolerance": spec["options"]["tolerance"]}
    return dataset.merge(accepted).assign_attrs(facts)


def _lie(fitted: Fitted, draws: int) -> dict[str, float]:
    """How a dictionary's live directions lie, beside random ones and planted factors."""
    layer, dictionary = fitted.layer, chosen(fitted)
    directions = dictionary.directions[live_latents(layer, dictionary)].cpu()
    found = _arranged(directions) | {"live": float(len(directions))}
    values, vectors = with_variance(layer)
    found["welch"] = welch_bound(len(directions), len(values))
    likeness = between_halves(fitted)
    rows: dict[str, list[dict[str, float]]] = {}
    for draw in range(draws):
        for kind, spread in (("null", values.sqrt()), ("isotropic", torch.ones_like(values))):
            generator = stream("arrangement", kind, layer.run, layer.hook_point, fitted.label, draw)
            random = torch.randn(len(directions), len(values), generator=generator, dtype=values.dtype)
            rows.setdefault(kind, []).append(_arranged(random * spread @ vectors.T))
        generator = stream("arrangement", "planted", layer.run, layer.hook_point, fitted.label, draw)
        planted = in_planes(len(directions), len(values), generator)
        rows.setdefault("planted", []).append(_arranged(planted))
        if not math.isnan(likeness):
            rows.setdefault("blurred", []).append(_arranged(blurred(planted, math.sqrt(likeness), generator)))
    for kind, drawn in rows.items():
        found |= {f"{name}_{kind}": float(np.mean([row[name] for row in drawn])) for name in drawn[0]}
    return found | {"halves": likeness}


def _arranged(directions: Float[Tensor, "latents units"]) -> dict[str, float]:
    """`arranged`, but for the share in factors, which is the most over `THRESHOLDS`."""
    found = arranged(directions)
    return found | {"in_factors": max(arranged(directions, joined)["in_factors"] for joined in THRESHOLDS)}


def between_halves(fitted: Fitted) -> float:
    """Mean cosine of live latents fitted to two halves of the rows, matched one to one; NaN without such fits."""
    seed = min(seed for _, seed in fitted.members)
    halves = [fitted.members.get((rows, seed)) for rows in "ab"]
    units = [
        torch.nn.functional.normalize(one.directions[live_latents(fitted.layer, one)], dim=1)
        for one in halves
        if one is not None
    ]
    if len(units) < 2:
        return math.nan
    cosines = units[0] @ units[1].T
    return max(0.0, float(match_values(cosines[None], cosines[None], "hungarian")[0]))
