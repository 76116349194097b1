"""How are directions arranged: as orthogonal groups, each a polytope of its own, or spread out over all dimensions?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from homolog.alignment.nulls import haar_rotation
from homolog.toys.bottleneck import dimensionality

# Cosines from here on join two directions: training leaves about .03 between orthogonal ones, and random ones of 8
# units have .35.
JOINED = 0.15
# Where directions are only known with an error, other thresholds may part what this one joins.
THRESHOLDS = (JOINED, 0.3, 0.45, 0.6)
# How near to a whole number the dimensions of a group must be.
WHOLE = 0.05
# A direction is empty if its ablation costs less than this share of what the layer is worth.
EMPTY = 0.01


def groups(directions: Float[np.ndarray, "features units"], joined: float = JOINED) -> Int[np.ndarray, " features"]:
    """The component of each in the Gram graph, which joins unit directions of absolute cosine above `joined`.

    Components are orthogonal to each other: factors of a tegum product (Elhage et al., 2022, "Tegum products").
    """
    return np.asarray(connected_components(np.abs(directions @ directions.T) > joined, directed=False)[1])


def rank_of(directions: Float[np.ndarray, "features units"]) -> int:
    """Dimensions that directions span, of singular values above a tenth of the largest."""
    values = np.linalg.svd(directions, compute_uv=False)
    return int((values > 0.1 * values[0]).sum())


def is_factor(shares: Float[np.ndarray, " members"], rank: int, units: int) -> bool:
    """The integer test: the dimensionalities of a group's members add up to its dimensions, which aren't all.

    A polytope that is a tight frame of k dimensions, orthogonal to all else, has shares that add up to k. All
    directions together do so too wherever they are a tight frame; so a group that spans everything is no factor.
    """
    return rank < units and abs(float(shares.sum()) - rank) <= WHOLE * rank


def welch_bound(features: int, units: int) -> float:
    """The least root mean square of cosines between so many directions: ``sqrt((n - d) / (d (n - 1)))`` (Welch, 1974).

    0 where there is a dimension for each. Random directions have ``1 / sqrt(d)``.
    """
    return math.sqrt(max(0, features - units) / (units * (features - 1))) if features > 1 else 0.0


def interference(directions: Float[np.ndarray, "features units"]) -> dict[str, float]:
    """Root mean square of the cosines between unit directions, the largest positive, and the largest absolute one."""
    cosines = (directions @ directions.T)[~np.eye(len(directions), dtype=bool)]
    if not cosines.size:
        return {"rms": math.nan, "largest_positive": math.nan, "largest": math.nan}
    return {
        "rms": float(np.sqrt((cosines**2).mean())),
        "largest_positive": float(max(0.0, cosines.max())),
        "largest": float(np.abs(cosines).max()),
    }


def arranged(weight: Float[Tensor, "held units"], joined: float = JOINED) -> dict[str, float]:
    """What some vectors say: ``groups``, ``in_factors`` (share in groups that pass `is_factor`), `interference`,
    ``mean_dimensionality``; NaN without any.
    """
    if not len(weight):
        nothing = ("groups", "in_factors", "rms", "largest_positive", "largest", "mean_dimensionality")
        return dict.fromkeys(nothing, math.nan)
    directions = torch.nn.functional.normalize(weight.double(), dim=1).numpy()
    shares = dimensionality(weight.double()).numpy()
    of = groups(directions, joined)
    members = [of == group for group in range(of.max() + 1)]
    whole = [is_factor(shares[one], rank_of(directions[one]), weight.shape[1]) for one in members]
    inside = sum(int(one.sum()) for one, passed in zip(members, whole, strict=True) if passed)
    counted = {"groups": float(len(members)), "in_factors": inside / len(of)}
    return counted | interference(directions) | {"mean_dimensionality": float(shares.mean())}


def in_planes(count: int, units: int, generator: torch.Generator) -> Float[Tensor, "count units"]:
    """Unit directions that are a tegum product: regular polygons in orthogonal planes, turned at random."""
    planes = max(1, units // 2)
    turned = haar_rotation(units, generator)
    dealt = torch.arange(count) % planes
    sides = torch.bincount(dealt, minlength=planes)[dealt]
    start = torch.rand(planes, generator=generator, dtype=torch.float64)[dealt]
    angle = 2 * math.pi * (torch.arange(count) // planes / sides + start)
    found = torch.zeros(count, units, dtype=torch.float64)
    found[torch.arange(count), 2 * dealt] = angle.cos()
    if units > 1:
        found[torch.arange(count), 2 * dealt + 1] = angle.sin()
    return found @ turned


def blurred(
    directions: Float[Tensor, "count units"], cosine: float, generator: torch.Generator
) -> Float[Tensor, "count units"]:
    """Unit directions, each moved in a random way until it has a cosine with what it was."""
    noise = torch.randn(directions.shape, generator=generator, dtype=directions.dtype)
    aside = noise - (noise * directions).sum(1, keepdim=True) * directions
    return cosine * directions + math.sqrt(1 - cosine**2) * torch.nn.functional.normalize(aside, dim=1)


def is_empty(
    rows: Float[Tensor, "rows units"],
    axes: Float[Tensor, "axes units"],
    loss: Callable[[Float[Tensor, "rows units"]], float],
) -> Bool[Tensor, " axes"]:
    """Which of some orthonormal axes can be set to their mean, one by one, at almost no cost to `loss`.

    Cost is told over what the layer is worth: the loss with all of it at its mean, less its own.
    """
    mean = rows.mean(0)
    own, without = loss(rows), loss(mean.expand_as(rows))
    costs = [loss(rows - (rows - mean) @ axis[:, None] * axis) - own for axis in axes]
    return torch.tensor([cost < EMPTY * (without - own) for cost in costs])
