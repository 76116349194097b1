"""Which rotations turn the dictionaries of a thousand repetitions within the spectra of their data?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.nulls import Spectrum
from homolog.comparing.chance import CLEAR_FALL, SMALLEST_BLOCK
from homolog.streams import stream


def within_spectra(
    rows: Float[Tensor, "repetitions rows units"],
    bias: Float[Tensor, "repetitions units"],
    seeds: Int[np.ndarray, " repetitions"],
    run: int,
) -> Turns:
    """`comparing.chance.turns` of every repetition, from the same streams."""
    known = zip(*moments(rows), bias.double(), strict=True)
    spectra = [
        Spectrum.of(covariance, minimum=SMALLEST_BLOCK, fall=CLEAR_FALL).holding(mean - own)
        for mean, covariance, own in known
    ]
    return Turns(spectra, [stream("compare", "null", seed, run) for seed in seeds.tolist()])


def as_the_workflow(rows: Float[Tensor, "repetitions rows units"], generators: list[torch.Generator]) -> Turns:
    """`alignment.nulls.Spectrum.rotation` of every repetition, by its generator."""
    return Turns([Spectrum.of(one) for one in moments(rows)[1]], generators)


def moments(
    rows: Float[Tensor, "repetitions rows units"],
) -> tuple[Float[Tensor, "repetitions units"], Float[Tensor, "repetitions units units"]]:
    """Mean and covariance (divisor: rows), in float64."""
    mean = rows.double().mean(1)
    centred = rows - mean[:, None]
    return mean, centred.mT @ centred / rows.shape[1]


@dataclass
class Turns:
    """Rotations within the spectra of repetitions, from a stream for each, so many draws at a time, in float64."""

    spectra: list[Spectrum]
    generators: list[torch.Generator]

    def take(self, chosen: Int[Tensor, " few"]) -> Turns:
        """Those of some repetitions, from where they are."""
        index = chosen.tolist()
        return Turns([self.spectra[i] for i in index], [self.generators[i] for i in index])

    def skip(self, draws: int) -> None:
        """Leave out so many draws."""
        for members, blocks in self._alike():
            self._gaussians(members, blocks, draws)

    def draw(self, draws: int) -> Float[Tensor, "repetitions draws units units"]:
        """The next ones of each repetition."""
        units = len(self.spectra[0].values)
        result = torch.empty(len(self.spectra), draws, units, units, dtype=torch.float64)
        for members, blocks in self._alike():
            vectors = torch.stack([self.spectra[index].vectors for index in members])[:, None]
            turned = vectors.expand(-1, draws, -1, -1).clone()
            for block, gaussian in zip(blocks, self._gaussians(members, blocks, draws), strict=True):
                turned[..., block] = vectors[..., block] @ orthonormal(gaussian)
            result[members] = turned @ vectors.mT
        return result

    def _alike(self) -> Iterator[tuple[list[int], list[slice]]]:
        """Repetitions that have the same blocks, and these."""
        structures: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for index, spectrum in enumerate(self.spectra):
            structures.setdefault(tuple((one.start, one.stop) for one in spectrum.blocks), []).append(index)
        yield from ((members, self.spectra[members[0]].blocks) for members in structures.values())

    def _gaussians(
        self, members: list[int], blocks: list[slice], draws: int
    ) -> list[Float[Tensor, "members draws size size"]]:
        """The normal numbers behind each block's rotations, in the order in which `Spectrum.rotation` draws them."""
        sizes = [block.stop - block.start for block in blocks]
        drawn = [torch.empty(len(members), draws, size, size, dtype=torch.float64) for size in sizes]
        for place, member in enumerate(members):
            for draw in range(draws):
                for block in drawn:
                    block[place, draw].normal_(generator=self.generators[member])
        return drawn


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
