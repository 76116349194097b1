"""`training.nc`: loss and accuracy of a run by optimiser step, on train and test rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from homolog.store.files import Attributes, open_hdf5, write_hdf5
from homolog.training import Curve

ARTEFACT = "training curve"


@dataclass(frozen=True)
class FinalLoss:
    """Held-out cross-entropy (nats) before the first and after the last step of a run."""

    run: str
    first: float
    last: float
    accuracy: float


def write_curve(path: str | Path, curve: Curve, provenance: Attributes) -> None:
    """Write `loss` and `accuracy` with dims (step, split)."""
    variables = {
        "step": (("step",), np.asarray(curve.step, np.int64)),
        "split": (("split",), np.asarray(["train", "test"], object)),
        "loss": (("step", "split"), np.asarray(curve.loss, np.float64)),
        "accuracy": (("step", "split"), np.asarray(curve.accuracy, np.float64)),
    }
    write_hdf5(path, ARTEFACT, variables, provenance)


def read_final_loss(path: str | Path) -> FinalLoss:
    """Read the held-out loss at the two ends of the curve, and the final held-out accuracy."""
    with open_hdf5(path, ARTEFACT) as file:
        loss, accuracy = file["loss"][:, 1], file["accuracy"][-1, 1]
        return FinalLoss(str(file.attrs["run"]), float(loss[0]), float(loss[-1]), float(accuracy))
