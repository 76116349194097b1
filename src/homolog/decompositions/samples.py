"""How does a method read the activations that it is fitted to: in order, or shuffled, from memory or from a file?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.streams import stream

# Rows that are read at once in order: fixed, so that sums have the same bits from memory and from a file.
BLOCK = 8192
# Shuffled reading: rows of a block that lie side by side in the file, and blocks that are mixed at a time.
SHUFFLED_BLOCK, MIXED_BLOCKS = 2048, 32

# Rows that lie side by side, by the first and the one behind the last.
Block = tuple[int, int]
# Blocks that are mixed, by their epoch and their number in it.
Place = tuple[int, int]


class Samples(ABC):
    """`(sample, unit)` activations in float32 on one device, in the gauge, units in canonical order."""

    samples: int
    units: int
    device: torch.device
    # Whether the rows lie in a file, and come onto the device when they are read.
    stored = False
    # Whether `take` costs about what reading as many rows in order costs.
    at_random = False

    @abstractmethod
    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        """Rows `start` to `stop`, in the order of the file."""

    def fill(self, out: Float[Tensor, "rows units"], start: int) -> None:
        """Write the rows from `start` on into `out`, which came from `empty`."""
        out.copy_(self.read(start, start + len(out)))

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        """Room for some rows, where `fill` puts them: on the CPU when they come from a file."""
        return torch.empty(rows, self.units, device=self.device)

    def take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        """Rows by number (on the CPU), in any order: each block of `BLOCK` that holds one is read once."""
        ascending, place = rows.sort(stable=True)
        _, counts = torch.unique_consecutive(ascending // BLOCK, return_counts=True)
        parts = []
        for chosen in torch.split(ascending, counts.tolist()):
            first = int(chosen[0])
            span = self.read(first, int(chosen[-1]) + 1)
            parts.append(span.index_select(0, (chosen - first).to(span.device)))
        taken = torch.cat(parts)
        return taken.index_select(0, place.argsort().to(taken.device))

    def expect(self, blocks: list[Block]) -> None:  # noqa: B027 (most have nothing to read ahead)
        """Say of which blocks rows are going to be taken next, so that a file can be read ahead."""

    def blocks(self) -> Iterator[Float[Tensor, "rows units"]]:
        """All rows in order, `BLOCK` at a time."""
        for start in range(0, self.samples, BLOCK):
            yield self.read(start, min(start + BLOCK, self.samples))

    def whole(self) -> Float[Tensor, "samples units"]:
        """All rows at once, for the methods that need them so."""
        return self.read(0, self.samples)

    @cached_property
    def mean(self) -> Float[Tensor, " units"]:
        """Mean of each unit, in float64."""
        total = torch.zeros(self.units, dtype=torch.float64, device=self.device)
        for block in self.blocks():
            total += block.double().sum(0)
        return total / self.samples

    @cached_property
    def sum_of_squares(self) -> float:
        """Sum of squares of all values, the mean not taken off."""
        return float(sum(block.double().square().sum() for block in self.blocks()))

    @cached_property
    def median(self) -> Float[Tensor, " units"]:
        """Geometric median of the first block of rows: "a sample" of them (Gao et al., 2024, appendix A.1)."""
        return geometric_median(self.read(0, min(BLOCK, self.samples)))

    @cached_property
    def finite(self) -> bool:
        """Whether all values are finite."""
        return bool(torch.isfinite(self.mean).all())  # A float64 sum of finite float32 numbers can't overflow.

    @cached_property
    def constant(self) -> bool:
        """Whether all rows are equal."""
        first = self.read(0, 1)
        return all(bool((block == first).all()) for block in self.blocks())


def geometric_median(x: Float[Tensor, "samples units"], iterations: int = 100) -> Float[Tensor, " units"]:
    """The point with the least sum of distances to all samples, by Weiszfeld's iteration (1937)."""
    point = x.mean(0)
    for _ in range(iterations):
        weight = 1 / (x - point).norm(dim=1).clamp_min(1e-8)
        previous, point = point, (weight[:, None] * x).sum(0) / weight.sum()
        if (point - previous).norm() <= 1e-6 * point.norm():
            break
    return point


