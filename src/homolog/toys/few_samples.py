"""What do toy models keep of few samples: those, or the features that they are made of (Henighan et al., 2023)?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.toys import bottleneck
from homolog.toys.training import Parameters


def draw(
    replicates: int, rows: int, features: int, active: float, generator: torch.Generator
) -> Float[Tensor, "replicates rows features"]:
    """Samples of unit norm with so many active features on average: uniform in [0, 1] before they are scaled."""
    sparsity = torch.full((replicates,), 1 - active / features)
    drawn = bottleneck.sample(sparsity, rows, features, generator)
    norms: Tensor = drawn.norm(dim=2, keepdim=True)
    return drawn / norms.clamp_min(torch.finfo(drawn.dtype).tiny)


def batch(
    samples: Float[Tensor, "replicates samples ..."], size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """All samples where there are at most `size`, else so many at random: (replicate, row) to index with."""
    replicates, count = samples.shape[:2]
    every = torch.arange(count).expand(replicates, -1)
    rows = every if count <= size else torch.randint(count, (replicates, size), generator=generator)
    return torch.arange(replicates)[:, None], rows


def classifier_start(replicates: int, inputs: int, units: int, classes: int, generator: torch.Generator) -> Parameters:
    """A hidden layer of ReLU and an affine map to the classes, before training: He's normal draw (2015), and zeros."""
    return {
        "in": torch.randn(replicates, inputs, units, generator=generator) * (2 / inputs) ** 0.5,
        "in_bias": torch.zeros(replicates, units),
        "out": torch.randn(replicates, units, classes, generator=generator) * (1 / units) ** 0.5,
        "out_bias": torch.zeros(replicates, classes),
    }


def classifier_hidden(
    parameters: Parameters, inputs: Float[Tensor, "replicates rows inputs"]
) -> Float[Tensor, "replicates rows units"]:
    """Its hidden activations."""
    return torch.baddbmm(parameters["in_bias"][:, None], inputs, parameters["in"]).relu()


def classifier_outputs(
    parameters: Parameters, inputs: Float[Tensor, "replicates rows inputs"]
) -> Float[Tensor, "replicates rows classes"]:
    """Its outputs, which are trained on one-hot labels by squared error."""
    return torch.baddbmm(parameters["out_bias"][:, None], classifier_hidden(parameters, inputs), parameters["out"])


def most_dimensional(vectors: Float[Tensor, "replicates vectors units"]) -> Float[Tensor, " replicates"]:
    """Mean dimensionality of the 2 x units vectors that have most of a dimension (of all, where there are fewer).

    A mean over all is units / vectors by construction, whatever the arrangement.
    """
    shares = bottleneck.dimensionality(vectors)
    return shares.topk(min(2 * vectors.shape[2], shares.shape[1]), dim=1).values.mean(1)
