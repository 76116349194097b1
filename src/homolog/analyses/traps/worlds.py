"""In which worlds is it known beforehand which latents dictionaries share? Made of random numbers, none trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.analyses.traps.stack import Network, Runs, Stack

# A latent is on in one row of six.
RATE = 1 / 6
# One input is so many times as long as any other.
OUTLIER = 30.0
# Near-copies of a direction: their codes correlate above 0.9, which is a block of `homolog.compare`.
COPY_NOISE = 0.15
# What two runs find of one planted feature: directions with a cosine of about 0.96.
FOUND_NOISE = 0.2
# Of networks: classes. The layers below and above have two thirds of the layer's units.
CLASSES = 4


@dataclass(frozen=True)
class Sizes:
    """Repetitions, rows, units of the activations, latents of each dictionary, and runs of each repetition."""

    repetitions: int
    rows: int
    units: int
    latents: int
    runs: int = 2


def independent(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Random dictionaries on one network's activations, which are isotropic."""
    rows = _normal(sizes, generator)
    return _one_network(rows, [_random(sizes, generator) for _ in range(sizes.runs)])


def power_law(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Dictionaries of samples of a Gaussian without features, variances 1, 1/2, 1/3, ...: unrelated but for it."""
    rows = _normal(sizes, generator) * falling(sizes.units)
    return _one_network(rows, [unit(_random(sizes, generator) * falling(sizes.units)) for _ in range(sizes.runs)])


def dead(sizes: Sizes, generator: torch.Generator) -> Runs:
    """A third of the latents are dead, and lie where all dictionaries began; the live ones are unrelated."""
    rows, start = _normal(sizes, generator), _random(sizes, generator)
    made = _one_network(rows, [_random(sizes, generator) for _ in range(sizes.runs)])
    silent = sizes.latents // 3
    for stack in made.stacks:
        stack.directions[:, :silent] = start[:, :silent]
        stack.encoder_bias[:, :silent] = -1e3
    return made


def duplicates(sizes: Sizes, generator: torch.Generator) -> Runs:
    """One direction that all have, in a dozen near-copies each; all others are unrelated. One is stable, no dozen."""
    rows, shared = _normal(sizes, generator), _random(sizes, generator)[:, :1]
    copies = sizes.latents // 2
    directions = []
    for _ in range(sizes.runs):
        own, noise = _random(sizes, generator), _random(sizes, generator)
        own[:, :copies] = unit(shared + COPY_NOISE * noise[:, :copies])
        directions.append(own)
    return replace(_one_network(rows, directions, stable=torch.arange(sizes.latents) < copies), copies=True)


def degenerate(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Principal components of other samples, in two groups of equal variance: subspaces return, no vector does."""
    spread = torch.ones(sizes.units)
    spread[sizes.units * 2 // 3 :] = 0.3
    found = []
    for _ in range(sizes.runs):
        sample = _normal(sizes, generator) * spread
        centred = sample - sample.mean(1, keepdim=True)
        found.append(torch.linalg.eigh((centred.mT @ centred).double()).eigenvectors.mT.flip(1).float())
    return _one_network(_normal(sizes, generator) * spread, found, activation="identity")


def outlier(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Unrelated networks; on one input all have activations thirty times as long as elsewhere."""
    sides = []
    for _ in range(sizes.runs):
        rows = _normal(sizes, generator)
        rows[:, 0] *= OUTLIER
        sides.append(rows)
    return _networks(sides, [_random(sizes, generator) for _ in sides])


def few_rows(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Unrelated networks, four rows for each unit, the fewest that are accepted, and half as many more latents."""
    few = replace(sizes, rows=4 * sizes.units, latents=sizes.latents * 3 // 2)
    rows = [_normal(few, generator) for _ in range(sizes.runs)]
    return _networks(rows, [_random(few, generator) for _ in rows])


def untrained(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Principal components of untrained ReLU layers with weights of their own, on the same inputs."""
    inputs = sizes.units // 3
    x, fitted = (torch.randn(sizes.repetitions, sizes.rows, inputs, generator=generator) for _ in range(2))
    rows, found, means = [], [], []
    for _ in range(sizes.runs):
        weights = torch.randn(sizes.repetitions, inputs, sizes.units, generator=generator) * (2 / inputs) ** 0.5
        sample = (fitted @ weights).relu()
        centred = sample - sample.mean(1, keepdim=True)
        vectors = torch.linalg.eigh((centred.mT @ centred).double()).eigenvectors.mT.flip(1)
        rows.append((x @ weights).relu())
        found.append(vectors[:, :inputs].float())
        means.append(sample.mean(1))
    made = _networks(rows, found, activation="identity")
    for stack, mean in zip(made.stacks, means, strict=True):
        stack.bias.copy_(mean)
    return made


def one_network(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Random dictionaries of the first layer of one ReLU network with random weights."""
    network = _network(sizes, generator)
    rows = (network.below @ network.into.mT).relu()
    made = _one_network(rows, [_random(sizes, generator) for _ in range(sizes.runs)])
    return replace(made, networks=(network,) * sizes.runs)


def redrawn(sizes: Sizes, generator: torch.Generator) -> Runs:
    """The same, where each run has weights of its own into and out of the layer: redrawn, and not trained again."""
    first = _network(sizes, generator)
    networks = [first]
    for _ in range(1, sizes.runs):
        own = _network(sizes, generator)
        networks.append(replace(first, into=own.into, out=own.out))
    rows = [(network.below @ network.into.mT).relu() for network in networks]
    return replace(_networks(rows, [_random(sizes, generator) for _ in rows]), networks=tuple(networks))


def planted(sizes: Sizes, generator: torch.Generator) -> Runs:
    """Sparse features, of which all dictionaries found the first half, with some error; the others are unrelated."""
    features = _random(sizes, generator)
    shared = sizes.latents // 2
    directions = []
    for _ in range(sizes.runs):
        own = _random(sizes, generator)
        own[:, :shared] = unit(features[:, :shared] + FOUND_NOISE * own[:, :shared])
        directions.append(own)
    return _one_network(_sparse(sizes, features, generator), directions, torch.arange(sizes.latents) < shared)


def gauges(sizes: Sizes, generator: torch.Generator) -> Runs:
    """One network several times, its units permuted and rescaled at random: nothing that it computes is changed."""
    features = _random(sizes, generator)
    rows, directions = _sparse(sizes, features, generator), _random(sizes, generator)
    own = _stack(directions, rows, "relu")
    stacks, seen = [own], [rows]
    for _ in range(1, sizes.runs):
        order = torch.rand(sizes.repetitions, 1, sizes.units, generator=generator).argsort(2)
        scale = 2.0 ** torch.randint(-3, 4, (sizes.repetitions, 1, sizes.units), generator=generator)

        def regauged(array: Tensor, factor: Tensor, order: Tensor = order) -> Tensor:
            return array.gather(2, order.expand_as(array)) * factor

        encoder = regauged(own.encoder, 1 / scale)
        stacks.append(Stack(unit(regauged(directions, scale)), encoder, own.encoder_bias, own.bias.clone()))
        seen.append(regauged(rows, scale))
    every = torch.ones(directions.shape[:2], dtype=torch.bool)
    return Runs(tuple(stacks), tuple(seen), (every,) * sizes.runs, one_basis=False)


Make = Callable[[Sizes, torch.Generator], Runs]
NOTHING: dict[str, Make] = {
    "independent": independent,
    "power_law": power_law,
    "dead": dead,
    "duplicates": duplicates,
    "degenerate": degenerate,
    "outlier": outlier,
    "few_rows": few_rows,
    "untrained": untrained,
    "one_network": one_network,
    "redrawn": redrawn,
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


def _network(sizes: Sizes, generator: torch.Generator) -> Network:
    """Weights of the size of He et al. (2015); those out of a unit have norm 1, as the gauge has them."""
    beside = sizes.units * 2 // 3

    def weights(n_out: int, n_in: int) -> Tensor:
        drawn: Tensor = torch.randn(sizes.repetitions, n_out, n_in, generator=generator) * (2 / n_in) ** 0.5
        return drawn

    below = torch.randn(sizes.repetitions, sizes.rows, beside, generator=generator)
    out = unit(weights(beside, sizes.units).mT).mT
    return Network(below, weights(sizes.units, beside), out, weights(CLASSES, beside))


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
    rows: Tensor, directions: list[Tensor], stable: Bool[Tensor, " latents"] | None = None, activation: str = "relu"
) -> Runs:
    return replace(_networks([rows] * len(directions), directions, activation, stable), one_basis=True)


def _networks(
    rows: list[Tensor], directions: list[Tensor], activation: str = "relu", stable: Tensor | None = None
) -> Runs:
    stacks = [_stack(own, read, activation) for own, read in zip(directions, rows, strict=True)]
    shape = directions[0].shape[:2]
    known = torch.zeros(shape, dtype=torch.bool) if stable is None else stable.expand(shape)
    return Runs(tuple(stacks), tuple(rows), (known,) * len(rows), one_basis=False)
