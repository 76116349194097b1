"""What do files that others wrote hold, told from their headers? (Planning asks too: no torch is imported here.)"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import h5py
import numpy as np

HDF5 = (".h5", ".hdf5")
KINDS = (".npy", ".npz", *HDF5)
# Arrays along the rows that are no activations: which input each row is, and its class.
IDS, LABELS = "input_id", "label"
# Rows for each unit: with fewer the spectrum of the activations isn't known, within which the null turns directions.
FEWEST_ROWS = 4


@dataclass(frozen=True)
class Header:
    """Shape and type of an array, which isn't read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def headers(path: Path) -> dict[str, Header]:
    """Every array of a .npy, .npz or HDF5 file by its name. Raises ValueError, one line, for any other file."""
    if not os.path.isfile(path):  # Of a name that is too long, Path.is_file raises.
        raise ValueError(f"{path} isn't there: give the path of a file ({', '.join(KINDS)}).")
    if path.suffix not in KINDS:
        raise ValueError(f"{path} is of no kind that is read: give one of {', '.join(KINDS)}.")
    found: dict[str, Header] = {}
    with _told(path):
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                found[path.stem] = _header(stream)
        elif path.suffix == ".npz":
            with ZipFile(path) as archive:
                for name in archive.namelist():
                    with archive.open(name) as stream:
                        found[name.removesuffix(".npy")] = _header(stream)
        else:
            with h5py.File(path, "r") as file:
                file.visititems(lambda name, item: found.update(_of_dataset(name, item)))
    return found


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        text = f"{path} can't be read as {path.suffix}: it is truncated or something else ({reason})."
        raise ValueError(text) from error


def _header(stream: Any) -> Header:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    return Header(tuple(shape), dtype)


def _of_dataset(name: str, item: Any) -> dict[str, Header]:
    return {name: Header(item.shape, item.dtype)} if isinstance(item, h5py.Dataset) and item.shape is not None else {}


def array_of(path: Path, found: dict[str, Header], hook_point: str, alone: bool) -> str:
    """The array of a hook point in a file: that of its name, dots for slashes; or `alone`, the only 2-D one.

    Raises ValueError, one line, when there is none, or it isn't what activations are.
    """
    matrices = [name for name, header in found.items() if len(header.shape) == 2]
    named = [name for name in found if name.replace("/", ".") == hook_point]
    chosen = named or (matrices if alone and len(matrices) == 1 else [])
    if not chosen:
        raise ValueError(f"{path} has no array {hook_point!r}; it has {readable(found)}: take hook_points from these.")
    shape, dtype, name = found[chosen[0]].shape, found[chosen[0]].dtype, readable(chosen[:1])
    if dtype.kind not in "biuf":
        raise ValueError(f"{path}: {name} holds {dtype}, and activations are real numbers: convert it to float32.")
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{path}: {name} has shape {shape}, and activations are (samples, units): reshape it.")
    return chosen[0]


def readable(names: Iterable[str]) -> str:
    """Names that stand in a file, for a message of one line: they could hold anything, line ends too."""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names) or "none"


def along_rows(path: Path, name: str, samples: int) -> np.ndarray | None:
    """`input_id` or `label`, one for each of so many rows, where a file holds it; a ValueError if it isn't that."""
    with _told(path):
        found = _read(path, name)
    if found is None:
        return None
    if found.shape != (samples,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {name} has shape {found.shape} and type {found.dtype}; allowed: one whole number for each of the "
            f"{samples} rows."
        )
    return found.astype(np.int64)


def check_same_ids(known: list[tuple[str, np.ndarray]]) -> None:
    """Raise ValueError unless all runs, of equal numbers of rows, name the same inputs in the same order."""
    for name, ids in known[1:]:
        first, expected = known[0]
        odd = np.flatnonzero(ids != expected)
        if len(odd):
            row = odd[0]
            raise ValueError(
                f"{len(odd)} of {len(ids)} rows of {name} have another {IDS} than those of {first}, first row {row} "
                f"({ids[row]}, {expected[row]}): sort both by {IDS}, and leave out rows that only one has."
            )


def _read(path: Path, name: str) -> np.ndarray | None:
    if path.suffix == ".npz":
        with np.load(path) as file:
            return np.asarray(file[name]) if name in file.files else None
    if path.suffix in HDF5:
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][...]) if isinstance(file.get(name), h5py.Dataset) else None
    return None
