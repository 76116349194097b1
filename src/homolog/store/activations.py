"""`activations.h5`: what the hook points of a run read, a group each, with the gauge that makes runs comparable."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.activations import FREE, Block, HookPoint, Totals
from homolog.alignment.gauge import Gauge
from homolog.store.files import Attributes, create_variable, header, new_hdf5, open_hdf5, plain_attributes
from homolog.tasks.base import TRAIN, Data

ARTEFACT = "activations"
CHUNK_BYTES = 2 * 2**20


def write_activations(
    path: str | Path,
    hook_points: list[HookPoint],
    batches: Iterator[tuple[int, dict[str, Tensor]]],
    data: Data,
    dtype: str,
    provenance: Attributes,
) -> None:
    """Write batches of activations of `data`, in its order, as they come.

    Raises ValueError when a value does not fit `dtype` (float16 reaches to 65504).
    """
    names = torch.arange(len(data.labels)) if data.input_id is None else data.input_id
    numbers = {"split": data.split, "half": data.half, "input_id": names, "label": data.labels}

    def blocks() -> Iterator[Block]:
        for start, batch in batches:
            stop = start + len(next(iter(batch.values())))
            yield Block(start, batch, {name: values[start:stop] for name, values in numbers.items()})

    write_blocks(path, hook_points, blocks(), len(data.labels), dtype, provenance)


def write_blocks(
    path: str | Path,
    hook_points: list[HookPoint],
    blocks: Iterator[Block],
    samples: int,
    dtype: str,
    provenance: Attributes,
) -> None:
    """Write blocks of `samples` rows in all as they come, so that memory does not grow with their number.

    Raises ValueError when a value does not fit `dtype` (float16 reaches to 65504).
    """
    # One for each array, so that the hash doesn't depend on the size of the blocks.
    digests: dict[str, Any] = defaultdict(hashlib.sha256)
    # Kept: h5netcdf takes long to find one.
    variables: dict[str, Any] = {}
    totals = {hook_point.name: Totals(hook_point) for hook_point in hook_points}
    with new_hdf5(path) as file:
        file.dimensions["sample"] = samples
        for hook_point in hook_points:
            variables[f"/{hook_point.name}"] = _create_group(file, hook_point, samples, np.dtype(dtype))
        for block in blocks:
            rows = np.s_[block.start : block.start + len(block.numbers["split"])]
            parts = {name: numbers.numpy() for name, numbers in block.numbers.items()}
            for name in [name for name in parts if name not in variables]:
                variables[name] = _create_numbers(file, name, parts[name].dtype, samples)
            parts |= {f"/{name}": _as_dtype(values, dtype, name) for name, values in block.activations.items()}
            for name, part in parts.items():
                variables[name][rows] = part
                digests[name].update(np.ascontiguousarray(part).view(np.uint8))
            for name, values in block.activations.items():
                if totals[name].hook_point.symmetry != FREE:
                    totals[name].add(values[block.numbers["split"] == TRAIN])
        for hook_point in hook_points:
            _write_gauge(file[hook_point.name], totals[hook_point.name].gauge())
        whole = "".join(f"{name} {dtype} {digests[name].hexdigest()}" for name in sorted(digests))
        file.attrs.update(header(ARTEFACT, hashlib.sha256(whole.encode()).hexdigest()[:16], provenance))


def _create_numbers(file: Any, name: str, dtype: np.dtype, samples: int) -> Any:
    """The variable of whole numbers along `sample`."""
    # Chunks of 2 MiB: what a block writes stays small beside the activations.
    rows = max(1, min(samples, CHUNK_BYTES // dtype.itemsize))
    variable = file.create_variable(name, ("sample",), dtype, chunks=(rows,))
    meanings = {"split": "train test", "half": "a b"}
    if name in meanings:
        variable.attrs.update({"flag_values": np.asarray([0, 1], np.int8), "flag_meanings": meanings[name]})
    return variable


def _create_group(file: Any, hook_point: HookPoint, samples: int, dtype: np.dtype) -> Any:
    """The group of a hook point, of which the variable for its activations is given back."""
    group = file.create_group(hook_point.name)
    group.dimensions["unit"] = hook_point.units
    rows = max(1, min(samples, CHUNK_BYTES // (hook_point.units * dtype.itemsize)))
    activations = group.create_variable("activations", ("sample", "unit"), dtype, chunks=(rows, hook_point.units))
    group.attrs["symmetry"] = hook_point.symmetry
    if hook_point.basis:
        group.attrs["basis"] = hook_point.basis
    if hook_point.write_out is not None:
        group.dimensions["next_unit"] = len(hook_point.write_out)
        create_variable(group, "write_out", ("next_unit", "unit"), hook_point.write_out.numpy())
    return activations


def _write_gauge(group: Any, gauge: Gauge) -> None:
    create_variable(group, "gauge_scale", ("unit",), gauge.scale.numpy())
    create_variable(group, "gauge_order", ("unit",), gauge.order.numpy())
    if gauge.rotation is not None:
        group.dimensions["axis"] = len(gauge.order)
        create_variable(group, "gauge_rotation", ("unit", "axis"), gauge.rotation.contiguous().numpy())


def _as_dtype(values: Tensor, dtype: str, name: str) -> np.ndarray:
    least, most = torch.aminmax(values)
    largest, limit = max(-float(least), float(most)), float(np.finfo(dtype).max)
    if largest > limit:
        raise ValueError(
            f"activations at {name} reach {largest:.4g}, and {dtype} reaches only to {limit:.5g}: "
            "set `activations: {dtype: float32}` in the model's recipe."
        )
    # By torch, which is many times as quick as numpy with float16.
    return values.to(getattr(torch, dtype)).numpy()


@dataclass(frozen=True)
class Rows:
    """What the rows of an activation file are: split (0 train, 1 test), half (0 a, 1 b), label, and input id.

    `more` are further whole numbers of each row that a file may hold, by name, such as ``token_id`` or ``document``.
    """

    split: Int[Tensor, " samples"]
    half: Int[Tensor, " samples"]
    label: Int[Tensor, " samples"]
    input_id: Int[Tensor, " samples"]
    more: dict[str, Int[Tensor, " samples"]] = field(default_factory=dict)

    def named(self, name: str) -> Int[Tensor, " samples"]:
        """Whole numbers of each row by their name in the file; a ValueError lists those that there are."""
        known = {"label": self.label, "input_id": self.input_id, **self.more}
        if name not in known:
            raise ValueError(
                f"the rows have no {name!r}; they have {', '.join(sorted(known))}: choose one of these, or write whole "
                "numbers of that name along `sample` into activations.h5 and run `python -m homolog seal` on it."
            )
        return known[name]

    def where(self, split: int, half: int | None = None) -> Int[Tensor, " rows"]:
        """Row numbers of a split, or of one half of it, ascending."""
        mask = self.split == split if half is None else (self.split == split) & (self.half == half)
        return torch.nonzero(mask).squeeze(1)


@dataclass(frozen=True)
class Activations:
    """One hook point of one run, as the network computes it, with its gauge and its map to the next layer."""

    run: str
    hook_point: str
    values: Float[Tensor, "samples units"]
    rows: Rows
    gauge: Gauge
    write_out: Float[Tensor, "next_units units"] | None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> int:
        return self.values.shape[1]


def read_activations(path: str | Path, hook_point: str) -> Activations:
    """Read one hook point (float32); a ValueError lists the file's hook points when it has no such one."""
    with open_hdf5(path, ARTEFACT) as file:
        group = hook_point_group(file, path, hook_point)
        values = torch.from_numpy(group["activations"][...].astype(np.float32))
        if not torch.isfinite(values).all():
            raise not_finite(path, hook_point, int((~torch.isfinite(values)).sum()))
        return Activations(hook_point=hook_point, values=values, **facts_of(file, group))


