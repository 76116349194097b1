"""Worlds whose dictionaries are sparse autoencoders: trained on data without features, from a start that they share, or
with fewer active latents than the data have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.analyses.traps import training
from homolog.analyses.traps.stack import Runs, Stack
from homolog.analyses.traps.turns import orthonormal
from homolog.analyses.traps.worlds import Sizes, falling, unit
from homolog.streams import stream

# Rows that each repetition's autoencoders are trained on.
TRAINED_ON = 2048
# Steps after which directions have hardly left their start.
FEW_STEPS = 3
# A latent is a feature's when its direction comes so near to it; an even mixture of two orthogonal ones has .71.
TRUE_COSINE = 0.8
Sample = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class World:
    """Data of every repetition, from which rows (repetition, row, unit) can be drawn, the options of what is trained on
    them, and the features, if there are.

    Of a mixture these are its clusters, as seen from the mean.
    """

    sample: Sample
    options: dict[str, Any]
    features: Float[Tensor, "repetitions features units"] | None = None
    longer: float = 1.0
    """Steps, as a multiple of the usual ones."""
    one_start: bool = False
    """All runs of a repetition start from one initialisation."""


def square(sizes: Sizes, generator: torch.Generator) -> World:
    """Points of a square, spread evenly, in a plane of a space with a little noise."""
    plane = _rotations(sizes, generator)[:, :2]

    def sample(rows: int, own: torch.Generator) -> Tensor:
        return (2 * torch.rand(sizes.repetitions, rows, 2, generator=own) - 1) @ plane + _noise(sizes, rows, own)

    return World(sample, {"k": 2})


def disc(sizes: Sizes, generator: torch.Generator) -> World:
    """The same of a disc, which has no corners; its points have the variance of the square's."""
    plane = _rotations(sizes, generator)[:, :2]

    def sample(rows: int, own: torch.Generator) -> Tensor:
        angle, area = torch.rand(2, sizes.repetitions, rows, generator=own)
        # Variance along an axis: a quarter of the radius squared.
        radius = (4 / 3 * area).sqrt()
        angle = 2 * torch.pi * angle
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 2) @ plane + _noise(sizes, rows, own)

    return World(sample, {"k": 2})


def gaussians(sizes: Sizes, generator: torch.Generator) -> World:
    """A mixture of a dozen Gaussians, so far apart that there are twelve things to find: which one a row is of."""
    centres = torch.randn(sizes.repetitions, 12, sizes.units, generator=generator) / 2

    def sample(rows: int, own: torch.Generator) -> Tensor:
        member = torch.randint(12, (sizes.repetitions, rows, 1), generator=own)
        noise = torch.randn(sizes.repetitions, rows, sizes.units, generator=own) / 2
        return centres.gather(1, member.expand(-1, -1, sizes.units)) + noise

    return World(sample, {"k": 2}, unit(centres - centres.mean(1, keepdim=True)))


def gaussian(sizes: Sizes, generator: torch.Generator) -> World:
    """One Gaussian of full rank, of variances 1, 1/2, 1/3, ..."""

    def sample(rows: int, own: torch.Generator) -> Tensor:
        return torch.randn(sizes.repetitions, rows, sizes.units, generator=own) * falling(sizes.units)

    return World(sample, {"k": 2})


def shared_start(sizes: Sizes, generator: torch.Generator) -> World:
    """All runs have one initialisation and hardly leave it."""
    return World(gaussian(sizes, generator).sample, {"k": 2, "steps": FEW_STEPS}, one_start=True)


def sparse_pairs(sizes: Sizes, generator: torch.Generator, k: int) -> World:
    """As many orthogonal features as units, in pairs. On each row two of the pairs are on, of one of them the first
    feature alone and of the other both: three features. With too few active latents one latent for both pays better
    than one for each (Chanin & Garriga-Alonso 2025)."""
    half = sizes.units // 2
    features = _rotations(sizes, generator)[:, : 2 * half]

    def sample(rows: int, own: torch.Generator) -> Tensor:
        place = torch.rand(sizes.repetitions, rows, half, generator=own).argsort(2)
        on = torch.cat([place < 2, place < 1], 2)
        return (on * (0.5 + 2 * torch.rand(sizes.repetitions, rows, 2 * half, generator=own))) @ features

    # From many active latents to few, and from no bias, which the data have none of: at the right number the features
    # are easily found.
    options = {"k": k, "k_start": 2 * sizes.units // 3, "n_latents": sizes.units, "bias_init": "zero"}
    return World(sample, options, features, longer=3.6)


Make = Callable[[Sizes, torch.Generator], World]
# Where nothing is stable, and where it depends on what one asks for.
NOTHING: dict[str, Make] = {"square": square, "disc": disc, "gaussian": gaussian}
ARGUABLE: dict[str, Make] = {"gaussians": gaussians, "shared_start": shared_start}
# Active latents of the autoencoders in the world of `sparse_pairs`, of whose features three are active on average.
ACTIVE, TRUE_L0 = (1, 2, 3, 4), 3


def train(world: World, sizes: Sizes, autoencoder: dict[str, Any], name: str) -> Runs:
    """`sizes.runs` autoencoders in each repetition, other seeds on one data set; the rows compared are new ones.

    `autoencoder` holds the `target` of a recipe and its complete `options`, which the world's own go before.
    """
    usual = autoencoder["options"] | {"n_latents": sizes.latents}
    usual["steps"] = round(usual["steps"] * world.longer)
    generator = stream("traps", "rows", name)
    data = world.sample(TRAINED_ON, generator)
    seeds = [0] * sizes.runs if world.one_start else list(range(sizes.runs))
    own = autoencoder | {"options": usual | world.options}
    stacks = training.train(own, data, seeds, ("traps", name), generator)
    rows = world.sample(sizes.rows, generator)
    stable = [torch.zeros(stack.directions.shape[:2], dtype=torch.bool) for stack in stacks]
    if world.features is not None:
        stable = [true_latents(stack, world.features) for stack in stacks]
    return Runs(tuple(stacks), (rows,) * sizes.runs, tuple(stable))


def true_latents(
    stack: Stack, features: Float[Tensor, "repetitions features units"]
) -> Bool[Tensor, "repetitions latents"]:
    """Which latents are a feature's."""
    return (unit(stack.directions) @ features.mT).amax(-1) >= TRUE_COSINE


def _rotations(sizes: Sizes, generator: torch.Generator) -> Float[Tensor, "repetitions units units"]:
    """Uniformly random bases."""
    shape = sizes.repetitions, sizes.units, sizes.units
    return orthonormal(torch.randn(shape, generator=generator, dtype=torch.float64)).float()


def _noise(sizes: Sizes, rows: int, generator: torch.Generator) -> Float[Tensor, "repetitions rows units"]:
    return 0.05 * torch.randn(sizes.repetitions, rows, sizes.units, generator=generator)
