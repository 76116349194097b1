"""How does Adam step on the CPU?"""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.fast.kernels.compiled import Array, kernel


@kernel
def adam_rows(
    p: Array, gradient: Array, first: Array, second: Array, on_sphere: bool, rate: float, correction: float
) -> None:
    """Adam on each row, in place.

    `rate` holds the first moment's correction, `correction` is 1 / sqrt(1 - beta_2^t). `on_sphere`: the part of the
    gradient along the row is left out, and the row brought back to unit norm.
    """
    rows, units = p.shape
    step, root = np.float32(rate), np.float32(correction)
    for f in range(rows):
        row, g, m, v = p[f], gradient[f], first[f], second[f]
        along = np.float32(0)
        if on_sphere:
            for t in range(units):
                along += g[t] * row[t]
        norm = np.float32(0)
        for t in range(units):
            slope = g[t] - along * row[t]
            mean = m[t] + np.float32(0.1) * (slope - m[t])
            square = np.float32(0.999) * v[t] + np.float32(0.001) * slope * slope
            m[t], v[t] = mean, square
            new = row[t] - step * mean / (np.sqrt(square) * root + np.float32(1e-8))
            row[t] = new
            norm += new * new
        if on_sphere:
            inverse = np.float32(1) / np.sqrt(norm)
            for t in range(units):
                row[t] *= inverse
