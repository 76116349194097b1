"""Which tracks lie nearest to each track, or to a latent without one, by directions in the runs that both are in?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

NEAREST = 6
# Rows of the matrix of similarities that are in memory at once hold so many numbers: 16 MiB.
AT_ONCE = 2**22
# Random directions behind the null.
RANDOM = 200
LEVEL = 0.95

Neighbours = tuple[Int[np.ndarray, "items nearest"], Float[np.ndarray, "items nearest"]]


def nearest(
    members: Int[np.ndarray, "items runs"],
    tracks: Int[np.ndarray, "tracks runs"],
    directions: list[Tensor],
    signed: bool,
) -> Neighbours:
    """The nearest tracks of each item, nearest first, and how near: mean cosine over the runs in which both have one.

    `members` are numbers of latents in each run's dictionary, -1 for none, and so are `tracks`, whose first rows are
    the items that are tracks themselves: these aren't their own neighbours. `directions` are each run's, (latents,
    units), of widths of their own. Without `signed` the cosines' sizes count.
    -1 and NaN where there are no further ones.
    """
    units = [_unit(one) for one in directions]
    found = min(NEAREST, len(tracks))
    index = np.full((len(members), NEAREST), -1)
    cosine = np.full((len(members), NEAREST), np.nan, np.float32)
    at_once = max(1, AT_ONCE // max(1, len(tracks)))
    for start in range(0, len(members), at_once):
        block = members[start : start + at_once]
        chosen = [unit[np.maximum(block[:, run], 0)] for run, unit in enumerate(units)]
        near = _mean_cosine(chosen, block >= 0, tracks, units, signed)
        own = np.arange(start, min(start + len(block), len(tracks)))
        near[own - start, own] = -torch.inf
        best = near.topk(found, dim=1)
        there = best.values.isfinite().numpy()
        part = slice(start, start + len(block))
        index[part, :found] = np.where(there, best.indices.numpy(), -1)
        cosine[part, :found] = np.where(there, best.values.numpy(), np.nan)
    return index, cosine


def by_chance(
    tracks: Int[np.ndarray, "tracks runs"],
    directions: list[Tensor],
    signed: bool,
    generator: torch.Generator,
) -> float:
    """What the nearest of all tracks reaches, of 95 % of random directions that are drawn anew in each run."""
    units = [_unit(one) for one in directions]
    drawn = [_unit(torch.randn(RANDOM, unit.shape[1], generator=generator)) for unit in units]
    near = _mean_cosine(drawn, np.ones((RANDOM, len(units)), bool), tracks, units, signed)
    return float(near.amax(1).quantile(LEVEL)) if len(tracks) else float("nan")


def _mean_cosine(
    chosen: list[Tensor],
    there: np.ndarray,
    tracks: Int[np.ndarray, "tracks runs"],
    units: list[Tensor],
    signed: bool,
) -> Float[Tensor, "items tracks"]:
    """-inf where no run has both."""
    runs = np.flatnonzero(there.any(0))
    mine, theirs = (torch.from_numpy(one[:, runs].astype(np.float32)) for one in (there, tracks >= 0))
    # Zeros where there is no member, so that products with it are none.
    sides = [
        (chosen[run] * mine[:, place, None], units[run][np.maximum(tracks[:, run], 0)] * theirs[:, place, None])
        for place, run in enumerate(runs)
    ]
    if signed:  # The sum over runs is one product of what stands side by side.
        own, other = (torch.cat(side, dim=1) for side in zip(*sides, strict=True))
        total = own @ other.T
    else:
        total = torch.zeros(len(there), len(tracks))
        for own, other in sides:
            total += (own @ other.T).abs_()
    shared = mine @ theirs.T
    return total.div_(shared).masked_fill_(shared == 0, -torch.inf)


def _unit(directions: Float[Tensor, "latents units"]) -> Float[Tensor, "latents units"]:
    norms = directions.norm(dim=1, keepdim=True)
    return (directions / torch.where(norms > 0, norms, 1.0)).float()
