"""Dense sources, mixed: independent numbers, one along each direction, and the same seen through another mixing."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.worlds.base import Drawn, World, orthonormal, unit

# Of sparse sources: how often one is on.
SPARSE_RATE = 0.1
# The largest variance over the smallest, where they fall.
SPAN = 16.0


def sources(options: dict[str, Any], generator: torch.Generator) -> World:
    """Rows ``sources @ directions + noise``; every source has variance 1, or they fall to 1 / 16.

    `partner` are the same sources through directions of their own, with noise of their own.
    """
    count, units, kind = options["sources"], options["units"], options["distribution"]
    deviations = torch.ones(count)
    if options["variances"] == "falling":
        deviations = torch.logspace(0, -1, count, base=SPAN**0.5)
    mixings = [_mixing(options["directions"], count, units, generator) for _ in range(2)]

    def draw(rows: int, own: torch.Generator) -> Drawn:
        codes = _drawn(kind, (rows, count), own) * deviations
        seen = [codes @ one + options["noise"] * torch.randn(rows, units, generator=own) for one in mixings]
        return Drawn(seen[0], codes, seen[1])

    return World(mixings[0], draw, SPARSE_RATE * count if kind == "sparse" else float(count))


def _mixing(kind: str, count: int, units: int, generator: torch.Generator) -> Float[Tensor, "sources units"]:
    if kind == "orthogonal":
        return orthonormal(count, units, generator)
    return unit(torch.randn(count, units, generator=generator))


def _drawn(kind: str, shape: tuple[int, int], own: torch.Generator) -> Tensor:
    """Independent numbers of variance 1: normal, uniform, Laplace's, or positive in one row of ten and else 0.

    Only the last have a mean, as features have.
    """
    if kind == "gaussian":
        return torch.randn(shape, generator=own)
    if kind == "uniform":
        return 12**0.5 * (torch.rand(shape, generator=own) - 0.5)
    if kind == "laplace":
        sign = torch.where(torch.rand(shape, generator=own) < 0.5, -1.0, 1.0)
        return sign * torch.empty(shape).exponential_(generator=own) / 2**0.5
    on = torch.rand(shape, generator=own) < SPARSE_RATE
    sizes = 0.5 + torch.rand(shape, generator=own)
    # E[z^2] = rate * 13/12, and the mean is the rate.
    variance = SPARSE_RATE * 13 / 12 - SPARSE_RATE**2
    sparse: Tensor = on * sizes / variance**0.5
    return sparse
