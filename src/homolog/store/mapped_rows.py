"""Where do the rows of an HDF5 dataset lie in its file, so that any of them can be taken from there at once?"""

from __future__ import annotations

import mmap
import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

KINDS = {
    np.dtype("f2"): torch.float16,
    np.dtype("f4"): torch.float32,
    np.dtype("f8"): torch.float64,
}  # In the machine's byte order.


class MappedRows:
    """Rows of a 2-D dataset, copied straight from the system's cache of its file, in any order, without a buffer.

    The file is mapped into the address space: what was read lies in memory that the system shares out and takes back
    as it likes. `starts` holds, by chunk of `per_chunk` rows, the place of its first number, counted in numbers.
    """

    def __init__(self, path: Path, data: h5py.Dataset, starts: Int[Tensor, " chunks"], per_chunk: int) -> None:
        self._starts, self._per_chunk, self._units, self._bytes = starts, per_chunk, data.shape[1], data.dtype.itemsize
        # What the place of a row's first number is more than it would be in a file of these rows alone.
        self._shifts = starts - torch.arange(len(starts)) * (per_chunk * self._units)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That it can't be written to; nothing does.
            numbers = torch.frombuffer(self._map, dtype=KINDS[data.dtype], count=len(self._map) // self._bytes)
        # All that is as long as a row, wherever it begins: the place of a row's first number is its index here.
        self._values = numbers.as_strided((len(numbers) - self._units + 1, self._units), (1, 1))

    def take(self, rows: Int[Tensor, " rows"], out: Float[Tensor, "rows units"]) -> None:
        """Write the rows into `out`, as float32."""
        places = self._shifts.index_select(0, rows // self._per_chunk).add_(rows, alpha=self._units)
        if self._values.dtype == out.dtype:
            torch.index_select(self._values, 0, places, out=out)
        else:
            out.copy_(self._values.index_select(0, places))

    def expect(self, spans: list[tuple[int, int]]) -> None:
        """Let the system read ahead the rows of `spans` (first, behind the last), and no longer count others as ours.

        Without it the rows come all the same, at the pace of single reads where they aren't in the system's cache.
        """
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        self._map.madvise(mmap.MADV_DONTNEED)
        for first, end in spans:
            for chunk in range(first // self._per_chunk, (end - 1) // self._per_chunk + 1):
                before = chunk * self._per_chunk
                start, stop = (
                    (int(self._starts[chunk]) + min(max(row - before, 0), self._per_chunk) * self._units) * self._bytes
                    for row in (first, end)
                )
                start -= start % mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, start, stop - start)


def map_rows(path: str | Path, data: h5py.Dataset) -> MappedRows | None:
    """The dataset's rows in its file, or None where they don't stand there whole and as they are.

    So it is with filters (compression), chunks of some columns, chunks that were never written, numbers of other kinds
    than floats in the machine's order, external or virtual datasets, user blocks, and files that can't be mapped.
    """
    kept = data.dtype in KINDS and not data.is_virtual and not data.external and data.file.userblock_size == 0
    if not kept or min(data.shape) == 0 or data.id.get_create_plist().get_nfilters() > 0:
        return None
    found = _contiguous(data) if data.chunks is None else _chunked(data)
    if found is None or bool((found[0] % data.dtype.itemsize != 0).any()):
        return None
    try:
        return MappedRows(Path(path), data, found[0] // data.dtype.itemsize, found[1])
    except OSError:  # A limit on the address space, or a file system that doesn't map.
        return None


def _contiguous(data: h5py.Dataset) -> tuple[Int[Tensor, " chunks"], int] | None:
    """The byte at which the dataset begins, and its number of rows."""
    offset = data.id.get_offset()
    return None if offset is None else (torch.tensor([offset]), len(data))


def _chunked(data: h5py.Dataset) -> tuple[Int[Tensor, " chunks"], int] | None:
    """The byte at which each chunk begins, and the rows of a chunk."""
    rows, units = data.chunks
    if units != data.shape[1]:
        return None
    starts = torch.full((-(-len(data) // rows),), -1)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        starts[chunk.chunk_offset[0] // rows] = chunk.byte_offset

    data.id.chunk_iter(note)
    return None if bool((starts < 0).any()) else (starts, rows)
