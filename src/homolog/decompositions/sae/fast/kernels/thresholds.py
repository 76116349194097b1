"""What do the thresholds of JumpReLU do to codes, and what is their gradient?"""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.fast.kernels.compiled import Array, kernel


@kernel
def jump(index: Array, value: Array, start: Array, threshold: Array, width: float, dense: int, near: Array) -> int:
    """Set to 0 what doesn't exceed its threshold; mark what lies within half a width of it.

    Returns how many are left, the first `dense` latents not counted.
    """
    active = 0
    for c in range(start[len(start) - 1]):
        limit = threshold[index[c]]
        near[c] = abs(value[c] - limit) < width / 2
        if value[c] > limit:
            active += 1 if value[c] > 0 and index[c] >= dense else 0
        else:
            value[c] = 0
    return active


@kernel
def to_threshold(
    index: Array, near: Array, towards: Array, scale: float, threshold: Array, width: float, penalty: Array, out: Array
) -> None:
    """Add the straight-through gradients by threshold: ``-(t dL/dz + penalty) / width`` of all that are near."""
    for c in range(len(near)):
        if near[c]:
            f = index[c]
            out[f] -= (penalty[f] - threshold[f] * np.float32(scale) * towards[c]) / np.float32(width)
