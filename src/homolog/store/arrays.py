"""How do activations that others made come in: an array, or a file that holds one?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import h5py
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from homolog.decompositions.samples import InMemory, Samples
from homolog.store.activation_samples import (
    IN_MEMORY_BYTES,
    InFile,
    all_finite,
    choose_samples,
    load_if_small,
    open_activations,
)
from homolog.store.activations import ARTEFACT
from homolog.store.recorded import HDF5, IDS, KINDS, along_rows, readable
from homolog.tasks.base import TRAIN


def samples_of(
    source: Tensor | np.ndarray | str | Path,
    hook_point: str | None = None,
    device: str | torch.device = "cpu",
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Samples:
    """Activations of shape (samples, units) from a tensor, an array, or a file: .npy, .npz, .h5 or .hdf5.

    `hook_point` names the array of an .npz, the dataset of an HDF5 file, or the hook point of an activation file of
    the pipeline, of which the train rows are taken as the network computes them, without a gauge. It may be left out
    where there is only one. Values come as float32; an HDF5 file that is larger than `in_memory_bytes` stays on disk.
    Raises ValueError, one line, for a file that is absent or of another kind, for arrays that aren't 2-D, are empty
    or don't hold real numbers, for a name that isn't there, and for values that aren't finite (from a large file:
    when they are read).
    """
    if isinstance(source, Tensor | np.ndarray):
        return _in_memory(source, "activations", device)
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"{path} isn't there: give the path of a file ({', '.join(KINDS)}).")
    if path.suffix not in KINDS:
        raise ValueError(f"{path} is of no kind that is read: give one of {', '.join(KINDS)}.")
    if path.suffix in HDF5:
        return _from_hdf5(path, hook_point, device, in_memory_bytes)
    return _in_memory(*_read_numpy(path, hook_point), device)


def input_ids_of(path: str | Path, samples: int) -> Int[Tensor, " samples"] | None:
    """Which input each of the `samples` rows is that `samples_of` takes from a file; None where the file doesn't say.

    Of an activation file of the pipeline they are those of the train rows; else `input_id` beside the array of an .npz
    or at the root of an HDF5 file. Raises ValueError if that isn't one whole number for each row.
    """
    path = Path(path)
    if path.suffix in HDF5:
        with h5py.File(path, "r") as file:
            if file.attrs.get("homolog_artefact") == ARTEFACT:
                return torch.from_numpy(file[IDS][...][file["split"][...] == TRAIN])
    found = along_rows(path, IDS, samples)
    return None if found is None else torch.from_numpy(found)


def _read_numpy(path: Path, hook_point: str | None) -> tuple[np.ndarray, str]:
    """The array and what to call it."""
    try:
        # Pickles, which may run code, are refused. A lone array isn't copied ("c": nor is the file ever written to).
        loaded = np.load(path, mmap_mode="c")
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise _unreadable(path, error) from error
    if isinstance(loaded, np.ndarray):
        return loaded, str(path)
    with loaded:
        name = _choose(path, "array", list(loaded.files), hook_point)
        try:
            return loaded[name], f"{path}: {readable([name])}"
        except (ValueError, BadZipFile) as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(f"{path} can't be read as {path.suffix}: it is truncated or something else ({reason}).")


def _from_hdf5(path: Path, hook_point: str | None, device: str | torch.device, in_memory_bytes: int) -> Samples:
    try:
        with h5py.File(path, "r") as file:
            ours = file.attrs.get("homolog_artefact") == ARTEFACT
            found = [name for name, item in file.items() if isinstance(item, h5py.Group)] if ours else _matrices(file)
            kind = "hook point" if ours else "2-D dataset"
            asked = hook_point.strip("/") if hook_point else None
            name = _choose(path, kind, found, asked)
            data = file[f"{name}/activations" if ours else name]
            _check(data.shape, data.dtype, f"{path}: {readable([name])}")
    except OSError as error:
        raise _unreadable(path, error) from error
    if ours:
        stored = open_activations(path, name)
        return choose_samples(stored, stored.rows.where(TRAIN), None, device, in_memory_bytes)
    samples = InFile(path, name, partial(_not_finite, f"{path}: {readable([name])}"), device=device)
    return load_if_small(samples, in_memory_bytes)


def _matrices(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) == 2 else None)
    return names


def _choose(path: Path, kind: str, found: list[str], name: str | None) -> str:
    """The one that is named, or the only one."""
    there = f"it has {readable(found)}"
    if name is not None and name not in found:
        raise ValueError(f"{path} has no {kind} {name!r}; {there}: choose one of these as hook_point.")
    if name is None and len(found) != 1:
        raise ValueError(f"{path} needs to hold one {kind}, or hook_point must name one; {there}.")
    return name if name is not None else found[0]


def _in_memory(array: Tensor | np.ndarray, name: str, device: str | torch.device) -> InMemory:
    _check(tuple(array.shape), array.dtype, name)
    if isinstance(array, np.ndarray):
        with np.errstate(over="ignore"):  # What is too large becomes infinite, and is told.
            array = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    values = array.detach().to(device, torch.float32)
    if not all_finite(values):
        raise _not_finite(name, int((~values.isfinite()).sum()))
    return InMemory(values)


def _check(shape: tuple[int, ...], dtype: np.dtype | torch.dtype, name: str) -> None:
    real = not dtype.is_complex if isinstance(dtype, torch.dtype) else dtype.kind in "biuf"
    if not real:
        raise ValueError(f"{name} holds {dtype}, and activations are real numbers: convert it to float32.")
    if len(shape) != 2:
        raise ValueError(
            f"{name} has shape {tuple(shape)}, and activations are (samples, units): reshape it to two dimensions."
        )
    if min(shape) == 0:
        raise ValueError(f"{name} of shape {tuple(shape)} (samples, units) is empty: give at least one of each.")


def _not_finite(name: str, count: int) -> ValueError:
    return ValueError(f"{name} holds {count} values that aren't finite in float32: leave out the rows that hold them.")
