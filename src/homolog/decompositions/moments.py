"""What are the mean and the covariance of activations that needn't fit in memory?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.samples import BLOCK, Samples

# Rows that are added at once, of each block that is read: so few that they are still in the cache for every use.
PART = 2048


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

    The sides have the same rows. On the CPU BLAS's `dsyrk` takes samples x units^2 flops, half of a matrix product's.
    Held are one block of each side and a few matrices of units x units. The first block's mean is taken off before
    squaring, so that a mean far from zero costs no digits; what squaring does cost are directions below about 1e-8 of
    the largest standard deviation, where float32 activations have no digits either. Blocks have a fixed size, so
    that the bits don't depend on where the rows come from.
    """
    shift = provisional_mean(*sides)
    total = torch.zeros_like(shift)
    gram = torch.zeros(len(shift), len(shift), dtype=torch.float64, device=shift.device)
    for rows in shifted(*sides, shift=shift):
        total += rows.sum(0)
        _add_gram(rows, gram)
    samples = sides[0].samples
    offset = total / samples
    mean, second = shift + offset, (gram.triu() + gram.triu(1).T) / samples
    for side, own in zip(sides, torch.split(mean, [side.units for side in sides]), strict=True):
        side.finite = bool(torch.isfinite(own).all())  # What this pass has shown needs no pass of its own.
    return Moments(samples, mean, second - torch.outer(offset, offset))


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


def _add_gram(rows: Float[Tensor, "rows units"], gram: Float[Tensor, "units units"]) -> None:
    """Add rows' rows to the upper triangle of `gram`, in place; the lower one isn't to be used."""
    add = _add_triangle if gram.device.type == "cpu" and gram.numel() else _add_whole
    add(rows, gram)


def _add_whole(rows: Float[Tensor, "rows units"], gram: Float[Tensor, "units units"]) -> None:
    """Both triangles, on any device."""
    gram.addmm_(rows.T, rows)


def _add_triangle(rows: Float[Tensor, "rows units"], gram: Float[Tensor, "units units"]) -> None:
    """The upper triangle alone, on the CPU: half of the flops."""
    from scipy.linalg.blas import dsyrk

    # BLAS counts by columns: it sees both arrays transposed as they lie, so that nothing is copied.
    dsyrk(1.0, rows.numpy().T, beta=1.0, c=gram.numpy().T, lower=1, overwrite_c=1)


def _eigen(symmetric: Float[Tensor, "units units"]) -> tuple[Float[Tensor, " units"], Float[Tensor, "units units"]]:
    """Roots of the eigenvalues, falling, and eigenvectors as rows."""
    values, vectors = torch.linalg.eigh(symmetric)
    return values.flip(0).clamp(min=0).sqrt(), vectors.T.flip(0)
