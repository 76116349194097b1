"""How are rows of a hook point read, from memory where they fit, and else from the file as they are needed?

Apart from `activations.py`, so that a job that only writes activations isn't stale when reading changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.decompositions.samples import BLOCK, InMemory, Samples
from homolog.store.activations import ARTEFACT, Activations, Rows, facts_of, hook_point_group, not_finite
from homolog.store.files import open_hdf5
from homolog.store.mapped_rows import map_rows

# What is read at once: small enough to stay in a core's cache while rows are chosen and the gauge is applied.
SLAB_BYTES = 4 * 2**20
# Chosen rows up to this size are held in memory.
IN_MEMORY_BYTES = 2**30

NotFinite = Callable[[int], ValueError]


class InFile(Samples):
    """Rows of a 2-D HDF5 dataset, float32 on `device`, read when they are asked for.

    `index` chooses rows (ascending; all of them by default), `gauge` is applied where one is given. Memory: what is
    asked for, and a slab of 4 MiB; `blocks` holds one block more, which a thread reads while the last one is in use.
    Values that aren't finite raise the error that `not_finite` makes of their number, when they are read in order;
    `fill` and `take`, and so shuffled reading, trust that this has been done: it would take a quarter of their speed.
    """

    stored = True

    def __init__(
        self,
        path: str | Path,
        dataset: str,
        not_finite: NotFinite,
        index: Int[Tensor, " chosen"] | None = None,
        gauge: Gauge | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device, self._gauge, self._not_finite = torch.device(device), gauge, not_finite
        self._file = _open(path, dataset)
        self._data = self._file[dataset]
        rows, self.units = self._data.shape
        self._index, self._every = torch.arange(rows) if index is None else index.cpu().long(), index is None
        if bool((self._index.diff() <= 0).any()):
            raise ValueError(f"{path}: the rows to read must ascend, each once, and these {len(self._index)} don't.")
        self.samples = len(self._index)
        self._slab_rows = max(1, SLAB_BYTES // max(1, self.units * 4))
        self._mapped = map_rows(path, self._data)
        self.at_random = self._mapped is not None

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        return self._read(start, stop).to(self.device)

    def _read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        out = self.empty(len(self._index[start:stop]))
        self._fill(out, start, check=True)
        return out

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        return torch.empty(rows, self.units, pin_memory=self.device.type == "cuda")

    def fill(self, out: Float[Tensor, "rows units"], start: int) -> None:
        self._fill(out, start, check=False)

    def take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        if self._mapped is None:
            return super().take(rows)
        out = self.empty(len(rows))
        chosen = rows if self._every else self._index.index_select(0, rows)
        # Piece by piece, so that the gauge finds them in the cache.
        for part, room in zip(torch.split(chosen, self._slab_rows), torch.split(out, self._slab_rows), strict=True):
            self._mapped.take(part, room)
            if self._gauge is not None:
                room.copy_(self._gauge.canonical(room))
        return out.to(self.device, non_blocking=True)

    def expect(self, blocks: list[tuple[int, int]]) -> None:
        if self._mapped is None:
            return
        self._mapped.expect(blocks if self._every else [span for block in blocks for span in self._spans(*block)])

    def _spans(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The rows of the file, first and behind the last, among which chosen ones lie: without large holes."""
        index = self._index[start:stop]
        ends = (index.diff() > self._slab_rows).nonzero().squeeze(1)
        firsts, lasts = torch.cat([index[:1], index[ends + 1]]), torch.cat([index[ends], index[-1:]])
        return [(first, last + 1) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]

    def _fill(self, out: Float[Tensor, "rows units"], start: int, check: bool) -> None:
        """Write the rows from `start` on into `out`: slab by slab, holes between chosen rows passed over."""
        done, index = 0, self._index[start : start + len(out)]
        while done < len(out):
            first = int(index[done])
            end = int(torch.searchsorted(index, first + self._slab_rows))
            chosen = index[done:end] - first
            together = int(chosen[-1]) + 1 == len(chosen)
            as_stored = together and self._gauge is None
            room = out[done:end] if as_stored else torch.empty(int(chosen[-1]) + 1, self.units)
            slab = self._read_slab(first, room)
            if check and not all_finite(slab):
                raise self._not_finite(self._count_not_finite())
            if not as_stored:
                slab = slab if together else slab.index_select(0, chosen)
                out[done:end] = slab if self._gauge is None else self._gauge.canonical(slab)
            done = end

    def _read_slab(self, first: int, out: Float[Tensor, "slab units"]) -> Float[Tensor, "slab units"]:
        """Neighbouring rows of the file, as they stand there."""
        place = np.s_[first : first + len(out)]
        if self._data.dtype == np.float32:
            self._data.read_direct(out.numpy(), place)
        else:
            # Not by HDF5, which converts far more slowly.
            out.copy_(_as_float32(self._data[place]))
        return out

    def _count_not_finite(self) -> int:
        slabs = (self._data[i : i + self._slab_rows] for i in range(0, len(self._data), self._slab_rows))
        return sum(int((~_as_float32(slab).isfinite()).sum()) for slab in slabs)

    def blocks(self) -> Iterator[Float[Tensor, "rows units"]]:
        """All rows in order, `BLOCK` at a time."""
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self._read, 0, BLOCK)
            for start in range(BLOCK, self.samples + BLOCK, BLOCK):
                block, coming = coming.result(), thread.submit(self._read, start, start + BLOCK)
                yield block.to(self.device)


