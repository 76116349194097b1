"""Worlds whose dictionaries are sparse autoencoders, trained by the project's own trainer on data without features,
from a start that they share, or with fewer active latents than the data have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.nulls import haar_rotation
from homolog.analyses.traps.stack import Pair, Stack
from homolog.analyses.traps.worlds import Sizes, falling, unit
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.streams import stream

# Rows that are trained on, and data sets that the repetitions share out.
TRAINED_ON, DATA_SETS = 2048, 4
# Steps after which directions have hardly left their start.
FEW_STEPS = 3
# A latent is a feature's when its direction comes so near to it; an even mixture of two orthogonal ones has .71.
TRUE_COSINE = 0.8
Sample = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class World:
    """Data, from which rows can be drawn, the options of what is trained on them, and the features, if there are.

    Of a mixture these are its clusters, as seen from the mean.
    """

    sample: Sample
    options: dict[str, Any]
    features: Float[Tensor, "features units"] | None = None
    longer: float = 1.0
    """Steps, as a multiple of the usual ones."""


def square(sizes: Sizes, generator: torch.Generator) -> World:
    """Points of a square, spread evenly, in a plane of a space with a little noise."""
    plane = haar_rotation(sizes.units, generator).float()[:2]

    def sample(rows: int, own: torch.Generator) -> Tensor:
        noise = 0.05 * torch.randn(rows, sizes.units, generator=own)
        return (2 * torch.rand(rows, 2, generator=own) - 1) @ plane + noise

    return World(sample, {"k": 2})


def gaussians(sizes: Sizes, generator: torch.Generator) -> World:
    """A mixture of a dozen Gaussians, so far apart that there are twelve things to find: which one a row is of."""
    centres = torch.randn(12, sizes.units, generator=generator) / 2

    def sample(rows: int, own: torch.Generator) -> Tensor:
        member = torch.randint(12, (rows,), generator=own)
        return centres[member] + torch.randn(rows, sizes.units, generator=own) / 2

    return World(sample, {"k": 2}, unit(centres - centres.mean(0)))


def gaussian(sizes: Sizes, generator: torch.Generator) -> World:
    """One Gaussian of full rank, of variances 1, 1/2, 1/3, ..."""

    def sample(rows: int, own: torch.Generator) -> Tensor:
        return torch.randn(rows, sizes.units, generator=own) * falling(sizes.units)

    return World(sample, {"k": 2})


def shared_start(sizes: Sizes, generator: torch.Generator) -> World:
    """Both members of a pair have one initialisation and hardly leave it."""
    return World(gaussian(sizes, generator).sample, {"k": 2, "steps": FEW_STEPS, "order_seed": [1, 2]})


def sparse_pairs(sizes: Sizes, generator: torch.Generator, k: int) -> World:
    """As many orthogonal features as units, in pairs. On each row two of the pairs are on, of one of them the first
    feature alone and of the other both: three features. With too few active latents one latent for both pays better
    than one for each (Chanin & Garriga-Alonso 2025)."""
    features = haar_rotation(sizes.units, generator).float()
    half = sizes.units // 2

    def sample(rows: int, own: torch.Generator) -> Tensor:
        place = torch.rand(rows, half, generator=own).argsort(1)
        on = torch.cat([place < 2, place < 1], 1)
        return (on * (0.5 + 2 * torch.rand(rows, 2 * half, generator=own))) @ features[: 2 * half]

    # From many active latents to few, and from no bias, which the data have none of: at the right number the features
    # are easily found.
    options = {"k": k, "k_start": 2 * sizes.units // 3, "n_latents": sizes.units, "bias_init": "zero"}
    return World(sample, options, features, longer=3.6)


Make = Callable[[Sizes, torch.Generator], World]
WITHOUT_FEATURES: dict[str, Make] = {
    "square": square,
    "gaussians": gaussians,
    "gaussian": gaussian,
    "shared_start": shared_start,
}
# Active latents of the autoencoders in the world of `sparse_pairs`, of whose features three are active on average.
ACTIVE, TRUE_L0 = (1, 2, 3, 4), 3


def train(world: World, sizes: Sizes, autoencoder: dict[str, Any], name: str) -> Pair:
    """`sizes.repetitions` pairs of autoencoders: two seeds on one data set; the rows compared are new in each.

    `autoencoder` holds the `target` of a recipe and its complete `options`, which the world's own go before.
    """
    pairs = []
    usual = autoencoder["options"] | {"n_latents": sizes.latents}
    usual["steps"] = round(usual["steps"] * world.longer)
    for number, share in enumerate(torch.arange(sizes.repetitions).tensor_split(min(DATA_SETS, sizes.repetitions))):
        generator = stream("traps", "rows", name, number)
        data = InMemory(world.sample(TRAINED_ON, generator))
        members = [
            Member(usual | options, seed, "all", data, None, ("traps", name, number))
            for options, seed in _members(world.options, len(share))
        ]
        fitted = fit_members(autoencoder["target"], members)
        rows = torch.stack([world.sample(sizes.rows, generator) for _ in share])
        pairs.append((fitted[: len(share)], fitted[len(share) :], rows))
    a, b = (_stacked([one for part in pairs for one in part[side]]) for side in (0, 1))
    rows = torch.cat([part[2] for part in pairs])
    stable = torch.zeros(len(rows), a.latents + b.latents, dtype=torch.bool)
    if world.features is not None:
        stable = true_latents(a, b, world.features)
    return Pair(a, b, rows, rows, stable)


def _members(options: dict[str, Any], pairs: int) -> list[tuple[dict[str, Any], int]]:
    """Options and seeds of the first members of all pairs, then of the second ones."""
    if "order_seed" in options:  # One initialisation, batches in another order.
        return [(options | {"order_seed": order}, seed) for order in options["order_seed"] for seed in range(pairs)]
    return [(options, seed) for seed in range(2 * pairs)]


def _stacked(members: list[Dictionary]) -> Stack:
    def every(name: str) -> Tensor:
        return torch.stack([getattr(one, name) for one in members])

    arrays = every("directions"), every("encoder"), every("encoder_bias"), every("bias")
    return Stack(*arrays, members[0].activation, members[0].k, members[0].signed, every("moved"))


def true_latents(a: Stack, b: Stack, features: Float[Tensor, "features units"]) -> Bool[Tensor, "repetitions latents"]:
    """Which latents of a, and then of b, are a feature's."""
    directions = torch.cat([unit(a.directions), unit(b.directions)], 1)
    return (directions @ features.T).amax(-1) >= TRUE_COSINE
