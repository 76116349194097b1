"""Small convolutional networks, many as one tensor program: each member a group of channels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d

from homolog.toys.training import Parameters

KERNEL = 5
FIELD = 2 * KERNEL - 1
"""Pixels on each side that a unit of the second layer sees."""


def start(members: int, channels: tuple[int, int], classes: int, generator: torch.Generator) -> Parameters:
    """Two layers of convolutions and a linear map from quarters' means, before training: He's normal draw (2015)."""
    first, second = channels
    area = KERNEL**2

    def drawn(*shape: int, fan_in: int) -> Tensor:
        weights: Tensor = torch.randn(members, *shape, generator=generator) * (2 / fan_in) ** 0.5
        return weights

    return {
        "first": drawn(first, 1, KERNEL, KERNEL, fan_in=area),
        "first_bias": torch.zeros(members, first),
        "second": drawn(second, first, KERNEL, KERNEL, fan_in=first * area),
        "second_bias": torch.zeros(members, second),
        "out": drawn(classes, 4 * second, fan_in=4 * second),
        "out_bias": torch.zeros(members, classes),
    }


def units(
    parameters: Parameters, images: Float[Tensor, "members rows height width"]
) -> Float[Tensor, "members rows channels height width"]:
    """The second layer's activations, everywhere; images are continued by zeros."""
    members, rows, *size = images.shape
    padding = KERNEL // 2
    first = conv2d(
        images.transpose(0, 1), parameters["first"].flatten(0, 1), parameters["first_bias"].flatten(),
        padding=padding, groups=members,
    ).relu()  # fmt: skip
    second = conv2d(
        first, parameters["second"].flatten(0, 1), parameters["second_bias"].flatten(), padding=padding, groups=members
    ).relu()
    return second.reshape(rows, members, -1, *size).transpose(0, 1)


def outputs(
    parameters: Parameters, images: Float[Tensor, "members rows height width"]
) -> Float[Tensor, "members rows classes"]:
    """Logits."""
    seen = units(parameters, images)
    pooled = adaptive_avg_pool2d(seen.flatten(0, 1), 2).reshape(*seen.shape[:2], -1)
    return torch.baddbmm(parameters["out_bias"][:, None], pooled, parameters["out"].mT)