class InMemory(Samples):
    """Activations that are there as one tensor."""

    at_random = True

    def __init__(self, values: Float[Tensor, "samples units"]) -> None:
        self.values = values
        self.samples, self.units = values.shape
        self.device = values.device

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        return self.values[start:stop]

    def take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        return self.values.index_select(0, rows.to(self.device))

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        return self.values.new_empty(rows, self.units)


class Shuffled:
    """Batches in random order; each epoch visits each row once, in an order that depends on (key, epoch) alone.

    Blocks of 2048 neighbouring rows are permuted, and 32 of them at a time are mixed row by row: near to sequential
    speed from a file, and a full permutation of up to 65,536 rows. Batches run on over the end of an epoch, so
    `batch(step)` is the same whether training has run through or was taken up again there. Holds the numbers of
    65,536 rows; and those rows themselves (in memory of its own, so once for each key) only where `samples` can't be
    read at random, as in a compressed file.
    """

    def __init__(self, samples: Samples, key: tuple[str | int, ...], batch_size: int) -> None:
        self.samples, self.key, self.size = samples, key, batch_size
        self._epochs: dict[int, tuple[list[list[Block]], list[int]]] = {}
        self._held: tuple[Place, Int[Tensor, " rows"]] | None = None
        # Filled again and again: memory that is new to the process takes as long to get as to read into.
        rows = min(samples.samples, SHUFFLED_BLOCK * MIXED_BLOCKS)
        self._room = None if samples.at_random else samples.empty(rows)

    def batch(self, step: int) -> Float[Tensor, "batch units"]:
        """The batch of one step, counted from 0."""
        position, missing, parts = step * self.size, self.size, []
        while missing:
            epoch, row = divmod(position, self.samples.samples)
            _, starts = self._groups(epoch)
            group = bisect_right(starts, row) - 1
            order = self._order((epoch, group))
            within = row - starts[group]
            part = self._take(order[within : within + missing])
            parts.append(part)
            position, missing = position + len(part), missing - len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _groups(self, epoch: int) -> tuple[list[list[Block]], list[int]]:
        """The epoch's blocks, by the groups that are mixed, and the row of the epoch at which each group starts."""
        if epoch not in self._epochs:
            samples = self.samples.samples
            starts = torch.arange(0, samples, SHUFFLED_BLOCK)
            shuffled = starts[torch.randperm(len(starts), generator=stream("blocks", *self.key, epoch))].tolist()
            blocks = [(start, min(start + SHUFFLED_BLOCK, samples)) for start in shuffled]
            # Sorted, so that a disk is read forwards: the rows are mixed anyway.
            groups = [sorted(blocks[i : i + MIXED_BLOCKS]) for i in range(0, len(blocks), MIXED_BLOCKS)]
            lengths = [sum(stop - start for start, stop in group) for group in groups]
            before = {epoch - 1: self._epochs[epoch - 1]} if epoch - 1 in self._epochs else {}
            self._epochs = {**before, epoch: (groups, [0, *accumulate(lengths)][:-1])}
        return self._epochs[epoch]

    def _order(self, place: Place) -> Int[Tensor, " rows"]:
        """The rows of one group in the order in which they are taken, by number, or by where the room holds them."""
        if self._held is None or self._held[0] != place:
            blocks = self._groups(place[0])[0][place[1]]
            if self._room is None:
                rows = torch.cat([torch.arange(start, stop) for start, stop in blocks])
                if self._held is None:
                    self.samples.expect(blocks)
                self.samples.expect(self._after(place))
            else:
                rows = torch.arange(self._fill(self._room, blocks))
            order = torch.randperm(len(rows), generator=stream("rows", *self.key, *place))
            self._held = place, rows.index_select(0, order)
        return self._held[1]

    def _after(self, place: Place) -> list[Block]:
        """The blocks of the group that follows."""
        epoch, group = place
        groups = self._groups(epoch)[0]
        return groups[group + 1] if group + 1 < len(groups) else self._groups(epoch + 1)[0][0]

    def _fill(self, room: Float[Tensor, "room units"], blocks: list[Block]) -> int:
        """Read blocks into the room, one behind the other; gives the number of rows."""
        filled = 0
        for start, stop in blocks:
            self.samples.fill(room[filled : filled + stop - start], start)
            filled += stop - start
        return filled

    def _take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        if self._room is None:
            return self.samples.take(rows)
        return self._room.index_select(0, rows.to(self._room.device)).to(self.samples.device)
