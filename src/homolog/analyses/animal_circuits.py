"""Circuits trained on rows of animals: facts about animals, about attributes, and how much of an attribute there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.streams import stream
from homolog.toys import circuits
from homolog.toys.training import Parameters
from homolog.worlds.base import Drawn
from homolog.worlds.trials import Progress, Trial

KINDS = {
    "animal": "it is one of some animals",
    "attribute": "it has an attribute besides",
    "graded": "how much of an attribute it has in all",
}
# Rows of a step of a circuit's training.
BATCH = 96
# Rows on which edges are counted: at most so many in which a fact is true, and so many in which it isn't.
COUNTED = 192


@dataclass(frozen=True)
class Circuits:
    """The trained circuits of one trial, by kind of fact, with the rows on which they are measured."""

    kinds: list[str]
    parameters: Parameters
    chosen: list[Int[Tensor, " rows"]]
    counts: list[Float[Tensor, " rows"]]
    rows: Float[Tensor, "rows units"]
    targets: Float[Tensor, "members rows"]

    def missed(self) -> dict[str, float]:
        """FVU of what circuits say, against what is true, by kind."""
        said = circuits.outputs(self.parameters, self.rows.expand(len(self.kinds), -1, -1))
        fvu = circuits.unexplained(said, self.targets, circuits.weights(self.targets))
        return self._by_kind("circuit_fvu", fvu.tolist(), np.mean)

    def edges(self, codes: Tensor, directions: Tensor, kept: float) -> dict[str, float]:
        """Of each kind the median number of edges in a basis, and the share of circuits that it can do at all."""
        found = []
        for number, (chosen, counts) in enumerate(zip(self.chosen, self.counts, strict=True)):
            one = {name: value[number] for name, value in self.parameters.items()}
            found.append(circuits.edges_needed(one, self.rows[chosen], counts, codes[chosen], directions, kept))
        numbers, reached = zip(*found, strict=True)
        return self._by_kind("edges", numbers, np.median) | self._by_kind("reached", reached, np.mean)

    def _by_kind(self, name: str, values: Sequence[float], summary: Any) -> dict[str, float]:
        known = np.array(self.kinds)
        array = np.array(values, float)
        return {f"{name}_{kind}": float(summary(array[known == kind])) for kind in dict.fromkeys(self.kinds)}


def circuits_of(options: dict[str, Any], trials: list[Trial], progress: Progress) -> list[Circuits]:
    """Circuits of every trial; those of rows of one size train as one tensor program."""
    found: dict[int, Circuits] = {}
    for units in dict.fromkeys(trial.train.rows.shape[1] for trial in trials):
        numbers = [i for i, trial in enumerate(trials) if trial.train.rows.shape[1] == units]
        own = [trials[i] for i in numbers]
        found |= dict(zip(numbers, _trained(options, own, progress), strict=True))
    return [found[i] for i in range(len(trials))]


def _trained(options: dict[str, Any], trials: list[Trial], progress: Progress) -> list[Circuits]:
    facts = [_facts(options, trial) for trial in trials]
    world = torch.tensor([i for i, (kinds, _) in enumerate(facts) for _ in kinds])
    rows = torch.stack([trial.train.rows for trial in trials])
    targets = torch.cat([_targets(trial.train, own) for trial, (_, own) in zip(trials, facts, strict=True)])
    parameters = train_circuits(options, rows, world, targets, ("circuits", *trials[0].key), progress)
    return [
        _measurable(trial, kinds, own, {name: one[world == i] for name, one in parameters.items()})
        for i, (trial, (kinds, own)) in enumerate(zip(trials, facts, strict=True))
    ]


def train_circuits(
    options: dict[str, Any],
    rows: Float[Tensor, "worlds rows units"],
    world: Int[Tensor, " members"],
    targets: Float[Tensor, "members rows"],
    key: tuple[str | int, ...],
    progress: Progress,
) -> Parameters:
    """Circuits of the size and the length of training that the analysis says."""
    size, steps, lr = (options[f"circuit_{name}"] for name in ("units", "steps", "lr"))
    return circuits.train(rows, world, targets, size, steps, lr, BATCH, key, progress)


def _facts(options: dict[str, Any], trial: Trial) -> tuple[list[str], Float[Tensor, "facts features"]]:
    """Kinds of the facts of a trial, and what each reads of true codes: the sum of some, above 0 after all is summed.

    A fact about animals is true of some animals, one about an attribute where it is on by itself; graded ones add what
    the animal has of it.
    """
    features, count = trial.world.features, trial.spec["options"]["animals"]
    shows, own = trial.spec["options"]["shows"], stream("facts", *trial.key)
    present = (trial.train.codes != 0).any(0)
    kinds, reads = [], []
    animals = torch.randperm(count, generator=own)
    attributes = count + torch.randperm(len(features) - count, generator=own)
    for number in range(options["facts"]):
        attribute = attributes[number % len(attributes)]
        if shows != "attributes":
            some = animals[present[animals]][number * options["animals_per_fact"] :][: options["animals_per_fact"]]
            kinds.append("animal")
            reads.append(torch.zeros(len(features)).index_fill(0, some, 1.0))
        if shows != "animals":
            kinds.append("attribute")
            reads.append(torch.zeros(len(features)).index_fill(0, attribute, 1.0))
        kinds.append("graded")
        reads.append(features @ features[attribute])
    return kinds, torch.stack(reads)


def _targets(drawn: Drawn, reads: Float[Tensor, "facts features"]) -> Float[Tensor, "facts rows"]:
    return (reads @ drawn.codes.T).relu()


def _measurable(trial: Trial, kinds: list[str], reads: Tensor, parameters: Parameters) -> Circuits:
    targets = _targets(trial.test, reads)
    chosen = [_some(one) for one in targets]
    counts = [circuits.weights(one[rows][None])[0] for one, rows in zip(targets, chosen, strict=True)]
    return Circuits(kinds, parameters, chosen, counts, trial.test.rows, targets)


def _some(target: Float[Tensor, " rows"]) -> Int[Tensor, " chosen"]:
    """The first rows in which there is something to say, and the first in which there isn't: rows come at random."""
    return torch.cat([(target > 0).nonzero()[:COUNTED, 0], (target <= 0).nonzero()[:COUNTED, 0]])
