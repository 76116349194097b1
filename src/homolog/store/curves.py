"""`training.nc`: loss and accuracy of a run by optimiser step, on train and test rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from homolog.store.files import Attributes, open_hdf5, write_hdf5
from homolog.training import Curve

ARTEFACT = "training curve"


@dataclass(frozen=True)
class FinalLoss:
    """Held-out loss before the first and after the last step of a run; of its `parent`, if that was measured, too."""

    run: str
    first: float
    last: float
    accuracy: float
    parent: float = math.nan


def write_curve(path: str | Path, curve: Curve, provenance: Attributes) -> None:
    """Write `loss` and `accuracy` with dims (step, split), and `parent_loss` (split) where it is known."""
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "step": (("step",), np.asarray(curve.step, np.int64)),
        "split": (("split",), np.asarray(["train", "test"], object)),
        "loss": (("step", "split"), np.asarray(curve.loss, np.float64)),
        "accuracy": (("step", "split"), np.asarray(curve.accuracy, np.float64)),
    }
    if curve.parent_loss is not None:
        variables["parent_loss"] = (("split",), np.asarray(curve.parent_loss, np.float64))
    write_hdf5(path, ARTEFACT, variables, provenance)


def read_final_loss(path: str | Path) -> FinalLoss:
    """Read the held-out loss at the two ends of the curve, and the final held-out accuracy."""
    with open_hdf5(path, ARTEFACT) as file:
        loss, accuracy = file["loss"][:, 1], file["accuracy"][-1, 1]
        parent = float(file["parent_loss"][1]) if "parent_loss" in file else math.nan
        return FinalLoss(str(file.attrs["run"]), float(loss[0]), float(loss[-1]), float(accuracy), parent)


def read_runs_curves(paths: Iterable[str | Path]) -> xr.Dataset:
    """Curves of many runs: `step`, `loss` and `accuracy` by (run, point, split), NaN behind a curve's end.

    `parent_loss` (run, split) is NaN where it isn't known. `run` is ``<model>/seed_<n>``, with `model` along it.
    """
    held = []
    for path in map(Path, paths):
        with open_hdf5(path, ARTEFACT) as file:
            parent = file["parent_loss"][...] if "parent_loss" in file else np.full(2, np.nan)
            held.append((str(file.attrs["run"]), *(file[name][...] for name in ("step", "loss", "accuracy")), parent))
    points = max((len(one[1]) for one in held), default=0)

    def stacked(place: int) -> np.ndarray:
        wide = [(0, points), *[(0, 0)] * (held[0][place].ndim - 1)] if held else []
        rows = [np.pad(one[place].astype(float), wide, constant_values=np.nan)[:points] for one in held]
        return np.stack(rows) if rows else np.empty((0, points, *[2] * (place > 1)))

    runs = [one[0] for one in held]
    return xr.Dataset(
        {
            "step": (("run", "point"), stacked(1)),
            "loss": (("run", "point", "split"), stacked(2)),
            "accuracy": (("run", "point", "split"), stacked(3)),
            "parent_loss": (("run", "split"), np.array([one[4] for one in held]).reshape(-1, 2)),
        },
        {"run": runs, "split": ["train", "test"], "model": ("run", [run.partition("/")[0] for run in runs])},
    )
