"""What does a world hand out: rows, and what is true of them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Drawn:
    """Rows of a world, the true codes that they were made of, and the same rows seen elsewhere, if there is such.

    `dense`: coordinates in the world's dense part, of which every row has some; none where there is no such part.
    """

    rows: Float[Tensor, "samples units"]
    codes: Float[Tensor, "samples features"]
    partner: Float[Tensor, "samples others"] | None = None
    dense: Float[Tensor, "samples dims"] | None = None


@dataclass(frozen=True)
class World:
    """True features as unit rows, none where none are known; how to draw rows; features on a row, on average.

    `dense` are orthonormal axes of a subspace in which every row has a part, none where there is no such part.
    `held_out` draws rows that measure, where there is a limited number, of which none may be fitted to.
    """

    features: Float[Tensor, "features units"]
    draw: Callable[[int, torch.Generator], Drawn]
    active: float
    dense: Float[Tensor, "dims units"] | None = None
    held_out: Callable[[int, torch.Generator], Drawn] | None = None


def unit(rows: Tensor) -> Tensor:
    """Rows of norm 1."""
    return torch.nn.functional.normalize(rows, dim=-1)


def orthonormal(rows: int, units: int, generator: torch.Generator) -> Float[Tensor, "rows units"]:
    """Uniformly random orthonormal rows, at most as many as units."""
    drawn = torch.randn(units, rows, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(drawn)
    turned: Tensor = (q * r.diagonal().sign()).T.float()
    return turned
