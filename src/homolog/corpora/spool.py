"""How does an array grow beyond memory: it is written to a temporary file, and mapped from there."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np


class Spool:
    """Rows of one shape and dtype, one block after the other; the file is gone when nothing maps it any more."""

    def __init__(self, dtype: np.dtype[Any] | type, shape: tuple[int, ...] = ()) -> None:
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0
        self._file = tempfile.TemporaryFile(prefix="homolog-")  # noqa: SIM115 (closed when it is mapped)

    def append(self, values: np.ndarray) -> None:
        """Write some rows behind those that are there."""
        self._file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        self.rows += len(values)

    def array(self) -> np.ndarray:
        """All rows, read-only; nothing can be appended after that."""
        with self._file as file:
            file.flush()
            if not self.rows:  # an empty file can't be mapped
                return np.empty((0, *self.shape), self.dtype)
            return np.memmap(file, self.dtype, "r", shape=(self.rows, *self.shape))
