"""A world without sparse features: random points of a square, which fill it evenly up to its corners."""

from __future__ import annotations

from typing import Any

import torch

from homolog.worlds.base import Drawn, World, orthonormal


def square(options: dict[str, Any], generator: torch.Generator) -> World:
    """Points of the unit square, uniformly, in a random plane of all dimensions, and noise; there is no feature.

    `noise` is the norm of the noise of a row in the mean square.
    """
    units = options["units"]
    axes = orthonormal(2, units, generator)

    def draw(rows: int, own: torch.Generator) -> Drawn:
        points = torch.rand(rows, 2, generator=own)
        noise = options["noise"] * units**-0.5 * torch.randn(rows, units, generator=own)
        return Drawn(points @ axes + noise, torch.empty(rows, 0))

    return World(torch.empty(0, units), draw, 0.0)
