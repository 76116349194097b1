"""Does keeping only the m most active units push features onto units? Networks with and without such a filter."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.toys.training import Parameters

FILTERS = ("relu", "top_m", "random_mask", "rotated_top_m")
"""No filter; the m largest units of each input; m units drawn anew for each input; the m largest in a turned basis."""


def start(members: int, inputs: int, units: int, generator: torch.Generator) -> Parameters:
    """Weights and biases of ``inputs -> units -> inputs`` before training: He's normal draw (2015), and zeros."""
    drawn = torch.randn(2, members, inputs, units, generator=generator)
    return {
        "in": drawn[0] * (2 / inputs) ** 0.5,
        "in_bias": torch.zeros(members, units),
        "out": drawn[1].mT * (1 / units) ** 0.5,
        "out_bias": torch.zeros(members, inputs),
    }


def hidden(parameters: Parameters, inputs: Float[Tensor, "members rows inputs"]) -> Float[Tensor, "members rows units"]:
    """``relu(x W + b)``, before any filter."""
    return torch.baddbmm(parameters["in_bias"][:, None], inputs, parameters["in"]).relu()


def outputs(
    parameters: Parameters, activations: Float[Tensor, "members rows units"]
) -> Float[Tensor, "members rows inputs"]:
    """What the next layer makes of (filtered) activations: an affine map."""
    return torch.baddbmm(parameters["out_bias"][:, None], activations, parameters["out"])


def keep_largest(activations: Float[Tensor, "... units"], kept: int) -> Float[Tensor, "... units"]:
    """All but the `kept` largest set to 0, input by input; all are kept where there are no more, and equal ones too."""
    return activations * _largest(activations.detach(), kept)


def keep_at_random(
    activations: Float[Tensor, "... units"], kept: int, generator: torch.Generator
) -> Float[Tensor, "... units"]:
    """`kept` units drawn anew for each input, scaled to an equal mean: what a filter costs that looks at nothing."""
    units = activations.shape[-1]
    chosen = _largest(torch.rand(activations.shape, generator=generator), kept)
    return activations * chosen * max(1.0, units / kept)


def keep_largest_turned(
    activations: Float[Tensor, "... units"], kept: int, rotation: Float[Tensor, "... units units"]
) -> Float[Tensor, "... units"]:
    """The same filter, by absolute value, on the coordinates of a turned basis: it favours that basis, and no unit."""
    turned = activations @ rotation
    return torch.matmul(turned * _largest(turned.detach().abs(), kept), rotation.mT)


def _largest(values: Float[Tensor, "... units"], kept: int) -> Bool[Tensor, "... units"]:
    least = values.topk(min(kept, values.shape[-1]), dim=-1, sorted=False).values.amin(-1, keepdim=True)
    chosen: Tensor = values >= least
    return chosen


def alignment(vectors: Float[Tensor, "... features units"]) -> Float[Tensor, "... features"]:
    """``max_i |v_i| / |v|``: 1 for a feature on a single unit, about ``sqrt(2 ln d / d)`` for a random direction."""
    norms: Tensor = vectors.norm(dim=-1)
    return vectors.abs().amax(-1) / norms.clamp_min(torch.finfo(vectors.dtype).tiny)


def participation(vectors: Float[Tensor, "... features units"]) -> Float[Tensor, "... features"]:
    """``(sum v^2)^2 / sum v^4``: how many units a feature is spread over; about d / 3 for a random direction."""
    squares = vectors**2
    return squares.sum(-1) ** 2 / (squares**2).sum(-1).clamp_min(torch.finfo(vectors.dtype).tiny)
