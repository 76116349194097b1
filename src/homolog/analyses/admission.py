"""Which runs may be compared: those that learned as much as their reference, and that read the same inputs?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import xarray as xr

from homolog.alignment.layer import Layer
from homolog.store.curves import FinalLoss
from homolog.store.runs import StoredRun


def acceptance(spec: dict[str, Any], runs: dict[str, StoredRun]) -> xr.Dataset:
    """Which runs count: those whose held-out loss matches their reference's within a share of what was learned."""
    names = list(spec["references"])
    known = {name for name in names if spec["references"][name]}
    # What others trained has no curve, and is taken as it is.
    curves = {*known, *chain(*spec["references"].values())} - (set(names) - known)
    losses = {name: runs[name].final_loss() for name in curves}
    reference = [_reference(losses, name, spec["references"][name]) for name in names]
    losses |= {name: FinalLoss(name, np.nan, np.nan, np.nan) for name in names if name not in known}
    last, first = ([getattr(losses[name], end) for name in names] for end in ("last", "first"))
    tolerance = spec["options"]["tolerance"]
    columns = {
        "test_loss": last,
        "untrained_loss": first,
        "reference_loss": reference,
        "test_accuracy": [losses[name].accuracy for name in names],
        "accepted_run": [
            name not in known or abs(own - base) <= tolerance * (start - base)
            for name, own, base, start in zip(names, last, reference, first, strict=True)
        ],
    }
    return xr.Dataset({k: ("run", v) for k, v in columns.items()}, {"run": names})


def counted_runs(accepted: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Those of some runs that count: a base is what the others must match, and has nothing to match itself."""
    verdicts = dict(zip(accepted.run.values, accepted.accepted_run.values, strict=True))
    return [name for name in names if verdicts.get(name, True)]


def _reference(losses: dict[str, FinalLoss], name: str, others: list[str]) -> float:
    """The loss that a run must match; of a base, as the run itself has measured it by its own objective, if it has."""
    if not others:
        return np.nan
    own = losses[name]
    measured = np.isfinite(own.parent)
    return float(np.median([own.parent if measured and other != name else losses[other].last for other in others]))


def check_same_inputs(layers: Iterable[Layer]) -> None:
    """Raise ValueError unless all layers were read on the same inputs, in the same order and split."""
    listed = list(layers)
    odd = [layer.run for layer in listed if layer.input_digest != listed[0].input_digest]
    if odd:
        raise ValueError(
            f"runs {listed[0].run} and {', '.join(odd)} were read on different inputs (input_id or split differ), so "
            "nothing can be compared input by input: give them the same task and n_test."
        )
