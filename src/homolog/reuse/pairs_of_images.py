"""How is a small convolutional network a stage of a pair of tasks?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import Stage
from homolog.reuse.pairs_of_tokens import trained_by
from homolog.toys import convnets
from homolog.toys.training import Parameters, accuracies, cross_entropies

CORE = ("first", "first_bias", "second", "second_bias")
"""Both layers of convolutions; the read-out is new."""


@dataclass(frozen=True)
class Labelled:
    """Images of each member, and what they show."""

    images: Float[Tensor, "members rows height width"]
    labels: Int[Tensor, "members rows"]


def image_stage(
    train: Labelled,
    test: Labelled,
    classes: int,
    common: Float[Tensor, "members rows height width"],
    options: Mapping[str, Any],
) -> Stage:
    """All training images in each step; units of the second layer as latents, by their mean over places."""

    def begun(generator: torch.Generator) -> Parameters:
        drawn = convnets.start(len(train.labels), tuple(options["channels"]), classes, generator)
        # A random read-out would begin with wrong answers, and the surer, the larger the features are that it reads.
        return drawn | {"out": torch.zeros_like(drawn["out"])}

    def units(parameters: Parameters) -> Float[Tensor, "members rows channels"]:
        return convnets.units(parameters, common).mean((-2, -1))

    return Stage(
        start=begun,
        losses=lambda now: cross_entropies(convnets.outputs(now, train.images), train.labels),
        score=lambda now: accuracies(convnets.outputs(now, test.images), test.labels),
        latents=units,
        **trained_by(options),
    )
