"""When does a feature get a unit, share it or go without? Two features in one unit, in closed form and exact sums."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.toys.bottleneck import outputs
from homolog.toys.training import Parameters

# Points of the midpoint rule for a feature that is there, uniform in [0, 1]: it misses E[x^2] = 1/3 by 1 / (12 * 8^2).
POINTS = 8
IGNORED, SHARED, ALONE = 0, 1, 2
"""What becomes of the second feature: no weight, an antipodal pair with the first, or the unit to itself."""


def phase_losses(
    present: Float[Tensor, "*grid cells"], importance: Float[Tensor, "*grid cells"]
) -> Float[Tensor, "3 *grid cells"]:
    """Losses of the three arrangements of two features in one unit, for the second one `importance` times as important.

    Features are there with probability p, then uniform in [0, 1]. One that goes without is told by its mean p / 2,
    which leaves its variance p / 3 - p^2 / 4; an antipodal pair ``W = (1, -1)`` without biases errs only where both are
    there, each by the lesser of the two: E[min^2] = 1 / 6. Source: the arrangements that Elhage et al. (2022) compare
    in "Superposition as a phase change".
    """
    variance = present / 3 - present**2 / 4
    return torch.stack([importance * variance, (1 + importance) * present**2 / 6, variance])


def sharing_begins(present: Float[Tensor, " cells"]) -> Float[Tensor, " cells"]:
    """Relative importance from which on the second feature is held in an antipodal pair; to its inverse it then stays.

    ``2 p / (4 - 5 p)``, where the first two of `phase_losses` are equal. It is 1 at p = 4 / 7, from which on no
    importance makes sharing best.
    """
    return 2 * present / (4 - 5 * present).clamp_min(torch.finfo(present.dtype).tiny)


def exact_losses(
    parameters: Parameters, present: Float[Tensor, " members"], importance: Float[Tensor, " members"]
) -> Float[Tensor, " members"]:
    """Expected losses of toy models of two features in one unit: sums over a grid of what may be there, no draw."""
    values = (torch.arange(POINTS) + 0.5) / POINTS
    none = torch.zeros(1)
    one, other = (axis.flatten() for axis in torch.meshgrid(*[torch.cat([none, values])] * 2, indexing="ij"))
    inputs = torch.stack([one, other], 1)
    there = (inputs > 0).sum(1)
    weights = (present[:, None] / POINTS) ** there * (1 - present[:, None]) ** (2 - there)
    errors = (outputs(parameters, inputs.expand(len(present), -1, -1)) - inputs) ** 2
    return ((errors[..., 0] + importance[:, None] * errors[..., 1]) * weights).sum(1)
