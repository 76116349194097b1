"""In which worlds is it known beforehand which latents two dictionaries share? Made of random numbers, none trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.analyses.traps.stack import Pair, Stack

# A latent is on in one row of six.
RATE = 1 / 6
# One input is so many times as long as any other.
OUTLIER = 30.0
# Near-copies of a direction: their codes correlate above 0.9, which is a block of `homolog.compare`.
COPY_NOISE = 0.15
# What two runs find of one planted feature: directions with a cosine of about 0.96.
FOUND_NOISE = 0.2


@dataclass(frozen=True)
class Sizes:
    """Repetitions, rows, units of the activations, and latents of each dictionary."""

    repetitions: int
    rows: int
    units: int
    latents: int


def independent(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Two random dictionaries on one network's activations, which are isotropic."""
    rows = _normal(sizes, generator)
    return _one_network(rows, _random(sizes, generator), _random(sizes, generator))


def power_law(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Two dictionaries of samples of a Gaussian without features, variances 1, 1/2, 1/3, ...: unrelated but for it."""
    rows = _normal(sizes, generator) * falling(sizes.units)
    a, b = (unit(_random(sizes, generator) * falling(sizes.units)) for _ in range(2))
    return _one_network(rows, a, b)


def dead(sizes: Sizes, generator: torch.Generator) -> Pair:
    """A third of the latents are dead, and lie where both dictionaries began; the live ones are unrelated."""
    rows, start = _normal(sizes, generator), _random(sizes, generator)
    pair = _one_network(rows, _random(sizes, generator), _random(sizes, generator))
    silent = sizes.latents // 3
    for stack in (pair.a, pair.b):
        stack.directions[:, :silent] = start[:, :silent]
        stack.encoder_bias[:, :silent] = -1e3
    return pair


def duplicates(sizes: Sizes, generator: torch.Generator) -> Pair:
    """One direction that both have, in a dozen near-copies each; all others are unrelated. One is stable, no dozen."""
    rows, shared = _normal(sizes, generator), _random(sizes, generator)[:, :1]
    copies = sizes.latents // 2
    directions = []
    for _ in range(2):
        own, noise = _random(sizes, generator), _random(sizes, generator)
        own[:, :copies] = unit(shared + COPY_NOISE * noise[:, :copies])
        directions.append(own)
    pair = _one_network(rows, directions[0], directions[1], stable=torch.arange(sizes.latents) < copies)
    return replace(pair, copies=True)


def degenerate(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Principal components of two samples, in two groups of equal variance: subspaces return, no vector does."""
    spread = torch.ones(sizes.units)
    spread[sizes.units * 2 // 3 :] = 0.3
    found = []
    for _ in range(2):
        sample = _normal(sizes, generator) * spread
        centred = sample - sample.mean(1, keepdim=True)
        found.append(torch.linalg.eigh((centred.mT @ centred).double()).eigenvectors.mT.flip(1).float())
    return _one_network(_normal(sizes, generator) * spread, found[0], found[1], activation="identity")


def outlier(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Two unrelated networks; on one input both have activations thirty times as long as elsewhere."""
    sides = []
    for _ in range(2):
        rows = _normal(sizes, generator)
        rows[:, 0] *= OUTLIER
        sides.append(rows)
    return _two_networks(sides[0], sides[1], _random(sizes, generator), _random(sizes, generator))


def few_rows(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Two unrelated networks, four rows for each unit, the fewest that are accepted, and half as many more latents."""
    few = Sizes(sizes.repetitions, 4 * sizes.units, sizes.units, sizes.latents * 3 // 2)
    return _two_networks(
        _normal(few, generator), _normal(few, generator), _random(few, generator), _random(few, generator)
    )


def untrained(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Principal components of two untrained ReLU layers with weights of their own, on the same inputs."""
    inputs = sizes.units // 3
    x, fitted = (torch.randn(sizes.repetitions, sizes.rows, inputs, generator=generator) for _ in range(2))
    rows, found = [], []
    for _ in range(2):
        weights = torch.randn(sizes.repetitions, inputs, sizes.units, generator=generator) * (2 / inputs) ** 0.5
        sample = (fitted @ weights).relu()
        centred = sample - sample.mean(1, keepdim=True)
        vectors = torch.linalg.eigh((centred.mT @ centred).double()).eigenvectors.mT.flip(1)
        rows.append((x @ weights).relu())
        found.append((vectors[:, :inputs].float(), sample.mean(1)))
    (a, mean_a), (b, mean_b) = found
    pair = _two_networks(rows[0], rows[1], a, b, activation="identity")
    pair.a.bias.copy_(mean_a)
    pair.b.bias.copy_(mean_b)
    return pair


def planted(sizes: Sizes, generator: torch.Generator) -> Pair:
    """Sparse features, of which both dictionaries found the first half, with some error; the others are unrelated."""
    features = _random(sizes, generator)
    shared = sizes.latents // 2
    directions = []
    for _ in range(2):
        own = _random(sizes, generator)
        own[:, :shared] = unit(features[:, :shared] + FOUND_NOISE * own[:, :shared])
        directions.append(own)
    return _one_network(
        _sparse(sizes, features, generator), directions[0], directions[1], torch.arange(sizes.latents) < shared
    )


def gauges(sizes: Sizes, generator: torch.Generator) -> Pair:
    """One network twice, its units permuted and rescaled at random: nothing that it computes is changed."""
    features = _random(sizes, generator)
    rows, directions = _sparse(sizes, features, generator), _random(sizes, generator)
    order = torch.rand(sizes.repetitions, sizes.units, generator=generator).argsort(1)
    scale = 2.0 ** torch.randint(-3, 4, (sizes.repetitions, 1, sizes.units), generator=generator)

    def regauged(array: Tensor, factor: Tensor) -> Tensor:
        return array.gather(2, order[:, None].expand_as(array)) * factor

    pair = _two_networks(rows, regauged(rows, scale), directions, directions)
    own = pair.a
    other = Stack(
        unit(regauged(directions, scale)), regauged(own.encoder, 1 / scale), own.encoder_bias, own.bias.clone()
    )
    return Pair(own, other, pair.rows_a, pair.rows_b, torch.ones_like(pair.stable), one_basis=False)


Make = Callable[[Sizes, torch.Generator], Pair]
NOTHING: dict[str, Make] = {
    "independent": independent,
    "power_law": power_law,
    "dead": dead,
    "duplicates": duplicates,
    "degenerate": degenerate,
    "outlier": outlier,
    "few_rows": few_rows,
    "untrained": untrained,
}
SOMETHING: dict[str, Make] = {"planted": planted, "gauges": gauges}


def _normal(sizes: Sizes, generator: torch.Generator) -> Float[Tensor, "repetitions rows units"]:
    return torch.randn(sizes.repetitions, sizes.rows, sizes.units, generator=generator)


def _random(sizes: Sizes, generator: torch.Generator) -> Float[Tensor, "repetitions latents units"]:
    return unit(torch.randn(sizes.repetitions, sizes.latents, sizes.units, generator=generator))


def _sparse(sizes: Sizes, features: Tensor, generator: torch.Generator) -> Float[Tensor, "repetitions rows units"]:
    """Sums of features, each on in one row of twelve, with sizes between 1 and 2."""
    shape = (sizes.repetitions, sizes.rows, sizes.latents)
    on = torch.rand(shape, generator=generator) < 1 / 12
    return (on * (1 + torch.rand(shape, generator=generator))) @ features


def falling(units: int) -> Float[Tensor, " units"]:
    """Deviations whose squares are 1, 1/2, 1/3, ..."""
    return torch.arange(1, units + 1).float() ** -0.5


def unit(rows: Tensor) -> Tensor:
    """Rows of norm 1."""
    return torch.nn.functional.normalize(rows, dim=-1)


def _stack(directions: Tensor, rows: Tensor, activation: str) -> Stack:
    """A dictionary that reads by its directions, above what they exceed in one row of six."""
    bias = rows.new_zeros(len(rows), rows.shape[2])
    encoder_bias = rows.new_zeros(directions.shape[:2])
    if activation == "relu":
        encoder_bias = -(directions @ rows.mT).quantile(1 - RATE, dim=-1)
    return Stack(directions, directions, encoder_bias, bias, activation, signed=activation != "identity")


def _one_network(
    rows: Tensor, a: Tensor, b: Tensor, stable: Bool[Tensor, " latents"] | None = None, activation: str = "relu"
) -> Pair:
    return Pair(_stack(a, rows, activation), _stack(b, rows, activation), rows, rows, _truth(a, b, stable))


def _two_networks(rows_a: Tensor, rows_b: Tensor, a: Tensor, b: Tensor, activation: str = "relu") -> Pair:
    sides = _stack(a, rows_a, activation), _stack(b, rows_b, activation)
    return Pair(*sides, rows_a, rows_b, _truth(a, b, None), one_basis=False)


def _truth(a: Tensor, b: Tensor, stable: Tensor | None) -> Bool[Tensor, "repetitions latents"]:
    if stable is None:
        return torch.zeros(len(a), a.shape[1] + b.shape[1], dtype=torch.bool)
    return torch.cat([stable, stable]).expand(len(a), -1)
