"""Are the arrays of a file still what was written?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ATTRIBUTE = "checksum"
_SLAB_BYTES = 16 * 2**20


def seal(file: Any) -> None:
    """Give an open h5netcdf file the checksum of all arrays that stand in it."""
    file.attrs[ATTRIBUTE] = _checksum(file)


def sealed_netcdf(dataset: Any) -> bytes:
    """An xarray dataset as netCDF-4, sealed."""
    import h5netcdf

    buffer = BytesIO(bytes(dataset.to_netcdf(engine="h5netcdf")))
    with h5netcdf.File(buffer, "r+") as file:
        seal(file)
    return buffer.getvalue()


def is_intact(path: str | Path) -> bool | None:
    """Whether the arrays of a netCDF-4 file are those that were sealed; None where it carries no checksum.

    Raises OSError where it can't be read.
    """
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        return _checksum(file) == file.attrs[ATTRIBUTE] if ATTRIBUTE in file.attrs else None


def _checksum(file: Any) -> str:
    digest = hashlib.sha256()
    for variable in sorted(_variables(file), key=lambda variable: variable.name):
        text = variable.dtype is str or np.dtype(variable.dtype).kind == "O"
        digest.update(f"{variable.name} {'text' if text else np.dtype(variable.dtype).str} {variable.shape} ".encode())
        for array in _slabs(variable):
            digest.update("\0".join(map(_text, array.ravel())).encode() if text else array.tobytes())
    return digest.hexdigest()[:16]


def _variables(group: Any) -> Iterator[Any]:
    yield from group.variables.values()
    for inner in group.groups.values():
        yield from _variables(inner)


def _slabs(variable: Any) -> Iterator[np.ndarray]:
    """The values in order, a bounded number of rows at once."""
    if not variable.shape:
        yield np.asarray(variable[...])
        return
    rows = max(1, int(_SLAB_BYTES // max(1, 8 * int(np.prod(variable.shape[1:])))))
    for start in range(0, variable.shape[0], rows):
        yield np.asarray(variable[start : start + rows])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
