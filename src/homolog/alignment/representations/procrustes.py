"""How near does the best rotation bring one representation to another?"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float, Real
from torch import Tensor

from homolog.alignment.representations.inputs import Array, Rows, centred_pair, compact


def procrustes_rotation(
    source: Float[Tensor, "samples units"], target: Float[Tensor, "samples units"]
) -> Float[Tensor, "units units"]:
    """Orthogonal R, reflections allowed, that minimises ||source R - target||_F (Schönemann 1966).

    R = U V' of source' target = U S V'. Nothing is centred here: R turns about the origin of what is given.
    Raises ValueError if the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(
            f"a Procrustes rotation needs the same samples and the same number of units on both sides, but the shapes "
            f"are {tuple(source.shape)} and {tuple(target.shape)}: between different widths compare `score` or "
            f"`write_out`."
        )
    u, _, vh = torch.linalg.svd(source.double().T @ target.double())
    return cast(Tensor, u @ vh)


def procrustes_similarity(x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"]) -> float:
    """||X'Y||_* / (||X||_F ||Y||_F) of centred X and Y, in [0, 1]: their cosine after the best rotation.

    The rotation is Schönemann's (1966); the narrower side is thought filled up with zeros. Blind to rotation, scale and
    shift, not to other invertible maps. NaN where a side is constant. For independent data far from 0 unless samples
    are many: read it beside its null. Raises ValueError if the numbers of samples differ or are below 2, or values
    aren't finite.
    """
    return _cosine(*(compact(side) for side in centred_pair("Procrustes similarity", x, y)))


def angular_distance(x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"], alpha: float = 1.0) -> float:
    """Angle between x and y after the best rotation of partly whitened activations, in [0, pi / 2].

    As Williams et al. (2021), X becomes X (alpha I + (1 - alpha) S^-1), S the root of its covariance: alpha = 1 is
    Procrustes, alpha = 0 is CCA (of ranks p and q: the cosine is the sum of the correlations over sqrt(p q)), each a
    metric. Here the covariance is first scaled to mean variance 1 over its rank, so that between the ends neither scale
    nor the number of samples matters; at the ends it changes nothing. Near 0 an arc cosine resolves no less than about
    2e-8. NaN where a side is constant. Raises ValueError for alpha outside [0, 1], or as `procrustes_similarity` does.
    """
    check_alpha(alpha)
    partly = [_partly_whitened(side, alpha) for side in centred_pair("angular distance", x, y)]
    return angle(_cosine(*partly))


def transfer_fvu(
    x: Real[Array, "samples units_x"],
    y: Real[Array, "samples units_y"],
    scale: bool = False,
    held_out: tuple[Real[Array, "others units_x"], Real[Array, "others units_y"]] | None = None,
) -> float:
    """Fraction of the variance of y that x leaves unexplained after the best shift, rotation and, if asked for, scale.

    On the samples it is fitted to, (||X||^2 + ||Y||^2 - 2 ||X'Y||_*) / ||Y||^2, which passes 1 where the scales differ;
    with `scale`, 1 - procrustes_similarity^2, in [0, 1]. The narrower side is filled up with zeros. `held_out` are
    x and y on other samples, about whose own mean the variance is taken: to fit and score on the same samples is
    circular. Not symmetric. NaN where y is constant. Raises ValueError as `procrustes_similarity` does.
    """
    if held_out is None:
        a, b = (compact(side) for side in centred_pair("transfer FVU", x, y))
        squares_x, squares_y = (float(torch.linalg.matrix_norm(side).square()) for side in (a, b))
        return fvu_after_rotation(squares_x, squares_y, nuclear_norm(a.T @ b), scale)
    return _held_out_fvu(x, y, scale, *held_out)


def fvu_after_rotation(squares_x: float, squares_y: float, nuclear: float, scale: bool) -> float:
    """`transfer_fvu` from ||X||^2, ||Y||^2 and ||X'Y||_*."""
    if not squares_y:
        return math.nan
    if scale:
        return 1 - nuclear**2 / (squares_x * squares_y) if squares_x else 1.0
    return (squares_x + squares_y - 2 * nuclear) / squares_y


def nuclear_norm(matrix: Float[Tensor, "p q"]) -> float:
    """Sum of the singular values."""
    return float(torch.linalg.svdvals(matrix).sum())


def partial_whitening(
    deviations: Float[Tensor, " directions"], rank: int, alpha: float
) -> Float[Tensor, " directions"]:
    """What each principal direction is multiplied by: alpha + (1 - alpha) / deviation, deviations of mean square 1.

    Directions beyond the rank have no deviation to divide by and keep alpha alone.
    """
    scaled = deviations / deviations[:rank].square().mean().sqrt() if rank else deviations
    whitening = torch.zeros_like(deviations)
    whitening[:rank] = 1 / scaled[:rank]
    return alpha + (1 - alpha) * whitening


def angle(cosine: float) -> float:
    """Arc cosine of what rounding may have lifted above 1."""
    return math.acos(min(cosine, 1.0)) if not math.isnan(cosine) else math.nan


def check_alpha(alpha: float) -> None:
    """Raise ValueError for an alpha that is neither CCA, nor Procrustes, nor between them."""
    if not 0 <= alpha <= 1:
        raise ValueError(
            f"angular distance goes from CCA (alpha = 0) to Procrustes (1), but alpha = {alpha}: choose it in [0, 1]."
        )


def _cosine(a: Tensor, b: Tensor) -> float:
    scale = float(torch.linalg.matrix_norm(a) * torch.linalg.matrix_norm(b))
    return nuclear_norm(a.T @ b) / scale if scale else math.nan


def _partly_whitened(side: Rows, alpha: float) -> Tensor:
    u, sigma, _ = torch.linalg.svd(
        side.values, full_matrices=False
    )  # The rotation V' of the units makes no difference.
    rank = int((sigma > side.rounding).sum())
    return cast(Tensor, u * (sigma * partial_whitening(sigma, rank, alpha)))


def _held_out_fvu(x: Array, y: Array, scale: bool, other_x: Array, other_y: Array) -> float:
    fitted, others = centred_pair("transfer FVU", x, y), centred_pair("transfer FVU, held out", other_x, other_y)
    a, b = (side.values for side in fitted)
    u, sigma, vh = torch.linalg.svd(a.T @ b, full_matrices=False)
    squares = a.square().sum()
    factor = sigma.sum() / squares if scale and squares else 1.0
    means = [torch.as_tensor(side, device=a.device).double().mean(0) for side in (x, y, other_x, other_y)]
    moved = others[0].values + (means[2] - means[0])
    # What the rotation makes of x outside the span of y's units: all of it counts as error where x is wider.
    outside = float((moved.square().sum() - (moved @ u).square().sum()) * factor**2) if a.shape[1] > b.shape[1] else 0.0
    residual = others[1].values + (means[3] - means[1]) - factor * moved @ u @ vh
    total = float(others[1].values.square().sum())
    return (float(residual.square().sum()) + max(outside, 0.0)) / total if total else math.nan
