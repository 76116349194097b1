"""Curves at every angle, pictures turned, and what a unit's answers to them say: its angle, its width, its like."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

ANGLES = 24
"""Steps of a full turn: 15 degrees each."""


def curve(size: int, angle: float, curvature: float, width: float) -> Float[Tensor, "size size"]:
    """A stroke through the middle of a square picture, of a curvature in 1 / pixels (0: a line), bent towards `angle`.

    Pixels are 1 on the arc and fall off as a normal curve of standard deviation `width` / 2. Angles are in radians,
    from the right, with the row's number growing downwards.
    """
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
    if curvature == 0:
        distance = along.abs()
    else:
        radius = 1 / curvature
        distance = (torch.hypot(along - radius, across) - radius).abs()
    return torch.exp(-2 * (distance / width) ** 2).float()


def curves(size: int, curvatures: list[float], width: float) -> Float[Tensor, "curvatures angles size size"]:
    """Curves of each curvature at `ANGLES` angles."""
    turns = [2 * math.pi * step / ANGLES for step in range(ANGLES)]
    return torch.stack([torch.stack([curve(size, angle, one, width) for angle in turns]) for one in curvatures])


def turned(pictures: Float[Tensor, "pictures size size"]) -> Float[Tensor, "pictures angles size size"]:
    """Pictures at `ANGLES` angles about their middle, bilinearly, with zeros from outside; the first is unturned."""
    found = []
    for step in range(ANGLES):
        angle = 2 * math.pi * step / ANGLES
        # The grid says where each pixel comes from: the inverse turn.
        matrix = torch.tensor([[math.cos(angle), math.sin(angle), 0.0], [-math.sin(angle), math.cos(angle), 0.0]])
        grid = affine_grid(
            matrix.expand(len(pictures), 2, 3), [len(pictures), 1, *pictures.shape[1:]], align_corners=True
        )
        found.append(grid_sample(pictures[:, None], grid, align_corners=True)[:, 0])
    return torch.stack(found, 1)


def width_of(tuning: Float[Tensor, "units angles"]) -> Float[Tensor, " units"]:
    """Degrees over which a tuning curve stays above the middle between its least and its largest value.

    Around its peak, to the steps where it first falls below on either side, linearly between steps. 360 of what never
    falls, NaN of a flat curve.
    """
    angles = tuning.shape[1]
    low, high = tuning.amin(1), tuning.amax(1)
    bar = (low + high) / 2
    at = tuning.argmax(1)
    total = torch.zeros(len(tuning), dtype=tuning.dtype)
    for side in (1, -1):
        going = torch.ones(len(tuning), dtype=torch.bool)
        before = high
        for step in range(1, angles // 2 + 1):
            value = tuning.gather(1, ((at + side * step) % angles)[:, None])[:, 0]
            share = ((before - bar) / (before - value).clamp_min(1e-12)).clamp(0, 1)
            total = total + torch.where(going, torch.where(value < bar, share, 1.0), 0.0)
            going, before = going & (value >= bar), value
    return torch.where(high > low, total * 360 / angles, torch.nan)


def best_turned(
    one: Float[Tensor, "units angles"], other: Float[Tensor, "others angles"]
) -> Float[Tensor, "units others"]:
    """Largest correlation of two tuning curves over all turns of the second; 0 of flat ones."""
    a, b = (_standard(curve) for curve in (one, other))
    shifted = torch.stack([b.roll(step, 1) for step in range(b.shape[1])])
    return torch.einsum("ua,sva->suv", a, shifted).amax(0)


def largest_gap(angles: Float[Tensor, " angles"]) -> float:
    """Degrees of the widest stretch of a full turn without any of these angles (in degrees); 360 of one or none."""
    if len(angles) < 2:
        return 360.0
    order = angles.sort().values
    return float(torch.cat([order.diff(), order[:1] + 360 - order[-1:]]).max())


def _standard(curves: Tensor) -> Tensor:
    centred = curves - curves.mean(1, keepdim=True)
    return torch.nn.functional.normalize(centred, dim=1)
