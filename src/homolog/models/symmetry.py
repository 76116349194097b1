"""Which random change of description leaves a network's function alone: the control that every comparison must pass."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def random_symmetry(units: int, generator: torch.Generator) -> tuple[Int[Tensor, " units"], Float[Tensor, " units"]]:
    """A random permutation and random positive scales, for `MLP.apply_symmetry`.

    Scales are powers of two from 1/8 to 8, so that rescaling by them rounds nothing and the control is exact.
    """
    permutation = torch.randperm(units, generator=generator)
    exponents = torch.randint(-3, 4, (units,), generator=generator)
    return permutation, torch.exp2(exponents.float())
