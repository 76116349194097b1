"""Which unit of one representation belongs to which of another, and how near are they as sets of units?"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Real
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor

from homolog.alignment.matching import Matched, match
from homolog.alignment.representations.inputs import Array, centred_pair, tensor_of
from homolog.alignment.similarity import standardise

_MATCHINGS = {"bipartite": "hungarian", "semi": "best_a_to_b"}


def unit_matching(
    x: Real[Array, "samples units_x"],
    y: Real[Array, "samples units_y"],
    matching: str = "bipartite",
    fit_on: Bool[Array, " samples"] | None = None,
) -> Matched:
    """Match the units of x with those of y by the correlation of their activations (Li et al. 2016).

    `bipartite`: one to one, min(p, q) pairs with the largest sum. `semi`: each unit of x with its best in y, many to
    one. The value is the mean correlation of the pairs. A constant unit has correlation 0 with all. `fit_on` marks the
    samples to match on; the rest scores. Without it the same samples do both, and the value is lifted by the choice.
    Raises ValueError if the numbers of samples differ or are below 2 (on either side of `fit_on`), values aren't
    finite, or the matching is unknown.
    """
    check_matching(matching)
    halves: list[Tensor | slice] = [slice(None)]
    if fit_on is not None:
        fitted = torch.as_tensor(fit_on)
        halves = [fitted, ~fitted]
    correlations = []
    for half in halves:
        a, b = (_tensor(side)[half.to(side.device) if isinstance(half, Tensor) else half] for side in (x, y))
        centred_pair("unit matching", a, b)
        correlations.append(standardise(a) @ standardise(b.to(a.device)).T)
    return match(correlations[0], correlations[-1], _MATCHINGS[matching])


def match_units(correlations: Float[Tensor, "p q"], matching: str = "bipartite") -> Matched:
    """`unit_matching` from the correlations of p units with q units."""
    return match(correlations, correlations, _MATCHINGS[matching])


def check_matching(matching: str) -> None:
    """Raise ValueError for a matching of units that isn't there."""
    if matching not in _MATCHINGS:
        raise ValueError(f"There is no matching of units {matching!r}: choose one of {', '.join(_MATCHINGS)}.")


def unit_permutation(
    source: Float[Tensor, "samples units"], target: Float[Tensor, "samples units"]
) -> Int[Tensor, " units"]:
    """Index such that `source[:, index]` lines up with `target`: the one-to-one match of units with the largest sum of
    correlations of their activations (bipartite matching of Li et al. 2016).

    Fit it on one half of the inputs and score on the other: the match is chosen to look good where it is fitted.
    Raises ValueError if the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(
            f"a permutation of units needs the same samples and the same number of units on both sides, but the shapes "
            f"are {tuple(source.shape)} and {tuple(target.shape)}: between different widths compare `score` or "
            f"`write_out`."
        )
    correlation = standardise(target) @ standardise(source).T
    _, index = linear_sum_assignment(correlation.cpu().numpy(), maximize=True)
    return torch.as_tensor(index, device=source.device)


def soft_matching_distance(
    x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"], unit_norm: bool = False
) -> float:
    """sqrt(min_P sum_ij P_ij ||x_i - y_j||^2): 2-Wasserstein distance of two sets of units (Khosla & Williams 2024).

    x_i, y_j are units as centred columns over the samples; P has rows that sum to 1 / units_x and columns that sum to
    1 / units_y, so that p != q is allowed, and with p = q it is the best permutation. The optimum is exact. A metric;
    blind to the order of units and to copies of all of them, not to rotation or scale. With `unit_norm` units are
    scaled to norm 1 (constant ones stay 0), and it lies in [0, 2]; else it grows with the norms. Near 0 it resolves no
    less than about 2e-8 of the norms. Costs O(p^3) for p = q
    or multiples, else a linear program of p q variables: seconds at 256 x 200 and minutes at some thousand units.
    Raises ValueError if the numbers of samples differ or are below 2, or values aren't finite.
    """
    a, b = (side.values for side in centred_pair("soft matching distance", x, y))
    if unit_norm:
        a, b = standardise(a).T, standardise(b).T
    return soft_matching(a.square().sum(0), b.square().sum(0), a.T @ b)


def soft_matching(
    squares_x: Float[Tensor, " p"], squares_y: Float[Tensor, " q"], products: Float[Tensor, "p q"]
) -> float:
    """`soft_matching_distance` from squared norms of the units and their inner products."""
    cost = (squares_x[:, None] + squares_y - 2 * products).clamp(min=0).cpu().numpy()
    return math.sqrt(max(transport_cost(cost), 0.0))


def transport_cost(cost: Float[np.ndarray, "p q"]) -> float:
    """min_P sum_ij P_ij cost_ij over P >= 0 with equal row sums and equal column sums, 1 in all; exact.

    Where one side is a multiple of the other, an extreme P is an assignment of the copies (Birkhoff 1946): else the
    transport problem is solved by HiGHS' dual simplex.
    """
    p, q = cost.shape
    if p > q:
        return transport_cost(cost.T)
    if q % p == 0:
        copies = np.repeat(cost, q // p, axis=0)
        return float(np.mean(copies[linear_sum_assignment(copies)]))
    rows = kron(eye_array(p), np.ones((1, q)))
    columns = kron(np.ones((1, p)), eye_array(q))
    # One of the constraints follows from the others. Whole numbers on the right: p q times the sums.
    sums = np.concatenate([np.full(p, q), np.full(q, p)])[:-1].astype(float)
    equalities = vstack([rows, columns]).tocsr()[:-1]
    solved = linprog(cost.ravel(), A_eq=equalities, b_eq=sums, bounds=(0, None), method="highs-ds")
    if not solved.success:
        raise RuntimeError(f"the transport of {p} to {q} units wasn't solved: {solved.message}")
    return float(solved.fun / (p * q))


def _tensor(array: Array) -> Tensor:
    given = tensor_of("unit matching", "a side", array)
    return given.double() if not given.is_floating_point() else given
