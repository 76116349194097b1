"""Do two representations find the same pairs of inputs alike (centred kernel alignment)?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Real
from torch import Tensor

from homolog.alignment.representations.inputs import Array, centred_pair, compact
from homolog.alignment.similarity import centre


@dataclass(frozen=True)
class CKA:
    """A centred kernel alignment; `float()` of it is its value."""

    value: float
    largest_row_share: float
    """max_i |x_i|^2 |y_i|^2 / ||X'Y||_F^2: what the largest single row adds to CKA's numerator by itself.

    Near 1, one outlying input makes the value, and the rest doesn't count. The sum over all rows is what debiasing
    takes off; among n rows of equal weight in unrelated data it is about 1 / n.
    """

    def __float__(self) -> float:
        return self.value


def linear_cka(x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"]) -> CKA:
    """Linear CKA ||X'Y||_F^2 / (||X'X||_F ||Y'Y||_F) of centred X and Y (Kornblith et al. 2019), in [0, 1].

    Blind to rotation, scale and shift, not to other invertible maps. NaN where one of the two is constant. Biased
    upwards when samples are few compared with units (`debiased_cka`), and a single outlying row can lift it (its share
    is returned): context, not a verdict. Raises ValueError if the numbers of samples differ or are below 2, or values
    aren't finite.
    """
    a, b = (compact(side) for side in centred_pair("linear CKA", x, y))
    cross = _frobenius(a, b)
    scale = math.sqrt(_frobenius(a, a) * _frobenius(b, b))
    return CKA(cross / scale if scale else math.nan, largest_row_share(squared_norms(a) * squared_norms(b), cross))


def debiased_cka(
    x: Real[Array, "samples units_x"], y: Real[Array, "samples units_y"], batch_size: int | None = None
) -> CKA:
    """CKA from the unbiased estimate of HSIC (HSIC_1, Song et al. 2012): 0 on average for independent data.

    The ratio of HSIC_1(x, y) to the root of HSIC_1(x, x) HSIC_1(y, y). It may be negative and isn't clipped; NaN where
    the estimate of a side with itself isn't positive. With `batch_size`, HSIC_1 is averaged over batches of so many
    rows in order, a smaller rest left out, and the ratio is taken once (Nguyen et al. 2021). Raises ValueError for
    fewer than 4 samples, or fewer than 4 or more than there are in a batch, or as `linear_cka` does.
    """
    sides = centred_pair("debiased CKA", x, y, least=4)
    samples = len(x)
    size = samples if batch_size is None else batch_size
    if not 4 <= size <= samples:
        raise ValueError(
            f"debiased CKA: a batch has from 4 rows to all {samples}, but batch_size = {batch_size}: leave it out to "
            f"take all rows at once."
        )
    a, b = (compact(side) for side in sides)
    totals = torch.zeros(3, dtype=torch.float64)
    for start in range(0, samples - size + 1, size):
        p, q = (centre(side[start : start + size]) for side in (a, b))
        totals += torch.tensor([_hsic(p, q), _hsic(p, p), _hsic(q, q)], dtype=torch.float64)
    share = largest_row_share(squared_norms(a) * squared_norms(b), _frobenius(a, b))
    return CKA(debiased_ratio(*totals.tolist()), share)


def debiased_ratio(cross: float, own_x: float, own_y: float) -> float:
    """HSIC_1(x, y) / sqrt(HSIC_1(x, x) HSIC_1(y, y)); NaN unless both own ones are positive."""
    return cross / math.sqrt(own_x * own_y) if own_x > 0 and own_y > 0 else math.nan


def hsic_1(cross: float, row_products: float, squares_x: float, squares_y: float, samples: int) -> float:
    """HSIC_1 of linear kernels, up to the factor 1 / (n (n - 3)), from centred X and Y.

    ||X'Y||_F^2 - n / (n - 2) sum_i |x_i|^2 |y_i|^2 + ||X||_F^2 ||Y||_F^2 / ((n - 1) (n - 2)), which is the definition
    of Song et al. (2012) in features: kernels without their diagonals, the three terms written out.
    """
    middle = samples / (samples - 2) * row_products
    return cross - middle + squares_x * squares_y / ((samples - 1) * (samples - 2))


def largest_row_share(row_products: Float[Tensor, " samples"], cross: float) -> float:
    """The largest of |x_i|^2 |y_i|^2 over ||X'Y||_F^2; NaN where that is 0."""
    return float(row_products.amax()) / cross if cross else math.nan


def squared_norms(rows: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
    """Squared norm of each row."""
    return cast(Tensor, torch.linalg.vector_norm(rows, dim=1)).square()


def _hsic(a: Tensor, b: Tensor) -> float:
    products = float((squared_norms(a) * squared_norms(b)).sum())
    return hsic_1(_frobenius(a, b), products, float(squared_norms(a).sum()), float(squared_norms(b).sum()), len(a))


def _frobenius(a: Tensor, b: Tensor) -> float:
    """||A'B||_F^2."""
    return float(torch.linalg.matrix_norm(a.T @ b).square())
