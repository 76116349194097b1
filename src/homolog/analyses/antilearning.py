"""Which recipe learns X so that a related Y is never learned, and which only hides that it was?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.analyses.antilearning_verdicts import derived, gate_of
from homolog.antilearning.base import TaskPair
from homolog.antilearning.measuring import PROBES, answers, area_to_scratch, probed, relearn
from homolog.antilearning.techniques.base import Model, Part
from homolog.antilearning.techniques.learn_y import LearnY
from homolog.antilearning.training import begun, train
from homolog.loading import build, load

Progress = Callable[[Iterable[Any]], Iterable[Any]]
Spec = dict[str, Any]
ANCHORS = ("random init", "X only", "X and Y", "Y from scratch")


@dataclass
class Numbers:
    """Arrays (pair, recipe, member, ...); NaN where a recipe isn't run on a pair, or a network has no such layer."""

    shape: tuple[int, int, int]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    by_name: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def put(self, place: tuple[int, int], name: str, value: Any, of: str | None = None) -> None:
        """What is measured of all members; `of`: the layer or the circuit that it belongs to."""
        value = np.asarray(value, float)
        known = self.arrays if of is None else self.by_name.setdefault(name, {})
        shape = (*self.shape[:2], *np.broadcast_shapes(value.shape, (self.shape[2], *value.shape[1:])))
        known.setdefault(name if of is None else of, np.full(shape, np.nan))[place] = value


@dataclass(frozen=True)
class Benched:
    """One pair on the bench: where its numbers go, and the curve of relearning from scratch."""

    numbers: Numbers
    place: int
    pair: TaskPair
    spec: Spec
    key: tuple[str, str]
    progress: Progress
    relearned_for: int

    def relearned(self, model: Model) -> np.ndarray:
        """Accuracy on Y's test while Y is learned again, (member, moment)."""
        options = self.spec["options"]
        given = (self.relearned_for, options["moments"], *self.key, "again")
        return relearn(self.pair, model, *given, progress=self.progress).accuracy

    def measure(self, column: int, model: Model, curve: np.ndarray, scratch: np.ndarray) -> None:
        """All that is said of one model."""
        place, options = (self.place, column), self.spec["options"]
        found = {**answers(self.pair, model), "relearning": curve, "area": area_to_scratch(curve, scratch)}
        for name, value in found.items():
            self.numbers.put(place, name, value)
        probes = probed(self.pair, model, options["probe_steps"], options["probe_lr"], *self.key, "probe")
        for layer, right in probes.items():
            for kind, value in zip(PROBES, right, strict=True):
                self.numbers.put(place, f"{kind}_probe", value, layer)
        if self.pair.energies is not None:
            for name, energy in self.pair.energies(model.parameters).items():
                self.numbers.put(place, "energy", energy.numpy(), name)

    def run(self, column: int, parts: Sequence[Part], scratch: np.ndarray) -> None:
        """Train by a recipe, and measure."""
        trained = train(self.pair, parts, *self.key, progress=self.progress)
        self.measure(column, trained.model, self.relearned(trained.model), scratch)
        cost = {"steps": trained.steps, "passes": trained.passes / 1000}
        kept = {
            f"kept_{name}": [getattr(one, name) for one in trained.kept] for name in ("lr", "weight_decay", "width")
        }
        for name, value in (cost | (kept if any(len(part.settings()) > 1 for part in parts) else {})).items():
            self.numbers.put((self.place, column), name, value)


def antilearning(
    spec: Spec, runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train the anchors on every pair, and every recipe on those on which X alone gives Y.

    Variables by ``pair`` and ``recipe``, means over replicates with bounds: those of `analyses/antilearning_verdicts`.
    Raises ValueError, before anything is trained, where a part can't be applied to a pair.
    """
    options, members = spec["options"], spec["options"]["replicates"]
    labels = [one["label"] for one in spec["pairs"]]
    names = [*ANCHORS, *(one["label"] for one in spec["recipes"])]
    pairs = [load(one["target"])(one, members, "antilearning", one["label"]) for one in spec["pairs"]]
    for label, pair in zip(labels, pairs, strict=True):
        for part in (part for recipe in spec["recipes"] for part in parts_for(recipe, label)):
            part.check(pair)
    numbers = Numbers((len(pairs), len(names), members))
    for place, (label, pair) in enumerate(zip(labels, pairs, strict=True)):
        relearned_for = spec["pairs"][place]["relearned_for"]
        _bench(Benched(numbers, place, pair, spec, ("antilearning", label), progress, relearned_for), label)
    values = {name: array for name, array in numbers.arrays.items() if name != "area_null"}
    found = derived(values, numbers.by_name, numbers.arrays["area_null"][:, 0], {
        "pair": labels, "recipe": names, "moment": np.linspace(0, 1, options["moments"]),
    }, np.array([pair.classes for pair in pairs]), options["transfer"])  # fmt: skip
    return found.assign_attrs(experiment=spec["experiment"], replicates=members, transfer=options["transfer"])


def parts_for(recipe: Spec, pair: str) -> list[Part]:
    """The parts of a recipe that are for a pair, made anew: they keep what they have seen."""
    chosen = [one for one in recipe["parts"] if one["pairs"] is None or pair in one["pairs"]]
    return [build({key: value for key, value in one.items() if key != "pairs"}) for one in chosen]


def _bench(bench: Benched, label: str) -> None:
    scratch = Model(begun(bench.pair, *bench.key))
    curve, other = (bench.relearned(one) for one in (scratch, Model(begun(bench.pair, *bench.key, "other"))))
    bench.numbers.put((bench.place, 0), "area_null", area_to_scratch(other, curve))
    bench.measure(0, scratch, curve, curve)
    anchors: tuple[list[Part], ...] = ([], [LearnY()], [LearnY(alone=True)])
    for column, parts in enumerate(anchors, 1):
        bench.run(column, parts, curve)
    seen = {name: array[bench.place, 1:3] for name, array in bench.numbers.arrays.items()}
    null = bench.numbers.arrays["area_null"][bench.place, 0]
    options = bench.spec["options"]
    gate = gate_of(seen["y_accuracy"], seen["area"][0], null, 1 / bench.pair.classes, options["transfer"])[0]
    if gate == "none" and not options["everywhere"]:
        return
    for column, recipe in enumerate(bench.spec["recipes"], len(ANCHORS)):
        if parts := parts_for(recipe, label):
            bench.run(column, parts, curve)
