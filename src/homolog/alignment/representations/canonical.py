"""Which directions of two representations are correlated, whatever their bases?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from jaxtyping import Float, Real
from torch import Tensor

from homolog.alignment.representations.inputs import Array, centred_pair, orthonormal_columns, warn_of_few_samples

# A correlation must pass the null by more than rounding: where p + q >= n both are exactly 1 (and 1 does not exceed 1).
_ROUNDING = 1e-9
_NULL_LEVEL = 0.95
# What is left of a unit direction, at least, where a Gram matrix tells it: below, its square would hold but rounding.
_CLEAR = 0.03


@dataclass(frozen=True)
class ExcessCorrelations:
    """What `excess_correlations` finds."""

    count: int
    """How many of the correlations are more than chance."""
    correlations: Float[Tensor, " correlations"]
    """All of them, largest first."""
    samples_per_unit: float
    """samples / max(units): print it beside every CCA."""


def canonical_correlations(
    x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"]
) -> Float[Tensor, " correlations"]:
    """Canonical correlations (Hotelling 1936) in descending order, min(rank x, rank y) of them, each in [0, 1].

    They are the singular values of Qx' Qy, Q an orthonormal basis of the centred activations (Björck & Golub 1973) from
    a thin SVD with a rank cut, never from an inverted covariance. x is (samples, units_x), y (samples, units_y).
    The mean of their squares is R2 (Kornblith et al. 2019); for independent Gaussian data it is max(p, q) / (n - 1) on
    average, p and q the ranks. With p + q >= samples, p + q - (samples - 1) of them are exactly 1 whatever the data.
    Below 10 samples per direction a FewSamplesWarning says so. Raises ValueError if the numbers of samples differ or
    are below 2, or values aren't finite.
    """
    basis_x, basis_y = (orthonormal_columns(side)[0] for side in centred_pair("canonical correlations", x, y))
    warn_of_few_samples("canonical correlations", len(x), basis_x.shape[1], basis_y.shape[1])
    return _singular_values(basis_x, basis_y)


def svcca(x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"], variance: float = 0.99) -> float:
    """Mean canonical correlation of the fewest principal directions that hold `variance` of each side.

    Variance is counted in squared singular values (Raghu et al. 2017). In [0, 1], NaN where a side is constant. Blind
    to rotation, scale and shift; not to other invertible maps, which change what holds the variance. Warns and raises
    as `canonical_correlations` does; ValueError also for `variance` outside (0, 1].
    """
    check_variance(variance)
    bases = []
    for side in centred_pair("SVCCA", x, y):
        basis, rest = orthonormal_columns(side)
        bases.append(basis[:, : directions_that_hold(variance, rest.square().sum(1))])
    warn_of_few_samples("SVCCA", len(x), bases[0].shape[1], bases[1].shape[1])
    return float(_singular_values(*bases).mean())


def pwcca(x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"]) -> float:
    """Canonical correlations, weighted by how much of x they carry (projection-weighted CCA, Morcos et al. 2018).

    Weights sum_j |<h_i, x_j>|, h_i the orthonormal canonical variates of x in sample space, x_j its centred units. In
    [0, 1], NaN where a side is constant. Not symmetric: x weighs. Blind to invertible maps of y; of x to shift, scale,
    order and signs of units only, since absolute values are summed over units. Variates of equal correlation can be
    turned into each other; how such a group is weighted is arbitrary.
    Warns and raises as `canonical_correlations` does.
    """
    (basis_x, rest_x), (basis_y, _) = (orthonormal_columns(side) for side in centred_pair("PWCCA", x, y))
    warn_of_few_samples("PWCCA", len(x), basis_x.shape[1], basis_y.shape[1])
    return weighted_by_projection(basis_x.T @ basis_y, rest_x)


def weighted_by_projection(whitened: Float[Tensor, "p q"], rest: Float[Tensor, "p units"]) -> float:
    """PWCCA from Qx' Qy and the R of x = Qx R: the variate h_i = Qx u_i has <h_i, x_j> = (u_i' R)_j."""
    u, correlations, _ = torch.linalg.svd(whitened, full_matrices=False)
    weights = (u.T @ rest).abs().sum(1)
    return float((weights * correlations.clamp(0, 1)).sum() / weights.sum())


def directions_that_hold(variance: float, variances: Float[Tensor, " directions"]) -> int:
    """How many of the leading directions hold this share of the variance; a share of 1 is reached up to rounding."""
    if not len(variances):
        return 0
    share = variances.cumsum(0)
    return min(int((share < variance * share[-1] * (1 - 1e-12)).sum()) + 1, len(variances))


def check_variance(variance: float) -> None:
    """Raise ValueError for a share of the variance that is none."""
    if not 0 < variance <= 1:
        raise ValueError(f"SVCCA keeps a share of the variance in (0, 1], but variance = {variance}: 0.99 is usual.")


def excess_correlations(
    x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"], draws: int, generator: torch.Generator
) -> ExcessCorrelations:
    """How many canonical correlations exceed the 95 % quantile of a permutation null, rank by rank.

    Rank k is tested after the first k - 1 variates of both sides are taken out: the rest of x against the rest of y
    with rows permuted, by their largest correlation (Winkler et al. 2020). To compare the k-th observed with the k-th
    of the plain null overcounts: once k - 1 are real, the k-th is the largest of what is left, and the null's isn't.
    x is (samples, units_x), y (samples, units_y). Bisection over ranks: about log2(rank) * draws decompositions.
    Raises ValueError for fewer than 19 draws, which have no 95 % quantile, or as `canonical_correlations` does.
    """
    if draws < 19:
        raise ValueError(
            f"The 95 % quantile of a null needs at least 19 draws, but draws = {draws}: ask for 19 or more."
        )
    basis_x, basis_y = (orthonormal_columns(side)[0] for side in centred_pair("canonical correlations", x, y))
    u, correlations, vh = torch.linalg.svd(basis_x.T @ basis_y)
    variates_x, variates_y = basis_x @ u, basis_y @ vh.T
    correlations = correlations.clamp(0, 1)
    low, high = 0, len(correlations)  # the first `low` ranks are excess, the ranks from `high` on are not
    while low < high:
        rank = (low + high) // 2
        taken = _joint_basis(variates_x[:, :rank], variates_y[:, :rank], correlations[:rank])
        null = _leading_null(variates_x[:, rank:], variates_y[:, rank:], taken, generator)
        if _is_excess(correlations[rank] - _ROUNDING, islice(null, draws), draws):
            low = rank + 1
        else:
            high = rank
    return ExcessCorrelations(low, correlations, x.shape[0] / max(x.shape[1], y.shape[1]))


def _is_excess(observed: Float[Tensor, ""], null: Iterable[Float[Tensor, ""]], draws: int) -> bool:
    """Whether a number exceeds the 95 % quantile of so many draws, of which no more are made once it's known not to.

    The quantile is the ceil(0.95 (draws + 1))-th smallest draw: the test has level at most 5 % for any number >= 19.
    """
    may_reach = draws - math.ceil(_NULL_LEVEL * (draws + 1))
    for one in null:
        may_reach -= int(one >= observed)
        if may_reach < 0:
            return False
    return True


def _leading_null(
    x: Float[Tensor, "samples p"],
    y: Float[Tensor, "samples q"],
    taken: Float[Tensor, "samples k"],
    generator: torch.Generator,
) -> Iterator[Float[Tensor, ""]]:
    """Largest canonical correlation of orthonormal x and y when the rows of y are permuted, draw by draw.

    x and y are orthogonal to the variates `taken` out before, so the permuted y is made so too: correlations are larger
    in the smaller space, up to 1 where samples are few.
    """
    fixed = torch.cat([x, taken], dim=1).T.contiguous()
    while True:
        order = torch.randperm(len(y), generator=generator, device=generator.device).to(y.device)
        permuted = y[order]
        inner, along = (fixed @ permuted).tensor_split([x.shape[1]])
        # Columns of y are orthonormal in any order, so that this is the Gram matrix of what is left of them.
        lower, failed = torch.linalg.cholesky_ex(torch.eye(len(along.T)).to(along) - along.T @ along)
        if int(failed) or float(lower.diagonal().min()) < _CLEAR:
            basis, _ = torch.linalg.qr(permuted - taken @ along)
            yield _singular_values(x, basis)[0]
        else:
            in_basis = torch.linalg.solve_triangular(lower, inner.T, upper=False)
            yield torch.linalg.svdvals(in_basis)[0].clamp(max=1)


def _joint_basis(
    x: Float[Tensor, "samples k"], y: Float[Tensor, "samples k"], correlations: Float[Tensor, " k"]
) -> Float[Tensor, "samples joint"]:
    """Orthonormal basis of k pairs of variates: different pairs are orthogonal, a pair with r = 1 is one direction."""
    apart = correlations < 1 - _ROUNDING
    beyond = (y - x * correlations)[:, apart] / (1 - correlations[apart] ** 2).sqrt()
    return torch.cat([x, beyond], dim=1)


def _singular_values(basis_x: Tensor, basis_y: Tensor) -> Tensor:
    return cast(Tensor, torch.linalg.svdvals(basis_x.T @ basis_y)).clamp(0, 1)  # rounding can lift a 1 by a few eps