def all_finite(values: Float[Tensor, "rows units"]) -> bool:
    """Whether all values are finite."""
    # The sum takes a tenth of the test's time, and is finite wherever nothing is wrong; a large one may not be. By
    # numpy: torch would wake its threads, and they would wait, spinning, while others compute.
    with np.errstate(over="ignore", invalid="ignore"):
        summed = values.numpy().sum()
    return bool(np.isfinite(summed)) or bool(values.isfinite().all())


def _as_float32(array: np.ndarray) -> Tensor:
    with np.errstate(over="ignore"):  # What is too large becomes infinite, and is told.
        return torch.from_numpy(array.astype(np.float32))


def _open(path: str | Path, name: str) -> h5py.File:
    """The file, opened with as much of a cache as the chunks of one dataset need."""
    with h5py.File(path, "r") as file:
        data = file[name]
        filtered = data.id.get_create_plist().get_nfilters() > 0
        plain = data.chunks is None or (data.chunks[1] == data.shape[1] and not filtered)
        # A row of chunks and the next one, where each is needed again for the next slab. Whole rows that are stored as
        # they are go past the cache, straight to where they are wanted.
        cache = 0 if plain else 2 * data.chunks[0] * data.shape[1] * data.dtype.itemsize
    return h5py.File(path, "r", rdcc_nbytes=cache)


@dataclass(frozen=True)
class StoredActivations:
    """One hook point of one run, as `Activations`, but its values are left in the file."""

    path: Path
    run: str
    hook_point: str
    units: int
    rows: Rows
    gauge: Gauge
    write_out: Float[Tensor, "next_units units"] | None
    attributes: dict[str, Any] = field(default_factory=dict)


def open_activations(path: str | Path, hook_point: str) -> StoredActivations:
    """All of one hook point but its values; a ValueError lists the file's hook points when it has no such one."""
    with open_hdf5(path, ARTEFACT) as file:
        group = hook_point_group(file, path, hook_point)
        units = group["activations"].shape[1]
        return StoredActivations(Path(path), hook_point=hook_point, units=units, **facts_of(file, group))


def choose_samples(
    activations: Activations | StoredActivations,
    index: Int[Tensor, " chosen"],
    gauge: Gauge | None,
    device: str | torch.device = "cpu",
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Samples:
    """The rows of `index` (ascending), in `gauge`, units in canonical order; None: as the network computes them.

    From a file they are read whole when they take up to `in_memory_bytes` as float32; the values have the same bits
    either way. Raises ValueError for values that aren't finite, when they are read.
    """
    if isinstance(activations, Activations):
        values = activations.values[index.to(activations.values.device)]
        return InMemory((values if gauge is None else gauge.canonical(values)).to(device))
    name, hook_point = f"{activations.hook_point}/activations", activations.hook_point
    samples = InFile(activations.path, name, partial(not_finite, activations.path, hook_point), index, gauge, device)
    return load_if_small(samples, in_memory_bytes)


def load_if_small(samples: InFile, in_memory_bytes: int) -> Samples:
    """The same samples in memory, if there they take up to `in_memory_bytes`."""
    return InMemory(samples.whole()) if samples.samples * samples.units * 4 <= in_memory_bytes else samples
