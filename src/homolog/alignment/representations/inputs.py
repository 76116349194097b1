"""What may be compared, and what of it is more than rounding?

Every measure here checks its input in the same words, works in float64 whatever comes in, and centres by itself.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.similarity import centre

Array = Tensor | np.ndarray
# Where there are fewer samples than so many times the units, unrelated data have a mean squared correlation of 0.1.
SAMPLES_PER_UNIT = 10


class FewSamplesWarning(UserWarning):
    """There are so few samples that canonical correlations of unrelated data are far from 0."""


@dataclass(frozen=True)
class Rows:
    """One side of a comparison, in float64."""

    values: Float[Tensor, "rows units"]
    rounding: float
    """Singular values below it can come from the rounding of what came in.

    Rounding entries to a dtype moves a singular value by at most eps ||X||_F, X uncentred (Weyl 1912); four times that.
    """


def centred_pair(quantity: str, x: Array, y: Array, least: int = 2) -> tuple[Rows, Rows]:
    """Both sides, centred. Raises ValueError unless their samples agree, are at least `least`, and finite."""
    sides = rows_of(quantity, "x", x), rows_of(quantity, "y", y)
    samples = [len(side.values) for side in sides]
    if samples[0] != samples[1] or samples[0] < least:
        raise ValueError(
            f"{quantity}: both sets need the same samples, at least {least} of them, but their shapes are "
            f"{tuple(x.shape)} and {tuple(y.shape)}: read both at the same inputs, samples along the first dim."
        )
    device = sides[0].values.device
    first, second = (Rows(centre(side.values.to(device)), side.rounding) for side in sides)
    return first, second


def in_one_space(quantity: str, a: Array, b: Array) -> tuple[Rows, Rows]:
    """Two dictionaries (latent, unit), on one device. Raises ValueError as `rows_of` does, and if units differ."""
    first, second = rows_of(quantity, "a", a), rows_of(quantity, "b", b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{quantity}: both dictionaries need the same units, but their shapes are {tuple(a.shape)} and "
            f"{tuple(b.shape)}: compare them in a view that both share, such as `score` or `write_out`."
        )
    return first, Rows(second.values.to(first.values.device), second.rounding)


def rows_of(quantity: str, name: str, array: Array) -> Rows:
    """One array as float64, without centring. Raises ValueError as `tensor_of` does, and for NaN or infinity."""
    given = tensor_of(quantity, name, array)
    wide = given.double()
    bad = int((~wide.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{quantity}: {bad} of the {wide.numel()} values of {name}, shape {tuple(array.shape)}, are NaN or "
            f"infinite: leave out the rows that hold them, on both sides alike."
        )
    eps = torch.finfo(given.dtype if given.is_floating_point() else torch.float64).eps
    return Rows(wide, 4 * eps * float(torch.linalg.matrix_norm(wide)))


def tensor_of(quantity: str, name: str, array: Array) -> Tensor:
    """The array as a tensor, not copied where that can be. Raises ValueError unless it is 2-D, real and not empty."""
    unreal = array.is_complex() if isinstance(array, Tensor) else array.dtype.kind not in "biuf"
    if array.ndim != 2 or unreal or 0 in array.shape:
        raise ValueError(
            f"{quantity}: {name} has shape {tuple(array.shape)} and type {array.dtype}, but (samples, units) of real "
            f"numbers, or (latents, units), are needed, at least one of each: reshape or convert it."
        )
    return torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array.detach()


def orthonormal_columns(side: Rows) -> tuple[Float[Tensor, "rows rank"], Float[Tensor, "rank units"]]:
    """Q and R with X = Q R, up to directions that are only rounding: thin SVD with a rank cut, R = S V'."""
    u, sigma, vh = torch.linalg.svd(side.values, full_matrices=False)
    kept = sigma > side.rounding
    return u[:, kept], sigma[kept, None] * vh[kept]


def compact(side: Rows) -> Float[Tensor, "rows at_most_rows"]:
    """X turned into at most as many units as samples: what only a rotation of the units apart can't see differs not."""
    if side.values.shape[1] <= side.values.shape[0]:
        return side.values
    return cast(Tensor, torch.linalg.qr(side.values.T, mode="r").R.T)


def warn_of_few_samples(quantity: str, samples: int, directions_x: int, directions_y: int) -> None:
    """Tell, by a FewSamplesWarning, that canonical correlations would be high by chance."""
    widest = max(directions_x, directions_y)
    if not widest or samples >= SAMPLES_PER_UNIT * widest:
        return
    chance = min(1.0, widest / (samples - 1))
    forced = min(directions_x + directions_y - (samples - 1), directions_x, directions_y)
    exactly = f", and {forced} correlations are 1 whatever the data" if forced > 0 else ""
    warnings.warn(
        f"{quantity}: {samples} samples for {widest} directions are {samples / widest:.1f} each, fewer than "
        f"{SAMPLES_PER_UNIT}; unrelated data have a mean squared correlation of {chance:.2f}{exactly}: give more "
        f"samples, or read the value beside homolog.alignment.permutation_null.",
        FewSamplesWarning,
        stacklevel=3,
    )
