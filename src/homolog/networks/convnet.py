"""A small convolutional network, to be trained here: of which class is an image?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Convolutions 3 x 3, each with a ReLU and halved by its largest values, then one hidden layer and the logits.

    Between them, the mean of each channel over each quarter of the image, so that images of any size can be read. Hook
    points worth naming: ``stages.0``, ``stages.1`` (channels at each place), ``hidden`` (units).
    """

    def __init__(self, channels: int, classes: int, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        read = [channels, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            for before, after in zip(read, widths, strict=False)
        )
        self.hidden = nn.Sequential(Quarters(), nn.Linear(4 * read[-1], hidden), nn.ReLU())
        self.logits = nn.Linear(hidden, classes)

    def forward(self, pixel_values: Float[Tensor, "inputs channels height width"]) -> Float[Tensor, "inputs classes"]:
        """Logits of the classes. Raises ValueError for images that are too small to be halved so often."""
        smallest = 2 ** (len(self.stages) + 1)
        if min(pixel_values.shape[-2:]) < smallest:
            raise ValueError(
                f"images of {tuple(pixel_values.shape[-2:])} pixels can't be halved {len(self.stages)} times and "
                f"quartered, which takes {smallest}: leave out some of `widths`."
            )
        x = pixel_values
        for stage in self.stages:
            x = stage(x)
        found: Tensor = self.logits(self.hidden(x))
        return found


class Quarters(nn.Module):
    """The mean of each channel over each quarter of a map."""

    def forward(self, x: Float[Tensor, "inputs channels height width"]) -> Float[Tensor, "inputs features"]:
        # No adaptive pooling: its gradients aren't the same bits each time on a GPU.
        halves = (part for rows in x.tensor_split(2, dim=2) for part in rows.tensor_split(2, dim=3))
        return torch.cat([part.mean((2, 3)) for part in halves], dim=1)


def convnet(channels: int = 1, classes: int = 10, widths: Sequence[int] = (16, 32), hidden: int = 64) -> ConvNet:
    """A model for images, with weights drawn by torch's generator."""
    return ConvNet(channels, classes, widths, hidden)
