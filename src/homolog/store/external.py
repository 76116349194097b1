"""How do activations that others recorded become a run's: which rows, inputs and classes, block by block?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homolog.activations import FREE, HookPoint
from homolog.decompositions.samples import BLOCK, Samples
from homolog.store.arrays import samples_of
from homolog.store.recorded import IDS, LABELS, along_rows, array_of, headers
from homolog.tasks.base import UNKNOWN, Data, split_at_random

# The key of the split: one for all runs, so that equal numbers of rows are cut alike.
SPLIT = "external"


@dataclass(frozen=True)
class External:
    """Hook points of one run as they were recorded; `data` says what its rows are, and holds no inputs."""

    samples: dict[str, Samples]
    data: Data

    @property
    def hook_points(self) -> list[HookPoint]:
        """No symmetry and no weights are known of them."""
        return [HookPoint(name, samples.units, FREE, None) for name, samples in self.samples.items()]

    def batches(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """First row and values by hook point, block by block."""
        for start in range(0, len(self.data.labels), BLOCK):
            yield start, {name: samples.read(start, start + BLOCK) for name, samples in self.samples.items()}


def read_external(spec: dict[str, Any], run: str) -> External:
    """The activations that `spec` names: `sources` (hook point, path, alone), and `n_test`; None is half of the rows.

    Raises ValueError, one line, for a file or an array that is absent or unfit, values that aren't finite, and hook
    points whose rows are not the same.
    """
    samples: dict[str, Samples] = {}
    known: dict[str, tuple[str, np.ndarray]] = {}
    for source in spec["sources"]:
        path, name = Path(source["path"]), source["hook_point"]
        samples[name] = samples_of(path, _place(path, array_of(path, headers(path), name, source["alone"])))
        rows, first = samples[name].samples, next(iter(samples))
        if rows != samples[first].samples:
            raise ValueError(
                f"{run}: {name} has {rows} rows, and {first} {samples[first].samples}: record every hook point on the "
                "same inputs."
            )
        for kind in (IDS, LABELS):
            found = along_rows(path, kind, rows)
            if found is not None and not np.array_equal(known.setdefault(kind, (name, found))[1], found):
                raise ValueError(
                    f"{run}: {name} and {known[kind][0]} differ in {kind}: sort the rows of both by {IDS}, and leave "
                    "out those that only one has."
                )
    return External(samples, _rows(run, rows, spec["n_test"], {kind: array for kind, (_, array) in known.items()}))


def _place(path: Path, array: str) -> str | None:
    return None if path.suffix == ".npy" else array


def _rows(run: str, rows: int, n_test: int | None, known: dict[str, np.ndarray]) -> Data:
    if IDS not in known:
        logging.getLogger(__name__).warning(
            "%s: its files hold no %s, so its rows are taken for the same inputs, in the same order, as other runs'",
            run,
            IDS,
        )
    labels = torch.from_numpy(known.get(LABELS, np.full(rows, UNKNOWN)))
    data = split_at_random(torch.empty(rows, 0), labels, rows // 2 if n_test is None else n_test, SPLIT)
    return replace(data, input_id=torch.from_numpy(known.get(IDS, np.arange(rows))))
