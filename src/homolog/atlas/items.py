"""What is there to look at in one decomposition: its tracks and the latents without one, and what is told of each?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int

from homolog.atlas.fates import Fate, Latent
from homolog.atlas.members import Members, RowsToTell
from homolog.atlas.neighbours import Neighbours, by_chance, nearest
from homolog.atlas.pages import short
from homolog.atlas.reading import Looked
from homolog.atlas.strongest import largest_by_chance, mean_of_members, strongest_effect, strongest_on
from homolog.streams import stream

# What a change is, by what its columns in tracks.nc are named after `change_`.
Change = dict[str, str]


@dataclass(frozen=True)
class Series:
    """One decomposition at one hook point: what was read of each run that counts, and the tracks of the file."""

    hook_point: str
    label: str
    runs: list[str]
    looked: list[Looked]
    tracks: xr.Dataset
    summary: xr.Dataset | None
    first: int
    """The number of its first latent without a track, in the atlas."""

    @cached_property
    def members(self) -> Int[np.ndarray, "items runs"]:
        """A latent's number in each run, -1 for none: tracks, then live latents without one, run by run."""
        of_tracks = self.tracks.latent.sel(run=self.runs).values.astype(int)
        alone = []
        for run, one in enumerate(self.looked):
            free = np.setdiff1d(np.flatnonzero(one.activity.active), of_tracks[:, run])
            rows = np.full((len(free), len(self.runs)), -1)
            rows[:, run] = free
            alone.append(rows)
        return np.concatenate([of_tracks, *alone])

    @cached_property
    def ids(self) -> Int[np.ndarray, " items"]:
        """Their numbers in the atlas: of a track that in tracks.nc."""
        alone = len(self.members) - self.tracks.sizes["track"]
        return np.concatenate([self.tracks.track.values.astype(int), self.first + np.arange(alone)])

    @property
    def silent(self) -> list[int]:
        """By run: latents that no held-out input makes active."""
        return [int((one.activity.active == 0).sum()) for one in self.looked]

    @property
    def signed(self) -> bool:
        return self.looked[0].dictionary.signed

    @cached_property
    def neighbours(self) -> Neighbours:
        """Places of the nearest tracks among the items."""
        tracks = self.members[: self.tracks.sizes["track"]]
        return nearest(self.members, tracks, [one.dictionary.directions for one in self.looked], self.signed)

    @cached_property
    def near_by_chance(self) -> float:
        """What the nearest track reaches for 95 % of random directions."""
        draw = stream("atlas", "neighbours", self.hook_point, self.label)
        tracks = self.members[: self.tracks.sizes["track"]]
        return by_chance(tracks, [one.dictionary.directions for one in self.looked], self.signed, draw)


def columns(series: Series, words: list[str | None]) -> dict[str, list[Any]]:
    """What the lists say of each item, by column; `words` says of each held-out row what it is."""
    tracks, size = series.tracks, len(series.members)
    alone = size - tracks.sizes["track"]

    def of_tracks(values: np.ndarray) -> list[Any]:
        listed: list[Any] = short(np.concatenate([values, np.full((alone, *values.shape[1:]), np.nan)])).tolist()
        return listed

    found = (series.members >= 0).sum(1)
    effects = [one.effects for one in series.looked]
    effect, of_class = strongest_effect(series.members, effects)
    near, cosine = series.neighbours
    said, counts = strongest_on(series.members, [one.activity.top.row for one in series.looked], words)
    told: dict[str, list[Any]] = {
        "id": series.ids.tolist(),
        "run": np.where(found == 1, (series.members >= 0).argmax(1), -1).tolist(),
        "latent": np.where(found == 1, series.members.max(1), -1).tolist(),
        "found": found.tolist(),
        "words": said,
        "counts": counts,
        "similarity": of_tracks(tracks.similarity.mean("run").values),
        "rate": short(mean_of_members(series.members, [one.activity.rate for one in series.looked])).tolist(),
        "effect": short(effect).tolist(),
        "effect_class": of_class.tolist(),
        "null_effect": short(largest_by_chance(series.members, effects)).tolist(),
        "near": [int(series.ids[one]) if one >= 0 else -1 for one in near[:, 0].tolist()],
        "near_cosine": short(cosine[:, 0]).tolist(),
    }
    for name in ("adjusted_p_value", "conditional_adjusted_p_value"):
        told[name] = of_tracks(tracks[name].values if name in tracks else np.full(tracks.sizes["track"], np.nan))
    if "found_in" in tracks:
        for group in tracks.group.values.tolist():
            told[f"in {group}"] = of_tracks(tracks.found_in.sel(group=group).values)
            told[f"low {group}"] = of_tracks(tracks.found_in_low.sel(group=group).values)
    return told


def records(
    series: Series,
    items: range,
    rows: RowsToTell,
    became: dict[Latent, list[Fate]],
    changes: list[Change],
    number_of: dict[Latent, int],
) -> Iterator[dict[str, Any]]:
    """What the pages of some items say, one after the other; `number_of` gives the item of a latent."""
    of_runs = [Members.of(one, rows) for one in series.looked]
    cut = series.tracks.sizes["track"]
    of_tracks = {
        name: short(series.tracks[name].sel(run=series.runs).values)
        for name in ("similarity", "support", "member_p_value")
        if name in series.tracks
    }
    near, cosine = series.neighbours[0], short(series.neighbours[1])
    for item in items:
        told: list[dict[str, Any]] = []
        what_became: list[Any] = []
        for run in np.flatnonzero(series.members[item] >= 0).tolist():
            latent = int(series.members[item, run])
            member = {"run": run, "latent": latent, **of_runs[run].latent(latent)}
            told.append(member | {name: values[item, run].item() for name, values in of_tracks.items() if item < cut})
            key = (series.runs[run], series.hook_point, series.label, latent)
            what_became += [[run, *_told(fate, changes, number_of)] for fate in became.get(key, [])]
        there = near[item] >= 0
        nearby = zip(series.ids[near[item, there]].tolist(), cosine[item, there].tolist(), strict=True)
        yield {"members": told, "near": [list(one) for one in nearby], "fates": what_became}


def _told(fate: Fate, changes: list[Change], number_of: dict[Latent, int]) -> list[Any]:
    change, side = changes[fate.change], "before" if fate.backward else "after"
    there = change[side], change["hook_point"], change[f"decomposition_{side}"]
    others = [[one, number_of.get((*there, one), -1)] for one in fate.others]
    similarity, p_value = (float(f"{value:.3g}") for value in (fate.similarity, fate.p_value))
    return [fate.change, int(fate.backward), fate.outcome, others, similarity, p_value]
