"""What do analyses of planted worlds start from: rows of every world and replicate, and all that is fitted to them?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.nulls import Spectrum
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory, Samples
from homolog.decompositions.split import rows_of_halves
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.streams import stream
from homolog.worlds.base import Drawn, World
from homolog.worlds.pca_first import leading_components, with_components

Spec = dict[str, Any]
Progress = Callable[[Iterable[Any]], Iterable[Any]]
# Members that are trained as one tensor program: as many as keep a step's tensors near the processor.
TOGETHER = 32
# Larger dictionaries than this (latents x units) gain nothing by it: they train one by one, by the fast steps.
ALONE = 2**14


@dataclass(frozen=True)
class Trial:
    """One replicate of one world: what is true, the rows that are fitted, other rows that measure."""

    spec: Spec
    replicate: int
    world: World
    train: Drawn
    test: Drawn

    @property
    def key(self) -> tuple[str | int, ...]:
        """What starts every random stream of what is done with it."""
        return "worlds", self.spec["group"], self.spec["label"], self.replicate

    @property
    def halves(self) -> dict[str, Float[Tensor, "samples units"]]:
        """Both halves of the rows that are fitted, as every method splits them."""
        return {half: self.train.rows[index] for half, index in rows_of_halves(len(self.train.rows)).items()}

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of the rows that are fitted, about their mean."""
        return Spectrum.of(torch.cov(self.train.rows.double().T, correction=0))

    def turn(self, *number: int, purpose: str = "null") -> Float[Tensor, "units units"]:
        """A random rotation within the spectrum of the rows, by which nulls turn dictionaries; float64."""
        return self.spectrum.rotation(stream(purpose, *self.key, *number))

    def told(self, options: Spec, at_most_units: bool) -> Spec:
        """`options` with the number of features, and of active ones, that the world has methods told; of features that
        nobody knows it tells nothing.
        """
        if not len(self.world.features):
            return options
        guess = self.spec["options"]
        most = self.world.features.shape[1] if at_most_units else 2**31
        latents = min(most, max(1, round(guess["guess_features"] * len(self.world.features))))
        active = guess["guess_active"] * self.world.active
        # Dense latents stand beside those that are to find features.
        latents += options.get("dense", 0)
        known = {"n_latents": latents, "k": min(latents, max(1, round(active)))}
        if options.get("target_l0") is not None:
            known["target_l0"] = active
        return options | {name: value for name, value in known.items() if name in options}


def trials_of(spec: Spec) -> list[Trial]:
    """A trial for every world of an analysis and replicate, in this order."""
    options = spec["options"]
    return [
        _trial(world, replicate, options["rows"], options["test_rows"])
        for world in spec["worlds"]
        for replicate in range(options["replicates"])
    ]


def _trial(world: Spec, replicate: int, rows: int, test_rows: int) -> Trial:
    key = world["group"], world["label"], replicate
    made: World = load(world["target"])(world["options"], stream("world", *key))
    rows = world["options"]["rows"] or rows
    train = made.draw(rows, stream("train", *key))
    test = (made.held_out or made.draw)(test_rows, stream("test", *key))
    return Trial(world, replicate, made, train, test)


@dataclass(frozen=True)
class Fitted:
    """A grid point of a decomposition in one trial: its options there, and its dictionaries by seed, on the CPU."""

    trial: Trial
    point: int
    options: Spec
    dictionaries: list[Dictionary]


def fit_trials(
    decomposition: Spec,
    trials: list[Trial],
    told: bool,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
    pca_first: bool = False,
) -> Iterator[Fitted]:
    """Each trial and grid point of a decomposition.

    With `pca_first`, points with dense latents alone: as many principal components take their place, and the others
    are fitted to what these leave.
    """
    places: list[tuple[Trial, int, Spec, Tensor | None]] = []
    members = []
    for trial in trials:
        partner = _partner(decomposition, trial, device)
        whole = InMemory(trial.train.rows.to(device))
        for point, options in enumerate(decomposition["grid"]):
            own = trial.told(options, decomposition["at_most_units"]) if told else options
            samples, components, key = whole, None, (*trial.key, decomposition["name"])
            if pca_first:
                if not 0 < own.get("dense", 0) < whole.units:
                    continue
                components, left = leading_components(trial.train.rows, own["dense"])
                samples, key = InMemory(left.to(device)), (*key, "pca_first")
            places.append((trial, point, own, components))
            if pca_first:
                own = own | {"n_latents": own["n_latents"] - own["dense"], "dense": 0}
            members += [Member(own, seed, "all", samples, partner, key) for seed in decomposition["seeds"]]
    largest = max((one.options["n_latents"] * one.activations.units for one in members), default=0)
    together = TOGETHER if largest <= ALONE else 1
    fitted = fit_members(decomposition["method"], members, progress, together=together)
    seeds = len(decomposition["seeds"])
    for number, (trial, point, own, components) in enumerate(places):
        found = [one.to("cpu") for one in fitted[number * seeds : (number + 1) * seeds]]
        if components is not None:
            found = [with_components(one, components, trial.train.rows) for one in found]
        yield Fitted(trial, point, own, found)


def _partner(decomposition: Spec, trial: Trial, device: str | torch.device) -> Samples | None:
    """The same rows seen elsewhere, for methods that compare two places."""
    if decomposition["partner"] is None:
        return None
    if trial.train.partner is None:
        raise ValueError(
            f"{decomposition['name']} needs the same rows at a second place, but world {trial.spec['label']!r} has one "
            "alone; allowed: worlds of sources; leave the decomposition out."
        )
    return InMemory(trial.train.partner.to(device))
