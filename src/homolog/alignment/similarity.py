"""How similar are two sets of directions, codes or activations, before anything is matched?

Everything is computed in float64, whatever the dtype of the input. Activations are centred here, so no caller has to.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

# A correlation must pass the null by more than rounding: where p + q >= n both are exactly 1 (and 1 does not exceed 1).
_ROUNDING = 1e-9
_NULL_LEVEL = 0.95


@dataclass(frozen=True)
class ExcessCorrelations:
    """What `excess_correlations` finds."""

    count: int
    """How many of the correlations are more than chance."""
    correlations: Float[Tensor, " correlations"]
    """All of them, largest first."""
    samples_per_unit: float
    """samples / max(units): print it beside every CCA."""


def cosine(a: Float[Tensor, "m dims"], b: Float[Tensor, "n dims"]) -> Float[Tensor, "m n"]:
    """Cosine of each row of `a` (m, dims) with each row of `b` (n, dims), as (m, n). Zero rows have cosine 0 with all.

    Raises ValueError if the rows differ in length.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"cosine compares rows of one space, but a has rows of length {a.shape[1]} and b of {b.shape[1]} "
            f"(shapes {tuple(a.shape)} and {tuple(b.shape)}): compare in a view that both dictionaries share."
        )
    return _unit_rows(a.double()) @ _unit_rows(b.double()).T


