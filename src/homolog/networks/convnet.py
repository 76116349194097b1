"""A small convolutional network, to be trained here: of which class is an image?"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Convolutions 3 x 3, each with a ReLU and halved by its largest values, then one hidden layer and the logits.

    Hook points worth naming: ``stages.0``, ``stages.1`` (channels at each place), ``hidden`` (units).
    """

    def __init__(self, channels: int, side: int, classes: int, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        if side < 2 ** len(widths):
            raise ValueError(
                f"images of {side} pixels can't be halved {len(widths)} times: leave out some of widths {list(widths)}."
            )
        read = [channels, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            for before, after in zip(read, widths, strict=False)
        )
        rest = side // 2 ** len(widths)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(read[-1] * rest * rest, hidden), nn.ReLU())
        self.logits = nn.Linear(hidden, classes)

    def forward(self, pixel_values: Float[Tensor, "inputs channels height width"]) -> Float[Tensor, "inputs classes"]:
        """Logits of the classes."""
        x = pixel_values
        for stage in self.stages:
            x = stage(x)
        found: Tensor = self.logits(self.hidden(x))
        return found


def convnet(
    channels: int = 1, side: int = 28, classes: int = 10, widths: Sequence[int] = (16, 32), hidden: int = 64
) -> ConvNet:
    """A model for square images, with weights drawn by torch's generator."""
    return ConvNet(channels, side, classes, widths, hidden)
