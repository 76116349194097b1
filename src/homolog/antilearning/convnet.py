"""Convolutional networks of pairs of images: plain, or with filters shared over quarter turns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, unfold

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
        first = edited(edits, "first", avg_pool_of(self._seen(parameters, "first", images)))
        second = edited(edits, "second", self._seen(parameters, "second", first))
        quarters = adaptive_avg_pool2d(second.flatten(0, 1), 2).reshape(*second.shape[:2], -1)
        quarters = edited(edits, "quarters", quarters)
        logits = torch.baddbmm(parameters["out_bias"][:, None], quarters, parameters["out"])
        return {
            "first": first.flatten(2),
            "second": second.flatten(2),
            "quarters": quarters,
            "logits": edited(edits, "logits", logits),
        }

    def _seen(
        self, parameters: Parameters, layer: str, images: Float[Tensor, "members rows colours height width"]
    ) -> Float[Tensor, "members rows channels height width"]:
        """What a layer's filters see, everywhere; images are continued by zeros."""
        members, rows, _, height, width = images.shape
        filters, bias = parameters[layer], parameters[f"{layer}_bias"]
        turns = 4 if self.turned else 1
        each = torch.stack([filters.rot90(turn, (-2, -1)) for turn in range(turns)], 1)
        # Pieces and one product: several times faster on a CPU than convolutions in groups.
        pieces = unfold(images.flatten(0, 1), KERNEL, padding=KERNEL // 2).reshape(members, rows, -1, height * width)
        seen = each.flatten(3).flatten(1, 2)[:, None] @ pieces
        strongest = seen.reshape(members, rows, turns, -1, height, width).amax(2)
        return (strongest + bias[:, None, :, None, None]).relu()


def avg_pool_of(seen: Float[Tensor, "members rows channels height width"]) -> Tensor:
    """Means of squares of two by two pixels; a last odd row or column is left out."""
    pooled = avg_pool2d(seen.flatten(0, 1), 2)
    return pooled.reshape(*seen.shape[:2], *pooled.shape[1:])
