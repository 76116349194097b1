"""What would a method find in data that have the activations' mean and covariance, and nothing else of them?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.moments import moments
from homolog.decompositions.samples import SHUFFLED_BLOCK, InMemory, Samples
from homolog.streams import stream

# Drawn samples up to this size are held in memory; others are drawn anew, block by block, whenever they are read.
IN_MEMORY_BYTES = 2**30


class Gaussian(Samples):
    """Independent Gaussian samples of a mean and a covariance, drawn when they are read, by blocks of fixed size.

    `root` (factor, unit) has ``root.T @ root`` as covariance. Samples of one `key` are drawn together, so that slices
    of one root keep their covariance with each other too.
    """

    def __init__(
        self,
        samples: int,
        mean: Float[Tensor, " units"],
        root: Float[Tensor, "factors units"],
        key: tuple[str | int, ...],
    ) -> None:
        self.samples, self.units, self.device = samples, len(mean), mean.device
        self._mean, self._root, self._key = mean, root, key

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        parts = list(self._parts(start, stop))
        return torch.cat(parts) if parts else torch.empty(0, self.units, device=self.device)

    def _parts(self, start: int, stop: int) -> Iterator[Float[Tensor, "rows units"]]:
        for block in range(start // SHUFFLED_BLOCK, -(-stop // SHUFFLED_BLOCK)):
            first = block * SHUFFLED_BLOCK
            drawn = torch.randn(SHUFFLED_BLOCK, len(self._root), generator=stream(*self._key, block)).to(self._root)
            rows = drawn[max(start - first, 0) : stop - first]
            yield (rows @ self._root + self._mean).float()


def gaussian_like(sides: list[Samples], sizes: list[int], key: tuple[str | int, ...]) -> list[list[Samples]]:
    """For each of `sizes`, Gaussian samples beside each of `sides`, with the sides' joint mean and covariance.

    The sides are hook points of one run, over the same rows: what they share linearly is kept (a CCA finds it again).
    """
    found = moments(*sides)
    deviations, directions = found.principal
    root = deviations[:, None] * directions
    edges = torch.tensor([side.units for side in sides]).cumsum(0).tolist()
    drawn = []
    for number, size in enumerate(sizes):
        beside: list[Samples] = []
        for side, end in zip(sides, edges, strict=True):
            units = slice(end - side.units, end)
            one = Gaussian(size, found.mean[units], root[:, units], (*key, number))
            small = 4 * size * side.units <= IN_MEMORY_BYTES
            beside.append(InMemory(one.whole()) if small else one)
        drawn.append(beside)
    return drawn
