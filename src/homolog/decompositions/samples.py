"""How does a method read the activations that it is fitted to: in order, or shuffled, from memory or from a file?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.streams import stream

# Rows that are read at once in order: fixed, so that sums have the same bits from memory and from a file.
BLOCK = 8192
# Shuffled reading: rows of a block that lie side by side in the file, and blocks that are mixed at a time.
SHUFFLED_BLOCK, BUFFERED_BLOCKS = 2048, 32

# A buffer of shuffled reading by its epoch and its number in it; its rows, and the order in which they are taken.
Place = tuple[int, int]
Buffer = tuple[Float[Tensor, "rows units"], Int[Tensor, " rows"]]


class Samples(ABC):
    """`(sample, unit)` activations in float32 on one device, in the gauge, units in canonical order."""

    samples: int
    units: int
    device: torch.device
    # Whether reading takes so long that the next rows are worth reading while the last ones are worked on.
    ahead = False

    @abstractmethod
    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        """Rows `start` to `stop`, in the order of the file."""

    def fill(self, out: Float[Tensor, "rows units"], start: int) -> None:
        """Write the rows from `start` on into `out`, which came from `empty`."""
        out.copy_(self.read(start, start + len(out)))

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        """Room for some rows, where `fill` puts them: on the CPU when they come from a file."""
        return torch.empty(rows, self.units, device=self.device)

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

    def __init__(self, values: Float[Tensor, "samples units"]) -> None:
        self.values = values
        self.samples, self.units = values.shape
        self.device = values.device

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        return self.values[start:stop]

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        return self.values.new_empty(rows, self.units)


class Shuffled:
    """Batches in random order; each epoch visits each row once, in an order that depends on (key, epoch) alone.

    Blocks of 2048 neighbouring rows are permuted, and 32 of them at a time are mixed row by row: near to sequential
    speed from a file, and a full permutation of up to 65,536 rows. Batches run on over the end of an epoch, so
    `batch(step)` is the same whether training has run through or was taken up again there. Holds one buffer of 65,536
    rows at most; of a file two, since a thread reads the next one while this one is used up.
    """

    def __init__(self, samples: Samples, key: tuple[str | int, ...], batch_size: int) -> None:
        self.samples, self.key, self.size = samples, key, batch_size
        self._epochs: dict[int, tuple[list[list[int]], list[int]]] = {}
        self._held: tuple[Place, Buffer] | None = None
        self._coming: tuple[Place, Callable[[], Buffer]] | None = None
        self._thread = ThreadPoolExecutor(1) if samples.ahead else None
        # Used in turn: memory that is new to the process takes as long to get as to read into.
        rows = min(samples.samples, SHUFFLED_BLOCK * BUFFERED_BLOCKS)
        self._rooms = deque(samples.empty(rows) for _ in range(2 if samples.ahead else 1))

    def batch(self, step: int) -> Float[Tensor, "batch units"]:
        """The batch of one step, counted from 0."""
        position, missing, parts = step * self.size, self.size, []
        while missing:
            epoch, row = divmod(position, self.samples.samples)
            _, starts = self._groups(epoch)
            group = bisect_right(starts, row) - 1
            rows, order = self._load((epoch, group))
            within = row - starts[group]
            part = rows.index_select(0, order[within : within + missing])
            parts.append(part)
            position, missing = position + len(part), missing - len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _groups(self, epoch: int) -> tuple[list[list[int]], list[int]]:
        """The epoch's blocks, by buffer, and the row of the epoch at which each buffer starts."""
        if epoch not in self._epochs:
            starts = torch.arange(0, self.samples.samples, SHUFFLED_BLOCK)
            blocks = starts[torch.randperm(len(starts), generator=stream("blocks", *self.key, epoch))].tolist()
            # Sorted, so that a disk is read forwards: the rows are mixed anyway.
            groups = [sorted(blocks[i : i + BUFFERED_BLOCKS]) for i in range(0, len(blocks), BUFFERED_BLOCKS)]
            lengths = [sum(self._length(block) for block in group) for group in groups]
            before = {epoch - 1: self._epochs[epoch - 1]} if epoch - 1 in self._epochs else {}
            self._epochs = {**before, epoch: (groups, [0, *accumulate(lengths)][:-1])}
        return self._epochs[epoch]

    def _length(self, block: int) -> int:
        return min(SHUFFLED_BLOCK, self.samples.samples - block)

    def _load(self, place: Place) -> Buffer:
        """One buffer; it is kept until another one is loaded, and the one that follows is read meanwhile."""
        if self._held is None or self._held[0] != place:
            self._held = None  # On a GPU: freed before the next one comes.
            if self._coming is None or self._coming[0] != place:
                self._coming = self._ask(place)
            rows, order = self._coming[1]()
            self._held = place, (rows.to(self.samples.device), order.to(self.samples.device))
            self._coming = self._ask(self._after(place)) if self._thread else None
        return self._held[1]

    def _after(self, place: Place) -> Place:
        epoch, group = place
        return (epoch, group + 1) if group + 1 < len(self._groups(epoch)[0]) else (epoch + 1, 0)

    def _ask(self, place: Place) -> tuple[Place, Callable[[], Buffer]]:
        """A buffer as what gives it when called: at once from memory, from a file when the thread has read it."""
        self._rooms.rotate()
        read = partial(self._read, place, self._groups(place[0])[0][place[1]], self._rooms[0])
        return place, self._thread.submit(read).result if self._thread else read

    def _read(self, place: Place, blocks: list[int], room: Float[Tensor, "room units"]) -> Buffer:
        filled = 0
        for block in blocks:
            length = self._length(block)
            self.samples.fill(room[filled : filled + length], block)
            filled += length
        return room[:filled], torch.randperm(filled, generator=stream("rows", *self.key, *place))
