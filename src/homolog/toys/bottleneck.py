"""The toy model of superposition: features in, a few hidden units, and the same features out (Elhage et al., 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.toys.training import Parameters


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
    sparsity: Float[Tensor, " members"], rows: int, features: int, generator: torch.Generator
) -> Float[Tensor, "members rows features"]:
    """Features that are 0 with a member's own probability, else uniform in [0, 1]."""
    drawn = torch.rand(2, len(sparsity), rows, features, generator=generator)
    return torch.where(drawn[0] >= sparsity[:, None, None], drawn[1], 0.0)


def dimensionality(weight: Float[Tensor, "members features units"]) -> Float[Tensor, "members features"]:
    """The share of a dimension that each feature has: ``|W_i|^2 / sum_j (W_i / |W_i| . W_j)^2``; 0 without a weight.

    1 for a feature with a dimension to itself, 1/2 in an antipodal pair, 2/5 in a pentagon, 3/4 in a tetrahedron (four
    features in three dimensions), 2/3 in a triangle. Source: Elhage et al. (2022), "The geometry of superposition".
    """
    gram = weight @ weight.mT
    own = gram.diagonal(dim1=1, dim2=2)
    # The sum holds the feature itself: |W_i|^2 of it.
    return torch.where(own > 0, own**2 / (gram**2).sum(2).clamp_min(torch.finfo(gram.dtype).tiny), 0.0)
