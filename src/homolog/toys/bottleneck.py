"""The toy model of superposition: features in, a few hidden units, and the same features out (Elhage et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, train_members

# A feature counts as represented from half of a weight of unit norm on: its squared norm is near 0 or near 1.
REPRESENTED = 0.5
POLYTOPES = {
    "alone": 1.0,
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "pair": 1 / 2,
    "pentagon": 2 / 5,
    "antiprism": 3 / 8,
}
"""Dimensionality of features at a polytope's corners: Elhage et al. (2022), "The geometry of superposition"."""


@dataclass(frozen=True)
class Bottlenecks:
    """Toy models that train together: each sparsity so many times, of features of these importances."""

    sparsities: Sequence[float]
    replicates: int
    importance: Float[Tensor, " features"]
    units: int
    steps: int
    lr: float
    batch_size: int

    def train(self, *key: str, progress: Progress = iter) -> tuple[Parameters, Float[Tensor, "sparsities replicates"]]:
        """Parameters, with the dims (sparsity, replicate) in front, and losses on 4 more batches.

        Starts are drawn from the stream (key, "start"), inputs from (key, "rows"): replicates have inputs of their own,
        which their sparsities share, each with more or fewer of the features absent. Losses are over how often features
        are there.
        """
        members, features = len(self.sparsities) * self.replicates, len(self.importance)
        sparsity = torch.tensor(self.sparsities).repeat_interleave(self.replicates)
        begun = start(members, features, self.units, stream(*key, "start"))
        draws = stream(*key, "rows")

        def losses(parameters: Parameters, step: int) -> Tensor:
            inputs = sample(sparsity, self.batch_size, features, draws, self.replicates)
            errors = ((outputs(parameters, inputs) - inputs) ** 2).mean(1) @ self.importance
            return errors / (1 - sparsity)

        trained = train_members(begun, losses, self.steps, self.lr, progress=progress)
        after = torch.stack([losses(trained, self.steps) for _ in range(4)]).mean(0)
        shape = (len(self.sparsities), self.replicates)
        return {name: one.reshape(*shape, *one.shape[1:]) for name, one in trained.items()}, after.reshape(shape)


def start(members: int, features: int, units: int, generator: torch.Generator) -> Parameters:
    """Weights (member, feature, unit) and biases (member, feature) before training: Xavier's normal draw, and zeros."""
    scale = (2 / (features + units)) ** 0.5
    return {
        "weight": scale * torch.randn(members, features, units, generator=generator),
        "bias": torch.zeros(members, features),
    }


def outputs(
    parameters: Parameters, inputs: Float[Tensor, "members rows features"]
) -> Float[Tensor, "members rows features"]:
    """``relu(x W W' + b)``."""
    hidden = inputs @ parameters["weight"]
    return torch.baddbmm(parameters["bias"][:, None], hidden, parameters["weight"].mT).relu()


def sample(
    sparsity: Float[Tensor, " members"], rows: int, features: int, generator: torch.Generator, draws: int | None = None
) -> Float[Tensor, "members rows features"]:
    """Features that are 0 with a member's own probability, else uniform in [0, 1].

    Of one uniform number each: what is above the sparsity, stretched. Member i reads draw i modulo `draws`; without it
    each has its own.
    """
    drawn = torch.rand(draws or len(sparsity), rows, features, generator=generator)
    absent = sparsity[:, None, None]
    return (drawn.repeat(len(sparsity) // len(drawn), 1, 1) - absent).relu_() / (1 - absent)


def dimensionality(weight: Float[Tensor, "*members features units"]) -> Float[Tensor, "*members features"]:
    """The share of a dimension that each feature has: ``|W_i|^2 / sum_j (W_i / |W_i| . W_j)^2``; 0 without a weight.

    1 for a feature with a dimension to itself, 1/2 in an antipodal pair, 2/5 in a pentagon, 3/4 in a tetrahedron (four
    features in three dimensions), 2/3 in a triangle. Source: Elhage et al. (2022), "The geometry of superposition".
    """
    gram = weight @ weight.mT
    own = gram.diagonal(dim1=-2, dim2=-1)
    # The sum holds the feature itself: |W_i|^2 of it.
    return torch.where(own > 0, own**2 / (gram**2).sum(-1).clamp_min(torch.finfo(gram.dtype).tiny), 0.0)


def turned_at_random(
    weight: Float[Tensor, "*members features units"], generator: torch.Generator
) -> Float[Tensor, "*members features units"]:
    """Weights of the same norms in random directions: what no arrangement gives."""
    random = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    turned: Tensor = random / random.norm(dim=-1, keepdim=True) * weight.norm(dim=-1, keepdim=True)
    return turned
