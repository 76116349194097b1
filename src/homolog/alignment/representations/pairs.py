"""What do the second moments of two runs say about their similarity?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.representations.canonical import directions_that_hold, weighted_by_projection
from homolog.alignment.representations.kernel import debiased_ratio, hsic_1
from homolog.alignment.representations.procrustes import angle, fvu_after_rotation, partial_whitening
from homolog.alignment.representations.units import match_units, soft_matching
from homolog.decompositions.moments import Moments

_EPS = torch.finfo(torch.float64).eps
# Singular values from eigenvalues are taken if this bounds their error relative to the sum.
_NUCLEAR_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Pair:
    """Second moments of two runs over the same samples: all that the measures in MEASURES need."""

    x: Moments
    y: Moments
    cross: Float[Tensor, "p q"]
    """Covariance of the units of x with those of y (divisor: samples)."""
    row_products: tuple[float, float, float]
    """sum_i |x_i|^2 |y_i|^2 over centred rows, and the same of x with itself and of y with itself."""
    largest_row: float
    """The largest |x_i|^2 |y_i|^2."""

    @property
    def swapped(self) -> Pair:
        """The same with x and y exchanged."""
        between, own_x, own_y = self.row_products
        return Pair(self.y, self.x, self.cross.T, (between, own_y, own_x), self.largest_row)

    @cached_property
    def between_directions(self) -> Float[Tensor, "p q"]:
        """Covariance of the scores along the principal directions of both."""
        return self.x.principal[1] @ self.cross @ self.y.principal[1].T

    @cached_property
    def whitened(self) -> Float[Tensor, "rank_x rank_y"]:
        """Qx' Qy: correlations of the principal scores, up to the ranks."""
        (deviations_x, _), (deviations_y, _) = self.x.principal, self.y.principal
        p, q = self.x.rank, self.y.rank
        return self.between_directions[:p, :q] / deviations_x[:p, None] / deviations_y[:q]

    @property
    def canonical_correlations(self) -> Float[Tensor, " correlations"]:
        """All canonical correlations, largest first."""
        return cast(Tensor, torch.linalg.svdvals(self.whitened)).clamp(0, 1)

    @cached_property
    def frobenius(self) -> float:
        """||X'Y||_F^2 / samples^2."""
        return float(self.cross.square().sum())

    @cached_property
    def nuclear(self) -> float:
        """||X'Y||_* / samples."""
        return nuclear_norm(self.cross)

    @property
    def squares(self) -> tuple[float, float]:
        """||X||_F^2 / samples of both sides."""
        return float(self.x.covariance.trace()), float(self.y.covariance.trace())


def nuclear_norm(matrix: Float[Tensor, "p q"]) -> float:
    """Sum of the singular values, to about 1e-10 relative.

    From the eigenvalues of the smaller Gram matrix, which takes half as long. An eigenvalue is off by at most about
    dims eps times the largest, so that a singular value is off by that over twice itself, and by its root if it is
    zero; where these errors add up to more than 1e-10 of the sum, from a singular value decomposition after all.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    if not len(wide):
        return 0.0
    eigenvalues = torch.linalg.eigvalsh(wide @ wide.T).clamp(min=0)
    values = eigenvalues.sqrt()
    off = len(wide) * _EPS * eigenvalues[-1]
    error = torch.minimum(off / (2 * values), off.sqrt()).nan_to_num(0.0).sum()
    if error <= _NUCLEAR_TOLERANCE * values.sum():
        return float(values.sum())
    return float(torch.linalg.svdvals(wide).sum())


@dataclass(frozen=True)
class Options:
    """What some of the measures ask for besides the moments; each means what it does in the function of that name."""

    variance: float = 0.99
    """Of `svcca`."""
    alpha: float = 1.0
    """Of `angular_distance`."""
    scale: bool = False
    """Of `transfer_fvu`."""
    matching: str = "bipartite"
    """Of `unit_matching`."""


def cca_r2(pair: Pair, _: Options) -> float:
    """Mean squared canonical correlation."""
    smaller = min(pair.whitened.shape)
    return float(pair.whitened.square().sum() / smaller) if smaller else math.nan


def cca_r2_null(pair: Pair, _: Options) -> float:
    """What `cca_r2` is on average for independent Gaussian data of these ranks and samples."""
    p, q = pair.whitened.shape
    return min(1.0, max(p, q) / (pair.x.samples - 1)) if p and q else math.nan


def cca_mean(pair: Pair, _: Options) -> float:
    """Mean canonical correlation."""
    smaller = min(pair.whitened.shape)
    return nuclear_norm(pair.whitened) / smaller if smaller else math.nan


def svcca(pair: Pair, options: Options) -> float:
    """Mean canonical correlation of the directions that hold a share of each side's variance."""
    p, q = (directions_that_hold(options.variance, m.principal[0][: m.rank].square()) for m in (pair.x, pair.y))
    return nuclear_norm(pair.whitened[:p, :q]) / min(p, q) if p and q else math.nan


