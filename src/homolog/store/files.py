"""How every artefact is written (whole or not at all) and opened (checked, with one clear line when it is unfit)."""

from __future__ import annotations

import errno
import glob
import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from homolog.store.checksums import ATTRIBUTE, UNSEALED, seal
from homolog.store.recorded import readable

# Raised when a file's layout changes in a way that an older or newer homolog can't read.
FORMAT = 1

Attributes = dict[str, str | int | float]
# name -> (dims, array)
Variables = Mapping[str, tuple[tuple[str, ...], np.ndarray]]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name in the same folder; seal and rename it to `path` when the block ends well, else remove it.

    The name is nobody else's: where two processes write one file, each writes all of it. What a killed one has left is
    removed. Raises OSError naming the file, the reason and the way out when it can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.????????.partial"):
            left.unlink(missing_ok=True)
        yield temporary
        seal(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} can't be written: {reason_of(error)}; no part of it was left behind.") from error
    finally:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None


def reason_of(error: OSError) -> str:
    """Why a file can't be written, and the way out."""
    number = error.errno
    if number in _FULL:
        return "the disk is full, or a quota is reached: free some space (`du -sh results/*` shows where) and run again"
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "the folder can't be written to: change its permissions, or choose another with `snakemake --directory`"
    if number in {errno.ENOTDIR, errno.EEXIST}:
        return "a folder on the way to it is a file: move that file away"
    if number == errno.ENOENT:
        return "another process has begun to write it, too, or its folder was removed: end one of them and run again"
    return str(error)


class _SteadyFile(io.FileIO):
    """A file that never fails towards HDF5, which can crash Python when it does; the first failure is kept."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        size, rest = len(data), memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = self.failure or error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[Any]:
    """Give a netCDF-4 file (h5netcdf) to write to, which stands at `path` once it is complete; else nothing does."""
    import h5netcdf  # imported here: the library must also import where h5netcdf is absent

    with atomic(path) as temporary, _SteadyFile(temporary, "w+") as stream:
        try:
            with h5netcdf.File(stream, "w") as file:
                yield file
        finally:
            if stream.failure:
                raise stream.failure


def content_hash(variables: Iterable[tuple[str, np.ndarray]]) -> str:
    """Hash of names, types, shapes and values: equal for equal arrays, whoever wrote them and when."""
    digest = hashlib.sha256()
    for name, array in sorted(variables, key=lambda item: item[0]):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        text = array.dtype.kind in "OU"
        digest.update("\0".join(map(str, array.ravel())).encode() if text else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def header(artefact: str, content: str, provenance: Attributes) -> Attributes:
    """The attributes that every file carries: what it is, its format, a hash of its arrays, and what made it."""
    said = {"homolog_artefact": artefact, "homolog_format": FORMAT, "content": content, **provenance}
    return {**said, ATTRIBUTE: UNSEALED}


def check_header(path: str | Path, artefact: str, attributes: Mapping[str, Any]) -> None:
    """Raise ValueError unless the file is the `artefact` that is expected, in the format that this version reads.

    Whether its bytes are those that were written is another question (`checksums`), but it must say what they were.
    """
    way_out = f"delete it and build it again with `snakemake {path}`"
    seen = attributes.get("homolog_artefact")
    if seen is None:
        raise ValueError(f"{path} was not written by homolog (its attributes: {readable([*attributes])}): {way_out}.")
    if seen != artefact:
        raise ValueError(f"{path} holds {seen}, but {artefact} is needed here: {way_out}.")
    if int(attributes["homolog_format"]) != FORMAT:
        raise ValueError(
            f"{path} was written by homolog {attributes.get('homolog_version', 'of an unknown version')} in format "
            f"{attributes['homolog_format']}, and this version reads format {FORMAT}: {way_out}."
        )
    if len(str(attributes.get(ATTRIBUTE, ""))) != len(UNSEALED):
        raise ValueError(f"{path} carries no {ATTRIBUTE} of what was written: {way_out}.")


@contextmanager
def open_hdf5(path: str | Path, artefact: str) -> Iterator[h5py.File]:
    """Open an HDF5 artefact for reading; ValueError when it is absent, truncated, foreign or of another format."""
    if not Path(path).is_file():
        raise ValueError(f"{path} isn't there: build it with `snakemake {path}`.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if "lock file" in str(error):
            raise ValueError(
                f"{path} can't be locked, which its file system may not know ({error}): set the environment variable "
                "HDF5_USE_FILE_LOCKING=FALSE, as jobs do (files are replaced, never changed)."
            ) from error
        raise ValueError(
            f"{path} can't be read as HDF5: it is truncated or something else ({error}); "
            f"delete it and build it again with `snakemake {path}`."
        ) from error
    with file:
        check_header(path, artefact, plain_attributes(file))
        yield file


def plain_attributes(file: h5py.File) -> dict[str, Any]:
    """A file's attributes as plain values: netCDF keeps single numbers as arrays of one."""
    return {
        name: value.item() if np.size(value) == 1 and hasattr(value, "item") else value
        for name, value in file.attrs.items()
    }


def write_hdf5(path: str | Path, artefact: str, variables: Variables, provenance: Attributes) -> None:
    """Write labelled arrays as one netCDF-4 file that xarray opens; nothing is left of it when the writing fails."""
    content = content_hash((name, array) for name, (_, array) in variables.items())
    with new_hdf5(path) as file:
        for name, (dims, array) in variables.items():
            for dim, size in zip(dims, array.shape, strict=True):
                if dim not in file.dimensions:
                    file.dimensions[dim] = size
            create_variable(file, name, dims, array)
        file.attrs.update(header(artefact, content, provenance))


def create_variable(group: Any, name: str, dims: tuple[str, ...], array: np.ndarray, **attributes: Any) -> None:
    """Add one whole array to an h5netcdf group whose dimensions exist; text becomes variable-length strings."""
    text = array.dtype.kind in "OU"
    variable = group.create_variable(name, dims, h5py.string_dtype() if text else array.dtype)
    variable[...] = array.astype(object) if text else array
    variable.attrs.update(attributes)