def hook_point_group(file: h5py.File, path: str | Path, hook_point: str) -> h5py.Group:
    """The group of a hook point; a ValueError lists those of the file when it has no such one."""
    names = [name for name, item in file.items() if isinstance(item, h5py.Group)]
    if hook_point not in names:
        raise ValueError(
            f"{path} has no hook point {hook_point!r}; it has {', '.join(names)}: choose one of these, or add it "
            "to `activations: {hook_points: [...]}` of the model."
        )
    return file[hook_point]


def not_finite(path: str | Path, hook_point: str, count: int) -> ValueError:
    """What to say when a hook point holds values that aren't finite."""
    return ValueError(
        f"{path}: activations at {hook_point} hold {count} values that aren't finite: delete the file and build it "
        f"again with `snakemake {path}`."
    )


_ROWS = ("split", "half", "label", "input_id")


def _further_rows(file: h5py.File) -> dict[str, Tensor]:
    """Whole numbers along `sample` at the file's root, besides those that every file has."""
    shape = file["split"].shape
    found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.shape == shape}
    return {
        name: torch.from_numpy(item[...].astype(np.int64))
        for name, item in found.items()
        if name not in _ROWS and item.dtype.kind in "iu" and not item.is_scale
    }


def facts_of(file: h5py.File, group: h5py.Group) -> dict[str, Any]:
    """All of a hook point but its values: run, rows, gauge, outgoing weights, attributes."""
    return {
        "run": str(file.attrs["run"]),
        "rows": Rows(**{name: torch.from_numpy(file[name][...]) for name in _ROWS}, more=_further_rows(file)),
        "gauge": Gauge(
            torch.from_numpy(group["gauge_scale"][...]),
            torch.from_numpy(group["gauge_order"][...]),
            shift=group.attrs["symmetry"] in ("shift", "rotate_fix_ones"),
            rotation=torch.from_numpy(group["gauge_rotation"][...]) if "gauge_rotation" in group else None,
        ),
        "write_out": torch.from_numpy(group["write_out"][...]) if "write_out" in group else None,
        "attributes": plain_attributes(file) | ({"basis": group.attrs["basis"]} if "basis" in group.attrs else {}),
    }
