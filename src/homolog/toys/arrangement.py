"""How are directions arranged: as orthogonal groups, each a polytope of its own, or spread out over all dimensions?"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

# Cosines from here on join two directions: training leaves about .03 between orthogonal ones, and random ones of 8
# units have .35.
JOINED = 0.15
# How near to a whole number the dimensions of a group must be.
WHOLE = 0.05


def groups(directions: Float[np.ndarray, "features units"]) -> Int[np.ndarray, " features"]:
    """The component of each in the Gram graph, which joins unit directions of absolute cosine above `JOINED`.

    Components are orthogonal to each other: factors of a tegum product (Elhage et al., 2022, "Tegum products").
    """
    return np.asarray(connected_components(np.abs(directions @ directions.T) > JOINED, directed=False)[1])


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
