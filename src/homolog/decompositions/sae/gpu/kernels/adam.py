"""Triton: one step of Adam on each row, which may have to stay on the sphere.

With m and v the running means of the gradient g and of its square, w -= rate m / (sqrt(v) correction + epsilon), where
rate = lr / (1 - beta_1^t) and correction = 1 / sqrt(1 - beta_2^t) are numbers of each member, read from the device. On
the sphere the part of g along w is left out, and w brought back to unit norm: both need the whole row, which one
program holds. Read and written once: 28 bytes a parameter, the least that Adam can do with.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from homolog.decompositions.sae.optimiser import BETA_1, BETA_2, EPSILON


@triton.jit
def _adam(
    p, gradient, first, second, rate, correction, rows, units,
    BETA_1: tl.constexpr, BETA_2: tl.constexpr, EPSILON: tl.constexpr, ON_SPHERE: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    member = row // rows
    t = tl.arange(0, UNITS)
    inside = t < units
    at = row * units + t
    w = tl.load(p + at, mask=inside, other=0.0)
    g = tl.load(gradient + at, mask=inside, other=0.0)
    if ON_SPHERE:
        g -= tl.sum(g * w, 0) * w
    m = tl.load(first + at, mask=inside, other=0.0)
    v = tl.load(second + at, mask=inside, other=0.0)
    m += (1 - BETA_1) * (g - m)
    v = BETA_2 * v + (1 - BETA_2) * g * g
    w -= tl.load(rate + member) * m / (tl.sqrt(v) * tl.load(correction + member) + EPSILON)
    if ON_SPHERE:
        w /= tl.sqrt(tl.sum(w * w, 0))
    tl.store(p + at, w, mask=inside)
    tl.store(first + at, m, mask=inside)
    tl.store(second + at, v, mask=inside)


def adam(
    p: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: Tensor, correction: Tensor, on_sphere: bool
) -> None:
    """As `operations.adam`."""
    units = p.shape[-1]
    rows = p[0].numel() // units
    width = max(16, triton.next_power_of_2(units))
    _adam[len(p) * rows,](
        p, gradient, first, second, rate, correction, rows, units, BETA_1, BETA_2, EPSILON,
        ON_SPHERE=on_sphere, UNITS=width, num_warps=min(8, max(1, width // 128)),
    )  # fmt: skip
