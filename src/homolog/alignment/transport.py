"""Which shares of each latent of one dictionary go to which of another, where the two may differ in size?

Soft matching (Khosla & Williams 2024) gives each of m latents the mass 1/m and each of n the mass 1/n, and looks for
the transport plan between the two with the largest similarity. For m = n this is the best one-to-one matching.
"""

from __future__ import annotations

from math import gcd

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.kernels import ship


def transport_plan(similarity: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The plan T >= 0 with row sums 1/m and column sums 1/n that has the largest sum of T * similarity; float64.

    Exact: masses are whole numbers of 1/lcm(m, n), and paths are shortest on the whole matrix, (m, n) in memory. About
    m + n paths of at most m n steps each: seconds for a thousand latents, too slow for tens of thousands.
    Raises ValueError if there is nothing to match or a similarity is NaN or infinite.
    """
    m, n = similarity.shape
    if m == 0 or n == 0:
        raise ValueError(f"There is nothing to transport between {m} latents and {n}: give at least one on each side.")
    bad = int((~similarity.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{bad} of {similarity.numel()} similarities, shape {(m, n)}, are NaN or infinite, and no transport is "
            f"defined on them: leave out latents that have none."
        )
    shared = gcd(m, n)
    flow = np.zeros((m, n), np.int64)
    supply, demand = np.full(m, n // shared), np.full(n, m // shared)
    ship(np.ascontiguousarray(similarity.detach().double().cpu().numpy()), supply, demand, flow)
    return (torch.from_numpy(flow).double() * (shared / (m * n))).to(similarity.device)
