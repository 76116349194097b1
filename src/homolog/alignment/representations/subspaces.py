"""How do the subspaces that two dictionaries span lie to each other?"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Real
from torch import Tensor

from homolog.alignment.representations.inputs import Array, Rows, in_one_space, orthonormal_columns


def principal_angles(a: Real[Array, "m units"], b: Real[Array, "n units"]) -> Float[Tensor, " angles"]:
    """Principal angles in radians, smallest first, between the spans of the rows of two dictionaries (latent, unit).

    min(rank a, rank b) of them, in [0, pi / 2]. Small angles come from sines and large ones from cosines, so that all
    have full accuracy (Björck & Golub 1973). Zero rows and repeated ones change nothing. Of activations, the cosines
    of the angles between the spans of the units are the canonical correlations. Raises ValueError unless both have
    the same units, and finite values.
    """
    basis_a, basis_b = _spans("principal angles", a, b)
    if basis_a.shape[1] < basis_b.shape[1]:
        basis_a, basis_b = basis_b, basis_a
    overlap = basis_a.T @ basis_b
    cosines = torch.linalg.svdvals(overlap).clamp(0, 1)
    sines = torch.linalg.svdvals(basis_b - basis_a @ overlap).flip(0).clamp(0, 1)
    return torch.where(cosines.square() > 0.5, sines.asin(), cosines.acos())


def projector_overlap(a: Real[Array, "m units"], b: Real[Array, "n units"]) -> float:
    """tr(P P') / k: the mean squared cosine of the principal angles between the spans of the rows, k the smaller rank.

    1 where one span holds the other, 0 where they are orthogonal; for random subspaces of ranks k and l in d units
    l / d on average, l the larger. NaN where a side has no row but zeros. Raises ValueError as `principal_angles` does.
    """
    basis_a, basis_b = _spans("projector overlap", a, b)
    smaller = min(basis_a.shape[1], basis_b.shape[1])
    return float((basis_a.T @ basis_b).square().sum() / smaller) if smaller else float("nan")


def _spans(quantity: str, a: Array, b: Array) -> tuple[Tensor, Tensor]:
    """Orthonormal bases, as columns, of the spans of the rows."""
    sides = in_one_space(quantity, a, b)
    bases = [orthonormal_columns(Rows(side.values.T, side.rounding))[0] for side in sides]
    return cast(tuple[Tensor, Tensor], tuple(bases))
