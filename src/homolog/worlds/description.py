"""How many bits does a row take when it is written as the codes of a dictionary, and what these leave over?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def bits_per_row(
    codes: Float[Tensor, "rows latents"], left: Float[Tensor, "rows units"], distortion: float
) -> tuple[float, float]:
    """Bits for the codes, and bits for what they leave of the rows, so that each unit errs by `distortion` squared.

    A latent costs the entropy of whether it is on and, where it is on, half the logarithm of its variance there over
    the distortion: what a Gaussian code of that variance takes at this mean squared error (Shannon, 1959), and no code
    needs more. What is left is written along its own principal axes in the same way. So a dense orthonormal basis costs
    what rate-distortion theory says of a Gaussian (reverse water filling), and one latent in m costs its number, about
    log2 m bits. Latents are written one by one: what one says about another isn't used. The dictionary itself isn't
    counted: it is shared by all rows.
    """
    on = codes != 0
    rate = on.double().mean(0)
    number = on.sum(0).clamp_min(1)
    mean, square = (one.sum(0, dtype=torch.float64) / number for one in (codes, codes.square()))
    variance = (square - mean.square()).clamp_min(0)
    supports = torch.special.entr(rate) + torch.special.entr(1 - rate)
    sizes = rate * _half_log2(variance, distortion)
    axes = torch.linalg.eigvalsh(torch.cov(left.double().T, correction=0)).clamp_min(0)
    return float(supports.sum() / torch.log(torch.tensor(2.0)) + sizes.sum()), float(_half_log2(axes, distortion).sum())


def _half_log2(variance: Tensor, distortion: float) -> Tensor:
    return 0.5 * (variance / distortion).clamp_min(1).log2()
