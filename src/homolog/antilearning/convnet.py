"""Convolutional networks of pairs of images: plain, or such that what is learned of an image holds for its turns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from homolog.antilearning.base import Edits, edited
from homolog.toys.training import Parameters

KERNEL = 3


@dataclass(frozen=True)
class ConvNet:
    """Two layers of convolutions, the first averaged over two by two pixels, and a linear map to the logits.

    `turned`: the same two layers see the image in its four quarter turns too, and the logits read the sum over turns
    beside what is seen in the image as it stands (pooling over the group C4, of Cohen & Welling, 2016, on one of two
    ways): what is learned through the sum holds for all turns, what is learned beside it needn't.
    """

    colours: int
    side: int
    channels: tuple[int, int]
    classes: int
    turned: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        return ("first", "second", "over_turns", "logits") if self.turned else ("first", "second", "logits")

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """He's normal draw (2015)."""
        first, second = self.channels

        def drawn(*shape: int, fan_in: int) -> Tensor:
            weights: Tensor = torch.randn(members, *shape, generator=generator) * (2 / fan_in) ** 0.5
            return weights

        area, units = KERNEL**2, second * (self.side // 2) ** 2 * (2 if self.turned else 1)
        return {
            "first": drawn(first, self.colours * area, fan_in=self.colours * area),
            "first_bias": torch.zeros(members, first),
            "second": drawn(second, first * area, fan_in=first * area),
            "second_bias": torch.zeros(members, second),
            "out": drawn(units, self.classes, fan_in=2 * units),
            "out_bias": torch.zeros(members, self.classes),
        }

    def activations(
        self, parameters: Parameters, inputs: Float[Tensor, "members rows *image"], edits: Edits | None = None
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        images = inputs if inputs.ndim == 5 else inputs[:, :, None]
        rows = images.shape[1]
        if self.turned:
            images = torch.cat([images.rot90(turn, (-2, -1)) for turn in range(4)], 1)
        seen = _pooled(_convolved(parameters, "first", images.transpose(1, 2)))
        first = edited(edits, "first", seen.transpose(1, 2))
        seen = _convolved(parameters, "second", first.transpose(1, 2)).transpose(1, 2)
        second = edited(edits, "second", seen.flatten(2))
        found = {"first": first[:, :rows].flatten(2), "second": second[:, :rows]}
        last = found["second"]
        if self.turned:
            over_turns = edited(edits, "over_turns", second.reshape(len(second), 4, rows, -1).sum(1))
            last = torch.cat([last, over_turns], -1)
            found["over_turns"] = over_turns
        logits = torch.baddbmm(parameters["out_bias"][:, None], last, parameters["out"])
        return found | {"logits": edited(edits, "logits", logits)}


def _convolved(
    parameters: Parameters, layer: str, images: Float[Tensor, "members colours rows height width"]
) -> Float[Tensor, "members channels rows height width"]:
    """What a layer's filters see, everywhere; images are continued by zeros.

    Channels stand before rows, so that all of it is one product a member.
    """
    members, _, rows, height, width = images.shape
    wide = pad(images, [KERNEL // 2] * 4)
    pieces = torch.stack([wide[..., i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)], 2)
    seen = torch.baddbmm(
        parameters[f"{layer}_bias"][..., None], parameters[layer], pieces.reshape(members, -1, rows * height * width)
    )
    return seen.relu().reshape(members, -1, rows, height, width)


def _pooled(seen: Float[Tensor, "members channels rows height width"]) -> Tensor:
    """Means of two by two pixels; a last odd row or column is left out."""
    height, width = (size // 2 for size in seen.shape[-2:])
    cut = seen[..., : 2 * height, : 2 * width]
    return cut.reshape(*seen.shape[:3], height, 2, width, 2).mean((-3, -1))
