"""What are the mean and the covariance of activations that needn't fit in memory?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.samples import BLOCK, Samples

# Rows that are added at once, of each block that is read: so few that they are still in the cache for every use.
PART = 2048
# Shares of a block, each of which one thread may take in; fixed, so that bits are.
SHARES = 2


@dataclass(frozen=True)
class Moments:
    """First and second moments over all samples (divisor: samples), in float64."""

    samples: int
    mean: Float[Tensor, " units"]
    covariance: Float[Tensor, "units units"]

    @cached_property
    def principal(self) -> tuple[Float[Tensor, " units"], Float[Tensor, "units units"]]:
        """Standard deviations in falling order, and their orthonormal directions as rows."""
        return _eigen(self.covariance)

    @cached_property
    def singular(self) -> tuple[Float[Tensor, " units"], Float[Tensor, "units units"]]:
        """The same with the mean left in: singular values over sqrt(samples), and right singular vectors."""
        return _eigen(self.covariance + torch.outer(self.mean, self.mean))

    @cached_property
    def rank(self) -> int:
        """Principal directions that are more than float32 rounding of the activations.

        Rounding the entries of X, uncentred, moves a singular value by at most eps ||X||_F (Weyl, 1912): units that
        depend on each other in float32 have singular values of that size, and whitening would blow them up. Those
        above four times that count.
        """
        square = self.covariance.diagonal().sum() + self.mean.square().sum()
        return int((self.principal[0] > 4 * torch.finfo(torch.float32).eps * square.sqrt()).sum())

    def of(self, units: slice) -> Moments:
        """The moments of some of the units."""
        return Moments(self.samples, self.mean[units], self.covariance[units, units])


def moments(*sides: Samples) -> Moments:
    """Moments of the units of all `sides` side by side, hence their cross-covariance too; one pass, in float64.

    The sides have the same rows. On the CPU BLAS's `syrk` takes samples x units^2 flops, half of a matrix product's, in
    two shares of each block, which may run on two threads; what is a share doesn't depend on that. Held are two blocks
    of each side and a few matrices of units x units. The first block's mean is taken off before squaring, so that a
    mean far from zero costs no digits; what squaring does cost are directions below about 1e-8 of the largest standard
    deviation, where float32 activations have no digits either. Blocks have a fixed size, so that the bits don't depend
    on where the rows come from.
    """
    shift = provisional_mean(*sides)
    total, gram = (_add_up_on_cpu if shift.device.type == "cpu" else _add_up)(shift, *sides)
    samples = sides[0].samples
    offset = total / samples
    mean, second = shift + offset, (gram.triu() + gram.triu(1).T) / samples
    for side, own in zip(sides, torch.split(mean, [side.units for side in sides]), strict=True):
        side.finite = bool(torch.isfinite(own).all())  # What this pass has shown needs no pass of its own.
    return Moments(samples, mean, second - torch.outer(offset, offset))


Sums = tuple[Float[Tensor, " units"], Float[Tensor, "units units"]]


def _add_up(shift: Float[Tensor, " units"], *sides: Samples) -> Sums:
    """The sum and X'X of the rows less `shift`, on any device."""
    total, gram = torch.zeros_like(shift), shift.new_zeros(len(shift), len(shift))
    for rows in shifted(*sides, shift=shift):
        total += rows.sum(0)
        gram.addmm_(rows.T, rows)
    return total, gram


def _add_up_on_cpu(shift: Float[Tensor, " units"], *sides: Samples) -> Sums:
    """The same by numpy, whose steps each take one thread: those of torch and of BLAS would wait for each other."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    shares = [_Share(shift.numpy()) for _ in range(SHARES)]
    threads = min(SHARES, torch.get_num_threads())
    streams = [side.blocks() for side in sides]
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for leading in streams[0]:
            blocks = [leading.numpy(), *(next(other).numpy() for other in streams[1:])]
            places = [slice(first, first + BLOCK // SHARES) for first in range(0, len(leading), BLOCK // SHARES)]
            work = [pool.submit(share.add, blocks, place) for share, place in zip(shares, places, strict=False)]
            for one in work:
                one.result()
    total, gram = (np.sum([getattr(share, name) for share in shares], axis=0) for name in ("total", "gram"))
    return torch.from_numpy(total), torch.from_numpy(gram)


class _Share:
    """The sum and X'X of some rows, less `shift`, in float64; `PART` rows at a time, one thread."""

    def __init__(self, shift: np.ndarray) -> None:
        units = len(shift)
        self.shift, self.rows, self.square = shift, np.empty((PART, units)), np.empty((units, units))
        self.total, self.gram = np.zeros(units), np.zeros((units, units))

    def add(self, blocks: list[np.ndarray], place: slice) -> None:
        """Take in the rows at `place` of the blocks, which lie side by side."""
        edges = [0, *accumulate(block.shape[1] for block in blocks)]
        for start in range(place.start, min(place.stop, len(blocks[0])), PART):
            parts = [block[start : min(start + PART, place.stop)] for block in blocks]
            rows = self.rows[: len(parts[0])]
            with np.errstate(invalid="ignore"):  # Values that aren't finite are told of the sums.
                for part, (first, last) in zip(parts, pairwise(edges), strict=True):
                    np.subtract(part, self.shift[first:last], out=rows[:, first:last])
                self.total += rows.sum(0)
                self.gram += np.matmul(rows.T, rows, out=self.square)  # By `syrk`, since both are one array.


def provisional_mean(*sides: Samples) -> Float[Tensor, " units"]:
    """The mean of the first block of each side, in float64; NaN without rows."""
    return torch.cat([side.read(0, min(BLOCK, side.samples)).mean(0, dtype=torch.float64) for side in sides])


def shifted(*sides: Samples, shift: Float[Tensor, " units"]) -> Iterator[Float[Tensor, "rows units"]]:
    """All rows, `PART` at a time, sides side by side, in float64, less `shift`; the next part overwrites one."""
    part = torch.empty(min(PART, sides[0].samples), len(shift), dtype=torch.float64, device=shift.device)
    edges = [0, *accumulate(side.units for side in sides)]
    others = [side.blocks() for side in sides[1:]]
    for leading in sides[0].blocks():
        blocks = [leading, *(next(other) for other in others)]  # zip would hold on to a third block of each.
        for start in range(0, len(blocks[0]), PART):
            rows = part[: len(blocks[0]) - start]
            for block, (first, last) in zip(blocks, pairwise(edges), strict=True):
                torch.sub(block[start : start + PART], shift[first:last], out=rows[:, first:last])
            yield rows


def _eigen(symmetric: Float[Tensor, "units units"]) -> tuple[Float[Tensor, " units"], Float[Tensor, "units units"]]:
    """Roots of the eigenvalues, falling, and eigenvectors as rows."""
    values, vectors = torch.linalg.eigh(symmetric)
    return values.flip(0).clamp(min=0).sqrt(), vectors.T.flip(0)
