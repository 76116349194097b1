"""What is a pair of tasks X and Y that one network may learn, and what must be known of the network?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.toys.training import Parameters

Edit = Callable[[Float[Tensor, "members rows units"]], Float[Tensor, "members rows units"]]
Edits = Mapping[str, Edit]
"""What is done to a layer's activations before anything reads them: an erasure, a mask, a stop of gradients."""


@runtime_checkable
class Network(Protocol):
    """Networks of one form, members side by side: each parameter has a leading member dim."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read, behind the input; the last one is ``logits``."""
        ...

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Parameters before training, each member's drawn alone."""
        ...

    def activations(
        self, parameters: Parameters, inputs: Tensor, edits: Edits | None = None
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        """Each of `layers` at the inputs, flattened over all but members and rows, after its edit.

        What follows a layer reads the edited one, so that gradients and erasures pass through (`edited`).
        """
        ...


def edited(edits: Edits | None, layer: str, activations: Tensor) -> Tensor:
    """A layer's activations after its edit, if there is one; of any shape behind members and rows."""
    if edits is None or layer not in edits:
        return activations
    return edits[layer](activations.flatten(2)).reshape(activations.shape)


@dataclass(frozen=True)
class Examples:
    """Inputs with their labels, a table of its own for each member: ``inputs`` has dims members, rows and the rest.

    `part`: in which part of the task a row lies (a range of degrees, a group, a prime), numbered from 0 in the order in
    which parts may be trained on one after another; None: the task has no parts.
    """

    inputs: Tensor
    labels: Int[Tensor, "members rows"]
    part: Int[Tensor, "members rows"] | None = None

    @property
    def rows(self) -> int:
        """Rows of each member."""
        return self.labels.shape[1]

    def at(self, rows: Int[Tensor, "members chosen"]) -> Examples:
        """Some rows of each member."""
        members = torch.arange(len(rows))[:, None]
        part = None if self.part is None else self.part[members, rows]
        return Examples(self.inputs[members, rows], self.labels[members, rows], part)

    def repeated(self, times: int) -> Examples:
        """Each member so many times, one behind the other."""
        part = None if self.part is None else self.part.repeat_interleave(times, 0)
        return Examples(self.inputs.repeat_interleave(times, 0), self.labels.repeat_interleave(times, 0), part)


@dataclass(frozen=True)
class Task:
    """What of a task may be trained on, and what is held out: the part that can't be known without having learned it.

    A `train` of no rows says that there is nothing to train on.
    """

    train: Examples
    test: Examples

    def repeated(self, times: int) -> Task:
        """Each member so many times."""
        return Task(self.train.repeated(times), self.test.repeated(times))


@dataclass(frozen=True)
class Recipe:
    """How this pair is trained by AdamW where nothing else is said."""

    steps: int
    lr: float
    weight_decay: float = 0.0
    batch: int | None = None
    """Rows of a step; None: all of them."""
    decay: bool = False
    """Let the rate fall to 0 by a half cosine: for networks that leave what they found at a rate that stays."""


@dataclass(frozen=True)
class TaskPair:
    """A task X that is to be learned, and a task Y that may come along, over the same inputs, classes and network.

    `y.test` is the non-trivial part of Y: what neither symmetry nor X's own rows give away. `energies` reads a circuit
    off the parameters: shares of irreps or frequencies by name, each a vector over members.

    Raises ValueError where a row of Y's test is among the rows that X or Y is trained on, or numbers of members differ.
    """

    name: str
    network: Network
    classes: int
    x: Task
    y: Task
    recipe: Recipe
    energies: Callable[[Parameters], Mapping[str, Float[Tensor, " members"]]] | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)
    """What is to be said of it beside its name: degrees, groups, primes."""

    def __post_init__(self) -> None:
        tables = {"x.train": self.x.train, "x.test": self.x.test, "y.train": self.y.train, "y.test": self.y.test}
        members = {name: len(one.labels) for name, one in tables.items()}
        if len(set(members.values())) > 1:
            raise ValueError(f"{self.name}: tables have {members} members: give each as many.")
        for name in ("x.train", "y.train"):
            if shared := shared_rows(tables[name].inputs, self.y.test.inputs):
                raise ValueError(
                    f"{self.name}: {shared} of {self.y.test.rows} rows of y.test are rows of {name} too: what is "
                    "trained on can't say whether Y came along; take them out of one of the two."
                )

    @property
    def members(self) -> int:
        """Members of all tables."""
        return len(self.x.train.labels)

    def repeated(self, times: int) -> TaskPair:
        """The pair with each member so many times, one behind the other: for settings that train side by side."""
        return replace(self, x=self.x.repeated(times), y=self.y.repeated(times))


def shared_rows(one: Tensor, other: Tensor) -> int:
    """How many rows of the second are rows of the first too, in the member that has most of them."""
    most = 0
    for member in range(len(one)):
        known = {row.numpy().tobytes() for row in one[member].flatten(1).contiguous()}
        most = max(most, sum(row.numpy().tobytes() in known for row in other[member].flatten(1).contiguous()))
    return most
