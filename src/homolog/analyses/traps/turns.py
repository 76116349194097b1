"""Which rotations turn the dictionaries of a thousand repetitions within the spectra of their data?"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.nulls import eigenvalue_blocks
from homolog.comparing.chance import CLEAR_FALL, SMALLEST_BLOCK
from homolog.decompositions.moments import Moments
from homolog.streams import stream


class Turns:
    """`comparing.chance.turns` of every repetition, from the same streams, so many draws at a time, in float64."""

    def __init__(
        self,
        known: list[Moments],
        bias: Float[Tensor, "repetitions units"],
        seeds: Int[np.ndarray, " repetitions"],
        run: int,
    ) -> None:
        self._frames = [_frame(one, own.double()) for one, own in zip(known, bias, strict=True)]
        self._generators = [stream("compare", "null", seed, run) for seed in seeds.tolist()]

    def take(self, chosen: Int[Tensor, " few"]) -> Turns:
        """Those of some repetitions, from where they are."""
        few = copy(self)
        few._frames = [self._frames[index] for index in chosen.tolist()]
        few._generators = [self._generators[index] for index in chosen.tolist()]
        return few

    def skip(self, draws: int) -> None:
        """Leave out so many draws."""
        for members, sizes in self._alike():
            self._gaussians(members, sizes, draws)

    def draw(self, draws: int) -> Float[Tensor, "repetitions draws units units"]:
        """The next ones of each repetition."""
        units = self._frames[0][0].shape[0]
        result = torch.empty(len(self._frames), draws, units, units, dtype=torch.float64)
        for members, sizes in self._alike():
            frame = torch.stack([self._frames[index][0] for index in members])[:, None]
            turned = frame.expand(-1, draws, -1, -1).clone()
            low = units - sum(sizes)  # Before the blocks stands what isn't turned.
            for size, gaussian in zip(sizes, self._gaussians(members, sizes, draws), strict=True):
                turned[..., low : low + size] = frame[..., low : low + size] @ orthonormal(gaussian)
                low += size
            result[members] = turned @ frame.mT
        return result

    def _alike(self) -> Iterator[tuple[list[int], list[int]]]:
        """Repetitions whose blocks have the same sizes, and these."""
        structures: dict[tuple[int, ...], list[int]] = {}
        for index, (_, sizes) in enumerate(self._frames):
            structures.setdefault(tuple(sizes), []).append(index)
        yield from ((members, list(sizes)) for sizes, members in structures.items())

    def _gaussians(
        self, members: list[int], sizes: list[int], draws: int
    ) -> list[Float[Tensor, "members draws size size"]]:
        """The normal numbers behind each block's rotations, in the order in which `spectral_rotations` draws them."""
        drawn = [torch.empty(len(members), draws, size, size, dtype=torch.float64) for size in sizes]
        for place, member in enumerate(members):
            for draw in range(draws):
                for block in drawn:
                    block[place, draw].normal_(generator=self._generators[member])
        return drawn


def _frame(known: Moments, bias: Float[Tensor, " units"]) -> tuple[Float[Tensor, "units units"], list[int]]:
    """Eigenvectors as columns and the sizes of their blocks; before them the mean's direction, where it is held."""
    mean, covariance = known.mean - bias, known.covariance
    across = None
    if mean.square().sum() > covariance.diagonal().mean() and len(mean) > 1:
        basis = torch.linalg.qr(torch.cat([mean[:, None], torch.eye(len(mean)).to(mean)], 1))[0]
        across = basis[:, 1:]
        second = across.T @ covariance @ across
        covariance = (second + second.T) / 2
    ascending, vectors = torch.linalg.eigh(covariance)
    blocks = eigenvalue_blocks(ascending.flip(0), minimum=SMALLEST_BLOCK, fall=CLEAR_FALL)
    frame = vectors.flip(1) if across is None else torch.cat([basis[:, :1], across @ vectors.flip(1)], 1)
    return frame, [block.stop - block.start for block in blocks]


def orthonormal(gaussian: Float[Tensor, "... size size"]) -> Float[Tensor, "... size size"]:
    """Q of the QR decomposition with a positive diagonal, the same as `nulls.haar_rotation`'s.

    By Gram & Schmidt, each column cleared twice (Giraud et al. 2005: then it is orthogonal to rounding): for many
    small matrices this is far quicker than LAPACK, one after the other.
    """
    q = torch.zeros_like(gaussian)
    for column in range(gaussian.shape[-1]):
        rest, before = gaussian[..., column : column + 1], q[..., :column]
        for _ in range(2 if column else 0):
            rest = rest - before @ (before.mT @ rest)
        q[..., column : column + 1] = rest / rest.norm(dim=-2, keepdim=True)
    return q
