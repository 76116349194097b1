"""What do many dictionary files say of their members: whose they are, how good they are, and how they trained?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from homolog.store.files import open_hdf5

ARTEFACT = "dictionary"
CURVE = "curve_"
_WHO = ("label", "seed", "rows")
_QUALITY = ("fvu", "l0", "dead_fraction", "loss_recovered")


def read_members(paths: Iterable[str | Path], untrained: Mapping[str, bool]) -> xr.Dataset:
    """Members of ``<model>/seed_<n>/<hook_point>/<decomposition>.h5`` files; their weights are not read.

    `untrained` says of every run to take whether it is its model at step 0; files of other runs are passed over. Dims
    are `member` and `point`. Along `member`: `run`, `hook_point`, `decomposition`, `label`, `seed`, `rows`,
    `untrained`, and `fvu`, `l0`, `dead_fraction` on the rows that it was fitted to, and `loss_recovered` (NaN where a
    file doesn't say). ``curve_<name> (member, point)``
    is what was logged in training, at ``curve_step``; NaN behind the end of a curve, and where a method logs no such
    thing. Raises ValueError when a file is absent, truncated or foreign, or when there is none of these runs.
    """
    columns: dict[str, list[Any]] = {}
    curves: list[dict[str, np.ndarray]] = []
    for path in map(Path, paths):
        run = "/".join(path.parts[-4:-2])
        if run not in untrained:
            continue
        with open_hdf5(path, ARTEFACT) as file:
            found: dict[str, Any] = {name: plain(file[name]) for name in (*_WHO, *_QUALITY[:-1])}
            found["loss_recovered"] = (
                plain(file["loss_recovered"]) if "loss_recovered" in file else [np.nan] * len(found["seed"])
            )
            logged = read_curves(file)
        here = {"run": run, "hook_point": path.parent.name, "decomposition": path.stem, "untrained": untrained[run]}
        members = len(found["seed"])
        for name, values in (found | {name: [value] * members for name, value in here.items()}).items():
            columns.setdefault(name, []).extend(values)
        curves += [{name: array[i] for name, array in logged.items()} for i in range(members)]
    if not curves:
        raise ValueError(f"no dictionary of the runs {', '.join(untrained)} was given: give the path of one at least.")
    along = {name: ("member", values) for name, values in columns.items()}
    quality = {name: along.pop(name) for name in _QUALITY}
    return xr.Dataset(quality | _stack(curves), along)


def _stack(curves: list[dict[str, np.ndarray]]) -> dict[str, tuple[tuple[str, str], np.ndarray]]:
    """Curves of all names, padded to the longest one; names in the order in which they come up."""
    names = dict.fromkeys(name for curve in curves for name in curve)
    points = max((len(array) for curve in curves for array in curve.values()), default=0)
    stacked = {name: np.full((len(curves), points), np.nan) for name in names}
    for index, curve in enumerate(curves):
        for name, array in curve.items():
            stacked[name][index, : len(array)] = array
    return {CURVE + name: (("member", "point"), array) for name, array in stacked.items()}


def read_curves(file: h5py.File) -> dict[str, np.ndarray]:
    """Every curve in an open dictionary file by its name, (member, point), NaN behind its end; {} of linear methods."""
    return {name.removeprefix(CURVE): file[name][...] for name in file if name.startswith(CURVE)}


def plain(variable: h5py.Dataset) -> list[Any]:
    """One fact of every member as plain Python values."""
    return [value.decode() if isinstance(value, bytes) else value.item() for value in variable[...]]
