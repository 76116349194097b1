"""Which latents of one dictionary come back in the other runs of an experiment, and what would chance give?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from homolog.alignment.decisions import lower_bound
from homolog.dictionary import Dictionary
from homolog.store.track_table import track_table

CONFIDENCE = 0.95
# Of a latent's track, beside those that each group has.
_TOLD = (
    "track", "found", "runs", "similarity", "link_level", "support", "member_p_value", "p_value", "adjusted_p_value",
    "conditional_adjusted_p_value",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One grid point at one hook point of one run."""

    run: str
    hook_point: str
    label: str


def latent_table(dictionary: Dictionary, place: Place, tracks: xr.Dataset | None) -> pd.DataFrame:
    """A row for each latent of a dictionary, in its order: rates, and its track with `found` of `runs`, if it has one.

    The null of `similarity` is `link_level`, what 95 % of the best matches of shuffled inputs stay below. p-values of
    tracks are after Benjamini & Yekutieli where they are `adjusted`.
    """
    table = pd.DataFrame(
        {
            "latent": np.arange(len(dictionary.directions)),
            "firing_rate": dictionary.firing_rate.numpy(),
            "importance": dictionary.importance.numpy(),
        }
    )
    if tracks is None:
        return table
    members = track_table(tracks)
    here = (
        (members.run == place.run) & (members.hook_point == place.hook_point) & (members.decomposition == place.label)
    )
    by_group = [name for name in members if " in " in str(name)]
    told = [name for name in (*_TOLD, *by_group) if name in members]
    mine = members.loc[here, ["latent", *told]].astype({"track": "Int64", "found": "Int64"})
    whole = table.merge(mine, on="latent", how="left", validate="one_to_one")
    return whole.assign(runs=int(tracks.accepted_run.sum()), link_level=_at(tracks, place, "link_level"))


@dataclass(frozen=True)
class Returns:
    """How many latents of a dictionary are in a track of at least r runs, beside what chance gives."""

    runs: int
    live: int
    at_least: list[dict[str, Any]]
    """For each r from all runs down: `r`, `latents`, `share` of the live ones; `null`, `conditional_null` (shares)."""
    by_group: list[dict[str, Any]]
    """For each group of runs: `group`, how many `others` it has beside this one, `latents` found in all of these, and
    `bound`, the exact lower 95 % bound for the share of such runs in which such a latent is found."""
    ceiling: dict[str, Any] | None
    """Among `fits` members of one run: the `share` of latents in all of them, mean over runs."""


def returns_of(place: Place, tracks: xr.Dataset, table: pd.DataFrame) -> Returns | None:
    """Counted from the latents' table; None where the run doesn't count, or there are no tracks."""
    runs = int(tracks.accepted_run.sum())
    if "survival" not in tracks or not bool(tracks.accepted_run.sel(run=place.run)):
        return None
    here = tracks.sel(hook_point=place.hook_point, decomposition=place.label)
    live = int(here.live_latents.sel(run=place.run))
    fewest = int(tracks.attrs["least_runs"])
    at_least = []
    for r in range(runs, fewest - 1, -1):
        latents = int((table.found >= r).sum())
        chance = {name: float(here[f"{name}_survival"].sel(r=r)) for name in ("null", "conditional_null")}
        at_least.append({"r": r, "latents": latents, "share": latents / live if live else float("nan"), **chance})
    fits = int(here.n_fits)
    ceiling = {"fits": fits, "share": float(here.ceiling_survival.sel(fit=fits))} if fits else None
    return Returns(runs, live, at_least, _by_group(place, tracks, table), ceiling)


def _by_group(place: Place, tracks: xr.Dataset, table: pd.DataFrame) -> list[dict[str, Any]]:
    members = {name: [one["run"] for one in facts] for name, facts in json.loads(tracks.attrs["spec"])["groups"]}
    found = []
    for name in map(str, tracks.group.values):
        mine = int(place.run in members.get(name, []))
        others = int(tracks.runs_in.sel(group=name)) - mine
        if others < 1:
            continue
        in_all = int((table[f"found in {name}"].fillna(0) - mine >= others).sum())
        # Runs of several bases aren't independent trials: then there is no exact bound.
        exact = bool(np.isfinite(tracks.found_in_low.sel(group=name)).all())
        bound = float(lower_bound(np.array([others]), others, CONFIDENCE)[0]) if exact else float("nan")
        found.append({"group": name, "others": others, "latents": in_all, "bound": bound})
    return found


def similarities_of(place: Place, data: xr.Dataset) -> list[dict[str, Any]]:
    """By comparison of the experiment: observed similarity of codes, one to one, with its nulls and its ceiling."""
    if place.hook_point not in data.hook_point or place.label not in data.decomposition:
        return []
    here = data.sel(hook_point=place.hook_point, decomposition=place.label, view="score", matching="hungarian")
    names = ("observed_mean", "observed_low", "observed_high", "null", "conditional_null", "initial", "ceiling")
    found = []
    for comparison in map(str, here.comparison.values):
        values = {name: float(here[name].sel(comparison=comparison)) for name in names if name in here}
        if np.isfinite(values["observed_mean"]):
            found.append({"comparison": comparison, **values})
    return found


def _at(tracks: xr.Dataset, place: Place, name: str) -> float:
    if name not in tracks:
        return float("nan")
    return float(tracks[name].sel(hook_point=place.hook_point, decomposition=place.label))