def pwcca(pair: Pair, _: Options) -> float:
    """Projection-weighted CCA; x weighs."""
    if not min(pair.whitened.shape):
        return math.nan
    deviations, directions = pair.x.principal
    rank = pair.x.rank
    return weighted_by_projection(pair.whitened, deviations[:rank, None] * directions[:rank])


def linear_cka(pair: Pair, _: Options) -> float:
    """Linear CKA."""
    scale = float(torch.linalg.matrix_norm(pair.x.covariance) * torch.linalg.matrix_norm(pair.y.covariance))
    return pair.frobenius / scale if scale else math.nan


def debiased_cka(pair: Pair, _: Options) -> float:
    """CKA from HSIC_1."""
    n, (x, y) = pair.x.samples, pair.squares
    own = [float(m.covariance.square().sum()) for m in (pair.x, pair.y)]
    terms = zip((pair.frobenius, *own), pair.row_products, ((x, y), (x, x), (y, y)), strict=True)
    return debiased_ratio(*(hsic_1(f * n**2, products, a * n, b * n, n) for f, products, (a, b) in terms))


def largest_row_share(pair: Pair, _: Options) -> float:
    """The share of CKA's numerator that the largest row makes by itself."""
    numerator = pair.frobenius * pair.x.samples**2
    return pair.largest_row / numerator if numerator else math.nan


def procrustes_similarity(pair: Pair, _: Options) -> float:
    """Cosine of both after the best rotation."""
    scale = math.sqrt(math.prod(pair.squares))
    return pair.nuclear / scale if scale else math.nan


def angular_distance(pair: Pair, options: Options) -> float:
    """Angle of both after partial whitening and the best rotation."""
    if options.alpha == 1:
        return angle(procrustes_similarity(pair, options))
    weighted, scale = pair.between_directions, 1.0
    for dim, m in enumerate((pair.x, pair.y)):
        weights = partial_whitening(m.principal[0], m.rank, options.alpha)
        weighted = weighted * (weights[:, None] if dim == 0 else weights)
        scale *= float(torch.linalg.vector_norm(weights * m.principal[0]))
    return angle(nuclear_norm(weighted) / scale) if scale else math.nan


def transfer_fvu(pair: Pair, options: Options) -> float:
    """What the best rotation of x leaves unexplained of y."""
    return fvu_after_rotation(*pair.squares, pair.nuclear, options.scale)


def unit_matching(pair: Pair, options: Options) -> float:
    """Mean correlation of matched units."""
    roots_x, roots_y = (_inverse_deviations(m) for m in (pair.x, pair.y))
    return match_units(pair.cross * roots_x[:, None] * roots_y, options.matching).value


def soft_matching_distance(pair: Pair, _: Options) -> float:
    """2-Wasserstein distance of the two sets of units."""
    n = pair.x.samples
    return soft_matching(pair.x.covariance.diagonal() * n, pair.y.covariance.diagonal() * n, pair.cross * n)


def _inverse_deviations(moments: Moments) -> Float[Tensor, " units"]:
    """1 / standard deviation of each unit; 0 where it is constant up to float32 rounding."""
    variances = moments.covariance.diagonal()
    rounding = (2 * torch.finfo(torch.float32).eps) ** 2 * (variances + moments.mean.square())
    return torch.where(variances > rounding, variances.rsqrt(), torch.zeros_like(variances))


MEASURES: dict[str, Callable[[Pair, Options], float]] = {
    "cca_r2": cca_r2,
    "cca_r2_null": cca_r2_null,
    "cca_mean": cca_mean,
    "svcca": svcca,
    "pwcca": pwcca,
    "linear_cka": linear_cka,
    "debiased_cka": debiased_cka,
    "largest_row_share": largest_row_share,
    "procrustes_similarity": procrustes_similarity,
    "angular_distance": angular_distance,
    "transfer_fvu": transfer_fvu,
    "unit_matching": unit_matching,
    "soft_matching_distance": soft_matching_distance,
}
# The others have one value for both orders of a pair.
DIRECTED = {"pwcca", "transfer_fvu", "unit_matching"}
# What stands beside a measure whenever it is asked for.
COMPANIONS = {"cca_r2": ["cca_r2_null"], "linear_cka": ["largest_row_share"], "debiased_cka": ["largest_row_share"]}
