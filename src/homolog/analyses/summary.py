"""What do the pairs of a comparison say together: means, intervals, reliability and excess, accepted pairs only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from homolog.alignment.statistics import (
    excess,
    jackknife_interval,
    left,
    left_interval,
    mean_over_pairs,
    ratio_interval,
    similarity_interval,
)
from homolog.analyses.roles import ROLES

# What may explain an observed similarity.
EXPLAINING = ("null", "isotropic", "spectral", "gaussian", "conditional_null", "initial")
CELL = ("decomposition", "view", "matching")
BY_RANK = ("decomposition", "view", "rank")


def summarise(measured: xr.Dataset, pairs: list[dict[str, str]]) -> xr.Dataset:
    """Summaries by comparison: a condition and a kind of pair, ``<condition>/<kind>``.

    `measured` has ``<role>_by_pair (decomposition, view, pair, matching)`` and ``<role>_by_pair_and_rank``. What comes
    back keeps ``observed`` by pair; all other roles are means over the accepted pairs of a comparison.
    """
    names = list(dict.fromkeys((pair["condition"], pair["kind"]) for pair in pairs))
    parts = []
    for name in names:
        members = [i for i, pair in enumerate(pairs) if (pair["condition"], pair["kind"]) == name]
        chosen = [i for i in members if measured.accepted.values[i]]
        units_a, units_b = ([pairs[i][unit] for i in chosen] for unit in ("unit_a", "unit_b"))
        part = _summarise_one(measured.isel(pair=chosen), units_a, units_b)
        identified = measured.identified_pair.isel(pair=members).all("pair")
        parts.append(part.assign(identified=identified, n_pairs=len(members), n_accepted_pairs=len(chosen)))
    labels = pd.Index(["/".join(name) for name in names], name="comparison")
    summary = xr.concat(parts, labels, data_vars="all", coords="minimal", compat="override")
    return summary.assign_coords(
        comparison_condition=("comparison", [condition for condition, _ in names]),
        comparison_kind=("comparison", [kind for _, kind in names]),
    )


def _summarise_one(chosen: xr.Dataset, units_a: list[str], units_b: list[str]) -> xr.Dataset:
    roles = {name: chosen[f"{name}_by_pair"].transpose("pair", *CELL).values for name in ROLES}
    ranks = {name: chosen[f"{name}_by_pair_and_rank"].transpose("pair", *BY_RANK).values for name in ROLES}
    means = {name: mean_over_pairs(values) for name, values in roles.items()}
    observed, null, ceiling = roles["observed"], roles["null"], roles["ceiling"]
    unknown = np.full(means["observed"].shape, np.nan)
    bounds = {f"{name}_{side}": unknown for name in ROLES for side in ("low", "high")}
    reliability_error = unknown
    # What is above every null and above the untrained network. Methods that see two moments alone find in Gaussian
    # samples what they find in the data: there that isn't a null, but what is observed.
    of_moments = chosen.ordered.values[:, None, None]
    explaining = [np.where((name == "gaussian") & of_moments, np.nan, roles[name]) for name in EXPLAINING]
    bounds |= {"left_low": unknown, "left_high": unknown}
    if units_a:
        bounds["left_low"], bounds["left_high"], _ = left_interval(observed, explaining, units_a, units_b)
        for name, values in roles.items():
            bounds[f"{name}_low"], bounds[f"{name}_high"], _ = similarity_interval(values, units_a, units_b)
        reliability_error = jackknife_interval(ceiling - null, units_a, units_b).standard_error
        ratio = ratio_interval(observed, null, ceiling, units_a, units_b)
    share = excess(means["observed"], means["null"], means["ceiling"], reliability_error)
    known = ~np.isnan(share)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1 - d_T / d_0, d a distance 1 - similarity: of what a method's start leaves open, how much training settles.
        stabilisation = 1 - (1 - means["observed"]) / (1 - means["step_0"])
    columns = {
        "observed_mean": means.pop("observed"),
        **means,
        **bounds,
        "reliability": means["ceiling"] - means["null"],
        "reliability_error": reliability_error,
        "stabilisation": stabilisation,
        "left": left(observed, explaining),
        "excess": share,
        "excess_low": np.where(known, ratio.low, np.nan) if units_a else share,
        "excess_high": np.where(known, ratio.high, np.nan) if units_a else share,
    }
    by_rank = {f"{name}_by_rank": (BY_RANK, mean_over_pairs(values)) for name, values in ranks.items()}
    coordinates = {name: chosen.coords[name].variable for name in CELL}
    return xr.Dataset({name: (CELL, values) for name, values in columns.items()} | by_rank, coordinates)
