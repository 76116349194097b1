"""What became of each latent when something changed, and where did it come from, by what tracks.nc holds?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Int

from homolog.alignment.transitions import Transitions

# A latent by its run, hook point, decomposition's label and number.
Latent = tuple[str, str, str, int]


@dataclass(frozen=True)
class Fate:
    """Of one latent in one change: what happened, to or from which latents of another dictionary, and how surely."""

    change: int
    """Which change, as a row of tracks.nc."""
    backward: bool
    """Whether it is told of a latent of after, which may come from several of before."""
    outcome: str
    """`kept`, `split`, `matched` or `gone`; backward `kept`, `merged`, `matched` or `born`. `matched`: in one direction
    alone, or beside others."""
    others: list[int]
    """The latents that are its matches, or whose match it is."""
    similarity: float
    """Of its best match, whether or not that is above chance."""
    p_value: float


def fates(tracks: xr.Dataset) -> dict[Latent, list[Fate]]:
    """By latent, of all that a change followed; latents that aren't live have none."""
    found: dict[Latent, list[Fate]] = defaultdict(list)
    for index in range(tracks.sizes.get("change", 0)):
        row = tracks.isel(change=index)
        point = str(row.change_hook_point.item())
        for side, backward in (("before", False), ("after", True)):
            run, label = (str(row[f"change_{name}{side}"].item()) for name in ("", "decomposition_"))
            for latent, fate in _of_side(_transitions(row), index, backward):
                found[run, point, label, latent].append(fate)
    return dict(found)


def _transitions(row: xr.Dataset) -> Transitions:
    """A change as it was found; NaN for thresholds, which the file doesn't say."""
    values = {name: row[name].values for name in ("child", "parent", *_FACTS)}
    return Transitions(
        values["child"].astype(int),
        values["parent"].astype(int),
        **{name: values[name] for name in _FACTS},
        child_threshold=np.nan,
        parent_threshold=np.nan,
    )


_FACTS = ("child_similarity", "parent_similarity", "child_p_value", "parent_p_value")


def _of_side(found: Transitions, change: int, backward: bool) -> Iterator[tuple[int, Fate]]:
    own, other = (found.parent, found.child) if backward else (found.child, found.parent)
    similarity = found.parent_similarity if backward else found.child_similarity
    p_value = found.parent_p_value if backward else found.child_p_value
    if backward:
        outcomes = {"kept": _kept_after(found), "merged": found.merged, "born": found.born}
    else:
        outcomes = {"kept": found.kept, "split": found.split, "gone": found.gone}
    followers = _by_target(other)
    for latent in np.flatnonzero(~np.isnan(similarity)).tolist():
        match = [int(own[latent])] if own[latent] >= 0 else []
        others = list(dict.fromkeys([*match, *followers.get(latent, [])]))
        outcome = next((name for name, holds in outcomes.items() if holds[latent]), "matched")
        yield latent, Fate(change, backward, outcome, others, float(similarity[latent]), float(p_value[latent]))


def _kept_after(found: Transitions) -> np.ndarray:
    kept = np.zeros(len(found.parent), bool)
    kept[found.child[found.kept]] = True
    return kept


def _by_target(matches: Int[np.ndarray, " latents"]) -> dict[int, list[int]]:
    """Whose match each latent is."""
    found = defaultdict(list)
    for one in np.flatnonzero(matches >= 0).tolist():
        found[int(matches[one])].append(one)
    return dict(found)
