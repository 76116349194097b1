"""Do activations that others made come in whole, and are they refused in one clear line when they can't?"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from making import gaussian

from homolog.store.arrays import samples_of


def write(path: Path, values: Any, name: str = "x") -> Path:
    with h5py.File(path, "a") as file:
        file[name] = values
    return path


def test_arrays_come_in_as_float32(tmp_path: Path) -> None:
    values = gaussian(20, 3).numpy()
    expected = torch.from_numpy(values.astype(np.float32))
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "one.npz", values)
    np.savez(tmp_path / "two.npz", x=values, y=values[:5])
    write(tmp_path / "one.h5", values, "deep/x")
    write(tmp_path / "one.h5", values[0], "labels")
    write(tmp_path / "two.hdf5", values, "x")
    write(tmp_path / "two.hdf5", values[:5], "y")
    given = [(torch.from_numpy(values), None), (values, None), (values[::-1][::-1], None)]
    given += [(tmp_path / "a.npy", None), (str(tmp_path / "one.npz"), None), (tmp_path / "two.npz", "x")]
    given += [(tmp_path / "one.h5", None), (tmp_path / "one.h5", "/deep/x"), (tmp_path / "two.hdf5", "x")]
    for source, hook_point in given:
        for limit in (0, 2**20):
            assert torch.equal(samples_of(source, hook_point, in_memory_bytes=limit).whole(), expected)


def made(path: Path, kind: str) -> Path:
    """A file that can't be read as activations."""
    values, path = np.ones((4, 3), np.float32), path / kind
    if kind == "two.npz":
        np.savez(path, x=values, y=values)
    elif kind == "two.h5":
        write(write(path, values, "x"), values, "deep/y")
    elif kind == "none.h5":
        write(path, values[0])
    elif kind == "text.npy":
        np.save(path, np.asarray([["a", "b"]]))
    elif kind == "pickled.npy":
        np.save(path, np.asarray([[None]]))
    elif kind == "text.h5":
        write(path, np.asarray([[b"a", b"b"]]))
    elif kind == "empty.h5":
        write(path, values[:0])
    else:
        path.write_text("nothing of the kind")
    return path


@pytest.mark.parametrize(
    ("kind", "hook_point", "message"),
    [
        ("two.npz", None, r"needs to hold one array, or hook_point must name one; it has x, y\."),
        ("two.npz", "z", r"has no array 'z'; it has x, y: choose one of these as hook_point\."),
        ("two.h5", None, r"needs to hold one 2-D dataset, or hook_point must name one; it has deep/y, x\."),
        ("two.h5", "z", "has no 2-D dataset 'z'; it has deep/y, x: choose one"),
        ("none.h5", None, "needs to hold one 2-D dataset, .*; it has none"),
        ("text.npy", None, "text.npy holds <U1, and activations are real numbers: convert it to float32"),
        ("text.h5", None, r"text.h5: x holds \|S1, and activations are real numbers"),
        ("pickled.npy", None, "pickled.npy can't be read as .npy: it is truncated or something else"),
        ("empty.h5", None, r"empty.h5: x of shape \(0, 3\) \(samples, units\) is empty"),
        ("broken.h5", None, "broken.h5 can't be read as .h5: it is truncated or something else"),
        ("broken.npy", None, "broken.npy can't be read as .npy"),
        ("broken.npz", None, "broken.npz can't be read as .npz"),
        ("table.csv", None, r"table.csv is of no kind that is read: give one of .npy, .npz, .h5, .hdf5"),
    ],
)
def test_files_that_hold_no_activations(tmp_path: Path, kind: str, hook_point: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        samples_of(made(tmp_path, kind), hook_point)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent.h5 isn't there: give the path of a file \(.npy, .npz, .h5, .hdf5\)"):
        samples_of(tmp_path / "absent.h5")


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_arrays_that_are_no_activations(library: str) -> None:
    def given(array: np.ndarray) -> Any:
        return torch.from_numpy(array) if library == "torch" else array

    for shape in [(3,), (2, 3, 4)]:
        with pytest.raises(ValueError, match=r"activations has shape .*, and activations are \(samples, units\)"):
            samples_of(given(np.ones(shape)))
    for shape in [(0, 3), (3, 0)]:
        with pytest.raises(ValueError, match=r"of shape .* \(samples, units\) is empty: give at least one of each"):
            samples_of(given(np.ones(shape)))
    with pytest.raises(ValueError, match=r"holds .*complex128, and activations are real numbers"):
        samples_of(given(np.ones((2, 3), complex)))
    with pytest.raises(ValueError, match="holds 3 values that aren't finite in float32"):
        samples_of(given(np.asarray([[1.0, np.nan], [np.inf, 1e300]])))


@pytest.mark.parametrize("limit", [0, 2**20])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, limit: int) -> None:
    """In memory at once, from a large file when they are read. Large finite values are none of them."""
    values = np.full((40, 3), 3e38, np.float32)
    assert torch.isfinite(samples_of(write(tmp_path / "a.h5", values), in_memory_bytes=limit).whole()).all()
    values[[3, 30], 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"b.h5: x holds 2 values that aren't finite in float32: leave out the rows"):
        samples_of(write(tmp_path / "b.h5", values), in_memory_bytes=limit).whole()
