"""Sparse features in few dimensions: which are on in a row, how large they are, and how each departs from the ideal."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.worlds.base import Drawn, World, orthonormal, unit

# Features of one group, which come on together.
GROUP = 4
# A child is on in half of the rows in which its parent is.
CHILD_RATE = 0.5


def planted(options: dict[str, Any], generator: torch.Generator) -> World:
    """Rows ``codes @ features + noise``; see `homolog.config.worlds.PlantedOptions` for what may be said.

    `noise` is the norm of the noise of a row in the mean square, over the size of a feature. Rates, and so the number
    of active features, don't depend on `together` (a Gaussian copula within groups of four neighbours). `dense`
    dimensions carry a Gaussian of norm `dense_size` in the mean square, its variances falling to a quarter.
    """
    count, units = options["features"], options["units"]
    features = _directions(options, generator)
    parent = _parents(count, options["hierarchy"])
    rates = _rates(options, parent)
    scales = (options["scales"] * torch.randn(count, generator=generator)).exp()
    axes = orthonormal(options["dense"], units, generator) if options["dense"] else None
    deviations = options["dense_size"] * _falling(options["dense"])

    def draw(rows: int, own: torch.Generator) -> Drawn:
        on = _on(rows, rates, parent, options["together"], own)
        least = options["least"]
        sizes = least + 2 * (1 - least) * torch.rand(rows, count, generator=own)
        codes = on * sizes * scales
        noise = options["noise"] * units**-0.5 * torch.randn(rows, units, generator=own)
        if axes is None:
            return Drawn(codes @ features + noise, codes)
        dense = deviations * torch.randn(rows, len(axes), generator=own)
        return Drawn(codes @ features + dense @ axes + noise, codes, dense=dense)

    return World(features, draw, options["active"], axes)


def _falling(dims: int) -> Float[Tensor, " dims"]:
    """Deviations that fall to a half, of squares that sum to 1."""
    spread = torch.logspace(0, -1, dims, base=2)
    scaled: Tensor = spread / spread.norm()
    return scaled


def _directions(options: dict[str, Any], generator: torch.Generator) -> Float[Tensor, "features units"]:
    count, units = options["features"], options["units"]
    if options["directions"] == "orthogonal":
        return orthonormal(count, units, generator)
    drawn = unit(torch.randn(count, units, generator=generator))
    if options["directions"] == "random":
        return drawn
    # One direction that all share, in such a share that cosines are `overlap` on average.
    overlap = options["overlap"]
    shared = unit(torch.randn(units, generator=generator))
    apart = unit(drawn - (drawn @ shared)[:, None] * shared)
    oblique: Tensor = overlap**0.5 * shared + (1 - overlap) ** 0.5 * apart
    return oblique


def _parents(count: int, share: float) -> Tensor:
    """The parent of each feature, -1 of those without: the last ones are children of the first."""
    children = min(round(share * count), count - 1)
    parent = torch.full((count,), -1)
    parent[count - children :] = torch.arange(children) % (count - children)
    return parent


def _rates(options: dict[str, Any], parent: Tensor) -> Float[Tensor, " features"]:
    """Rates of 1 / rank^zipf among features without a parent, half the parent's of each other, `active` in sum.

    Raises ValueError where a feature would have to be on in more than all rows.
    """
    weights = torch.arange(1, len(parent) + 1, dtype=torch.float64) ** -options["zipf"]
    weights = torch.where(parent < 0, weights, CHILD_RATE * weights[parent])
    rates = options["active"] * weights / weights.sum()
    if rates.max() > 1:
        raise ValueError(
            f"planted: active = {options['active']} of {len(rates)} features would need one on in {rates.max():.2f} of "
            "the rows; allowed: up to 1; lower active or zipf."
        )
    single: Tensor = rates.float()
    return single


def _on(rows: int, rates: Tensor, parent: Tensor, together: float, own: torch.Generator) -> Bool[Tensor, "rows m"]:
    """Which features are on; of a child: whether its own coin says so where its parent is."""
    count = len(rates)
    groups = -(-count // GROUP)
    shared = torch.randn(rows, groups, generator=own).repeat_interleave(GROUP, 1)[:, :count]
    alone = torch.randn(rows, count, generator=own)
    level = together**0.5 * shared + (1 - together) ** 0.5 * alone
    bar = torch.where(parent < 0, rates, CHILD_RATE)
    on = level < torch.special.ndtri(bar.double()).to(level)
    return torch.where(parent < 0, on, on & on[:, parent])