def standardise(codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
    """Rows of zero mean and unit norm, one per latent: Pearson's r of two sets is `standardise(a) @ standardise(b).T`.

    A latent that is constant up to the rounding of the input's dtype gives a row of zeros: its r with anything is 0.
    """
    wide = codes.double()
    centred = _centre(wide)
    # Two neighbouring floats differ by at most eps relative: a latent that varies by less holds nothing but rounding.
    rounding = 2 * torch.finfo(codes.dtype).eps * torch.linalg.vector_norm(wide, dim=0)
    varies = torch.linalg.vector_norm(centred, dim=0) > rounding
    return _unit_rows(torch.where(varies, centred, torch.zeros_like(centred)).T)


def canonical_correlations(
    x: Float[Tensor, "samples units_x"], y: Float[Tensor, "samples units_y"]
) -> Float[Tensor, " correlations"]:
    """Canonical correlations (Hotelling 1936) in descending order, min(rank x, rank y) of them, each in [0, 1].

    They are the singular values of Qx' Qy, Q an orthonormal basis of the centred activations (Björck & Golub 1973) from
    a thin SVD with a rank cut, never from an inverted covariance. x is (samples, units_x), y (samples, units_y).
    Beware of few samples: with ranks p + q >= samples, p + q - (samples - 1) of them are exactly 1 whatever the data.
    Raises ValueError if the numbers of samples differ or are below 2.
    """
    _require_same_samples("canonical correlations", x, y)
    return _singular_values(_orthonormal_basis(x), _orthonormal_basis(y))


def linear_cka(x: Float[Tensor, "samples units_x"], y: Float[Tensor, "samples units_y"]) -> float:
    """Linear CKA ||X'Y||_F^2 / (||X'X||_F ||Y'Y||_F) of centred X and Y (Kornblith et al. 2019), in [0, 1].

    Blind to rotation, scale and shift, not to other invertible maps. NaN where one of the two is constant. Biased
    upwards when samples are few compared with units, and a single outlying row can lift it: context, not a verdict.
    Raises ValueError if the numbers of samples differ or are below 2.
    """
    _require_same_samples("linear CKA", x, y)
    x, y = _centre(x.double()), _centre(y.double())
    scale = torch.linalg.matrix_norm(x.T @ x) * torch.linalg.matrix_norm(y.T @ y)
    if scale == 0:
        return math.nan
    return float(torch.linalg.matrix_norm(x.T @ y).square() / scale)


def procrustes_rotation(
    source: Float[Tensor, "samples units"], target: Float[Tensor, "samples units"]
) -> Float[Tensor, "units units"]:
    """Orthogonal R, reflections allowed, that minimises ||source R - target||_F (Schönemann 1966).

    R = U V' of source' target = U S V'. Nothing is centred here: R turns about the origin of what is given.
    Raises ValueError if the shapes differ.
    """
    _require_same_shape("a Procrustes rotation", source, target)
    u, _, vh = torch.linalg.svd(source.double().T @ target.double())
    return cast(Tensor, u @ vh)


def unit_permutation(
    source: Float[Tensor, "samples units"], target: Float[Tensor, "samples units"]
) -> Int[Tensor, " units"]:
    """Index such that `source[:, index]` lines up with `target`: the one-to-one match of units with the largest sum of
    correlations of their activations (bipartite matching of Li et al. 2016).

    Fit it on one half of the inputs and score on the other: the match is chosen to look good where it is fitted.
    Raises ValueError if the shapes differ.
    """
    _require_same_shape("a permutation of units", source, target)
    correlation = standardise(target) @ standardise(source).T
    _, index = linear_sum_assignment(correlation.cpu().numpy(), maximize=True)
    return torch.as_tensor(index, device=source.device)


def excess_correlations(
    x: Float[Tensor, "samples units_x"], y: Float[Tensor, "samples units_y"], draws: int, generator: torch.Generator
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
    _require_same_samples("canonical correlations", x, y)
    basis_x, basis_y = _orthonormal_basis(x), _orthonormal_basis(y)
    u, correlations, vh = torch.linalg.svd(basis_x.T @ basis_y)
    variates_x, variates_y = basis_x @ u, basis_y @ vh.T
    correlations = correlations.clamp(0, 1)
    low, high = 0, len(correlations)  # the first `low` ranks are excess, the ranks from `high` on are not
    while low < high:
        rank = (low + high) // 2
        taken = _joint_basis(variates_x[:, :rank], variates_y[:, :rank], correlations[:rank])
        null = _leading_null(variates_x[:, rank:], variates_y[:, rank:], taken, draws, generator)
        if correlations[rank] > null + _ROUNDING:
            low = rank + 1
        else:
            high = rank
    return ExcessCorrelations(low, correlations, x.shape[0] / max(x.shape[1], y.shape[1]))


def _leading_null(
    x: Float[Tensor, "samples p"],
    y: Float[Tensor, "samples q"],
    taken: Float[Tensor, "samples k"],
    draws: int,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """95 % quantile of the largest canonical correlation of orthonormal x and y when the rows of y are permuted.

    x and y are orthogonal to the variates `taken` out before, so the permuted y is made so too: correlations are larger
    in the smaller space, up to 1 where samples are few. The quantile is the ceil(0.95 (draws + 1))-th smallest draw:
    the test then has level at most 5 % for any number of draws >= 19.
    """
    leading = []
    for _ in range(draws):
        order = torch.randperm(len(y), generator=generator, device=generator.device).to(y.device)
        permuted = y[order]
        basis, _ = torch.linalg.qr(permuted - taken @ (taken.T @ permuted))
        leading.append(_singular_values(x, basis)[0])
    return torch.stack(leading).sort().values[math.ceil(_NULL_LEVEL * (draws + 1)) - 1]


def _joint_basis(
    x: Float[Tensor, "samples k"], y: Float[Tensor, "samples k"], correlations: Float[Tensor, " k"]
) -> Float[Tensor, "samples joint"]:
    """Orthonormal basis of k pairs of variates: different pairs are orthogonal, a pair with r = 1 is one direction."""
    apart = correlations < 1 - _ROUNDING
    beyond = (y - x * correlations)[:, apart] / (1 - correlations[apart] ** 2).sqrt()
    return torch.cat([x, beyond], dim=1)


def _singular_values(basis_x: Tensor, basis_y: Tensor) -> Tensor:
    return cast(Tensor, torch.linalg.svdvals(basis_x.T @ basis_y)).clamp(0, 1)  # rounding can lift a 1 by a few eps


def _orthonormal_basis(activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples rank"]:
    """Orthonormal basis of the centred columns, by thin SVD, without directions that are only rounding."""
    wide = activations.double()
    u, sigma, _ = torch.linalg.svd(_centre(wide), full_matrices=False)
    # Rounding entries to the input's dtype moves a singular value by at most eps * ||X||_F, X uncentred (Weyl 1912).
    rounding = 4 * torch.finfo(activations.dtype).eps * torch.linalg.matrix_norm(wide)
    return cast(Tensor, u[:, sigma > rounding])


def _centre(columns: Float[Tensor, "samples columns"]) -> Float[Tensor, "samples columns"]:
    """Columns minus their means. Shifted by the first row before, so that a constant column becomes exactly 0."""
    shifted = columns - columns[:1]
    return shifted - shifted.mean(dim=0)


def _unit_rows(rows: Float[Tensor, "rows dims"]) -> Float[Tensor, "rows dims"]:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, torch.ones_like(norms))


def _require_same_samples(quantity: str, x: Tensor, y: Tensor) -> None:
    if x.shape[0] != y.shape[0] or x.shape[0] < 2:
        raise ValueError(
            f"{quantity}: both sets need the same samples, at least 2 of them, but their shapes are {tuple(x.shape)} "
            f"and {tuple(y.shape)}: read both at the same inputs, samples along the first dim."
        )


def _require_same_shape(quantity: str, source: Tensor, target: Tensor) -> None:
    if source.shape != target.shape:
        raise ValueError(
            f"{quantity} needs the same samples and the same number of units on both sides, but the shapes are "
            f"{tuple(source.shape)} and {tuple(target.shape)}: between different widths compare `score` or `write_out`."
        )
