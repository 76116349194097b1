"""On which rows are dictionaries compared: activations as they were given, the same inputs in every run, two halves?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from homolog.alignment.gauge import Gauge, no_gauge
from homolog.alignment.nulls import permute_within
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.moments import Moments, moments
from homolog.decompositions.samples import InMemory, Samples
from homolog.decompositions.split import halves_of, rows_of_halves
from homolog.store.activation_samples import choose_samples, open_activations
from homolog.store.activations import ARTEFACT
from homolog.store.arrays import input_ids_of, samples_of
from homolog.store.recorded import HDF5, IDS, along_rows, check_same_ids
from homolog.streams import stream
from homolog.tasks.base import HALF_A, HALF_B, TEST

Source = Any
# Which half of the rows pairs are chosen on, and on which they are scored.
FOLDS = {"match": "a", "score": "b"}


@dataclass(frozen=True)
class Rows:
    """Activations of one run: pairs are chosen on `match`, and scored on `score`, disjoint halves of the rows.

    `ids` names the inputs, where that is known. `order` lists the model's units as they stand here: the canonical
    order of a file of the pipeline, which also says which rows are which half (`halves`; drawn at random without it).
    `labels` are the whole numbers within which the conditional null shuffles, by fold (``match``, ``score``).
    """

    whole: Samples
    ids: Int[Tensor, " rows"] | None = None
    order: Int[Tensor, " units"] | None = None
    halves: dict[str, Samples] | None = None
    labels: dict[str, Int[Tensor, " half"]] | None = None

    @cached_property
    def folds(self) -> dict[str, Samples]:
        halves = self.halves or halves_of(self.whole)
        return {fold: halves[half] for fold, half in FOLDS.items()}

    @cached_property
    def moments(self) -> Moments:
        return moments(self.whole)


def read_rows(
    sources: list[Source], gauges: list[str], hook_points: list[str | None], labels: Source | None = None
) -> tuple[list[Rows], list[int]]:
    """Rows of each run, and the number of the first run that shares its activations, and so its basis.

    `labels` are whole numbers, one for each row, or what an activations.h5 calls them.
    Activations are shared when they are one object, one hook point of one file, or equal arrays. Raises ValueError
    when the rows of two runs aren't the same inputs, by number or by their ids.
    """
    rows: list[Rows] = []
    basis: list[int] = []
    for index, (source, gauge, hook_point) in enumerate(zip(sources, gauges, hook_points, strict=True)):
        same = [
            first
            for first in range(index)
            if gauges[first] == gauge and hook_points[first] == hook_point and _is_same(sources[first], source)
        ]
        basis.append(same[0] if same else index)
        rows.append(rows[same[0]] if same else _read(source, gauge, hook_point, labels))
    return rows, basis


def check_rows(rows: list[Rows], names: list[str]) -> str:
    """What is to be told of how rows answer to each other; a ValueError if they don't."""
    for one, name in zip(rows[1:], names[1:], strict=True):
        if one.whole.samples != rows[0].whole.samples:
            raise ValueError(
                f"activations of {name} have {one.whole.samples} rows, and those of {names[0]} "
                f"{rows[0].whole.samples}: read every run on the same inputs, in the same order."
            )
    known = [(name, one.ids.numpy()) for one, name in zip(rows, names, strict=True) if one.ids is not None]
    check_same_ids(known)
    apart = len({id(one) for one in rows})
    if apart == 1 or len(known) == len(rows):
        return ""
    return f"rows of different runs were taken as given: {len(known)} of {len(rows)} name their inputs ({IDS})"


def _is_same(one: Source, other: Source) -> bool:
    if one is other:
        return True
    if isinstance(one, str | Path) and isinstance(other, str | Path):
        return Path(one).resolve() == Path(other).resolve()
    if isinstance(one, Tensor | np.ndarray) and isinstance(other, Tensor | np.ndarray):
        return one.shape == other.shape and bool((torch.as_tensor(one) == torch.as_tensor(other)).all())
    return False


def _read(source: Source, gauge: str, hook_point: str | None, labels: Source | None) -> Rows:
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.suffix in HDF5 and path.is_file() and _is_ours(path):
        return _from_pipeline(path, gauge, hook_point, labels)
    if gauge != "none":
        raise ValueError(
            f"a dictionary was fitted in the gauge {gauge}, which only its activations.h5 knows: give that file as its "
            "activations."
        )
    whole = samples_of(source, hook_point)
    if isinstance(whole, InMemory) and not whole.finite:
        raise ValueError("activations hold values that aren't finite: leave out the rows that hold them.")
    ids = None if path is None else input_ids_of(path, whole.samples)
    return Rows(whole, ids, labels=None if labels is None else _labels(path, labels, whole.samples))


def _labels(path: Path | None, given: Source, samples: int) -> dict[str, Tensor]:
    """Labels of both folds, from an array or, by their name, from the file with the activations."""
    if isinstance(given, str):
        found = None if path is None else along_rows(path, given, samples)
        if found is None:
            raise ValueError(
                f"no array {given!r} lies beside the activations: give labels as an array, one for each row."
            )
        given = found
    labels = torch.as_tensor(given)
    if labels.shape != (samples,) or labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} and type {labels.dtype}; allowed: one whole number for each of "
            f"the {samples} rows."
        )
    rows = rows_of_halves(samples)
    return _checked({fold: labels[rows[half]].long() for fold, half in FOLDS.items()})


def _checked(labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Raise ValueError where no two rows of a half share a label: nothing could be shuffled."""
    for half in labels.values():
        permute_within(half, stream("check"))
    return labels


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("homolog_artefact") == ARTEFACT)
    except OSError:
        return False  # `samples_of` says what is wrong.


def _from_pipeline(path: Path, gauge: str, hook_point: str | None, labels: Source | None) -> Rows:
    """The test rows of an activations.h5, in the gauge, units in canonical order."""
    if hook_point is None:
        with h5py.File(path, "r") as file:
            names = [name for name, item in file.items() if isinstance(item, h5py.Group)]
        if len(names) != 1:
            raise ValueError(f"{path} holds the hook points {', '.join(names)}: name one as hook_point.")
        hook_point = names[0]
    stored = open_activations(path, hook_point)
    test = stored.rows.where(TEST)
    chosen: Gauge | None = choose_gauge(gauge, stored) if gauge != "none" else None
    if chosen is not None and chosen.rotation is not None:
        chosen = replace(chosen, rotation=None)  # Dictionaries are stored over the model's own axes.
    order = (no_gauge(stored.units) if chosen is None else chosen).order
    halves = {
        name: choose_samples(stored, stored.rows.where(TEST, half), chosen)
        for name, half in (("a", HALF_A), ("b", HALF_B))
    }
    within = None
    if labels is not None:
        if not isinstance(labels, str):
            raise ValueError(f'labels of {path} go by their name there, as "label"; {type(labels).__name__} was given.')
        named = stored.rows.named(labels)
        rows = {"match": stored.rows.where(TEST, HALF_A), "score": stored.rows.where(TEST, HALF_B)}
        within = _checked({fold: named[index].long() for fold, index in rows.items()})
    return Rows(choose_samples(stored, test, chosen), stored.rows.input_id[test], order, halves, within)
