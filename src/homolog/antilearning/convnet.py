"""Convolutional networks of pairs of images: plain, or with filters shared over quarter turns."""

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
    """Two layers of convolutions, halved in size between, and a linear map from the means of quarters of the image.

    `turned`: every filter is used in its four quarter turns, of which the strongest counts at each place (Cohen &
    Welling, 2016, pooled over turns in each layer): what is seen in a piece of an image then is what is seen in the
    turned piece, while the map from quarters still knows which is where.
    """

    colours: int
    channels: tuple[int, int]
    classes: int
    turned: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        return ("first", "second", "quarters", "logits")

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """He's normal draw (2015)."""
        first, second = self.channels

        def drawn(*shape: int, fan_in: int) -> Tensor:
            weights: Tensor = torch.randn(members, *shape, generator=generator) * (2 / fan_in) ** 0.5
            return weights

        area = KERNEL**2
        return {
            "first": drawn(first, self.colours, KERNEL, KERNEL, fan_in=self.colours * area),
            "first_bias": torch.zeros(members, first),
            "second": drawn(second, first, KERNEL, KERNEL, fan_in=first * area),
            "second_bias": torch.zeros(members, second),
            "out": drawn(4 * second, self.classes, fan_in=8 * second),
            "out_bias": torch.zeros(members, self.classes),
        }

    def activations(
        self, parameters: Parameters, inputs: Float[Tensor, "members rows *image"], edits: Edits | None = None
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        images = inputs if inputs.ndim == 5 else inputs[:, :, None]
        first = self._seen(parameters, "first", images.transpose(1, 2))
        first = _edited(edits, "first", means_of(first, first.shape[-1] // 2))
        second = _edited(edits, "second", self._seen(parameters, "second", first))
        quarters = edited(edits, "quarters", means_of(second, 2).transpose(1, 2).flatten(2))
        logits = torch.baddbmm(parameters["out_bias"][:, None], quarters, parameters["out"])
        return {
            "first": first.transpose(1, 2).flatten(2),
            "second": second.transpose(1, 2).flatten(2),
            "quarters": quarters,
            "logits": edited(edits, "logits", logits),
        }

    def _seen(
        self, parameters: Parameters, layer: str, images: Float[Tensor, "members colours rows height width"]
    ) -> Float[Tensor, "members channels rows height width"]:
        """What a layer's filters see, everywhere; images are continued by zeros.

        Channels stand before rows, so that all of it is one product a member: several times faster on a CPU than
        convolutions in groups.
        """
        members, _, rows, height, width = images.shape
        filters, bias = parameters[layer], parameters[f"{layer}_bias"]
        turns = 4 if self.turned else 1
        each = torch.stack([filters.rot90(turn, (-2, -1)) for turn in range(turns)], 1).flatten(3).flatten(1, 2)
        wide = pad(images, [KERNEL // 2] * 4)
        pieces = torch.stack(
            [wide[..., i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)], 2
        )
        seen = each @ pieces.reshape(members, each.shape[-1], -1)
        strongest = seen.reshape(members, turns, -1, rows, height, width).amax(1)
        return (strongest + bias[:, :, None, None, None]).relu()


def means_of(seen: Float[Tensor, "members channels rows height width"], cells: int) -> Tensor:
    """Means of so many cells on each side; rows and columns that don't fill one are left out."""
    height, width = (size // cells for size in seen.shape[-2:])
    whole = seen[..., : cells * height, : cells * width]
    return whole.unflatten(-1, (cells, width)).unflatten(-3, (cells, height)).mean((-3, -1))


def _edited(edits: Edits | None, layer: str, seen: Tensor) -> Tensor:
    return seen if not edits or layer not in edits else edited(edits, layer, seen.transpose(1, 2)).transpose(1, 2)
