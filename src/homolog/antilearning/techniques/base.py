"""What is a part of a training recipe, and what may it read and change?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import Edit, Edits, Examples, TaskPair
from homolog.toys.training import Parameters

Which = Literal["x", "y"]
Seen = dict[str, Float[Tensor, "members rows units"]]


@dataclass(frozen=True)
class Model:
    """A network as it is used: its parameters, and what is done to its layers whatever it reads."""

    parameters: Parameters
    edits: Edits = field(default_factory=dict)


@dataclass
class Passes:
    """What training takes: rows of a member that passed forward and back."""

    rows: int = 0


@dataclass
class Moment:
    """One step of training as parts see it: its rows of X and of Y, and the layers at these, passed once for all."""

    pair: TaskPair
    parameters: Parameters
    step: int
    steps: int
    x: Examples
    y: Examples
    y_rows: Int[Tensor, "members rows"]
    """Numbers of the rows of Y among all that may be trained on."""
    edits: Mapping[str, Edits]
    passes: Passes

    @property
    def share(self) -> float:
        """How far training has come, in [0, 1)."""
        return self.step / self.steps

    @cached_property
    def x_seen(self) -> Seen:
        """Layers at the rows of X."""
        return self._pass("x", self.x)

    @cached_property
    def y_seen(self) -> Seen:
        """Layers at the rows of Y."""
        return self._pass("y", self.y)

    def seen(self, which: Which) -> Seen:
        """Layers at the rows of one of the two."""
        return self.x_seen if which == "x" else self.y_seen

    def _pass(self, which: Which, examples: Examples) -> Seen:
        self.passes.rows += examples.rows
        return self.pair.network.activations(self.parameters, examples.inputs, self.edits[which])


@dataclass(frozen=True)
class Setting:
    """How members are trained that differ in it: factors of the pair's rate and decay, and share of units kept."""

    lr: float = 1.0
    weight_decay: float = 1.0
    width: float = 1.0
    layer: str | None = None
    """The layer whose units these are; None: each but the logits."""


@dataclass
class Part:
    """A part of a recipe. What it doesn't override it leaves as it is, so that parts compose.

    A step's loss is that of X plus every part's `loss`. One object serves one training: it may keep what it has seen.
    """

    weight: float = 1.0
    """How much its loss counts beside that of X."""

    def uses_y(self, pair: TaskPair) -> bool:
        """Whether it needs rows of Y to train on, as most do."""
        return True

    def check(self, pair: TaskPair) -> None:
        """Raises ValueError where it can't be applied to this pair: here, without the rows of Y that it needs."""
        if self.uses_y(pair) and not pair.y.train.rows:
            raise ValueError(
                f"{pair.name}: {self.said} needs rows of Y to train on, but y.train has none: leave it out for this "
                "pair (its option pairs), or give the pair some."
            )

    @property
    def said(self) -> str:
        """Its name in messages: that of the file."""
        return type(self).__module__.rpartition(".")[2]

    def settings(self) -> list[Setting]:
        """Settings that are trained side by side, of which one is kept for each member."""
        return [Setting()]

    def further(self, pair: TaskPair, generator: torch.Generator) -> Parameters:
        """Parameters that are trained along and thrown away, such as an adversary's, under names of their own."""
        return {}

    def edits(self, pair: TaskPair, share: float, which: Which) -> Edits:
        """What is done to layers at the rows of X or Y in training, when so much of it is over."""
        return {}

    def counts_x(self, share: float) -> bool:
        """Whether the loss of X counts then."""
        return True

    def rows(self, pair: TaskPair, share: float, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Rows of X of a step, (members, rows), given those that would be taken."""
        return chosen

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        """What it adds to the loss; None where it adds nothing."""
        return None

    def watch(self, pair: TaskPair, model: Model) -> None:
        """Called some times in the course of training, without gradients."""

    def chosen(self, parameters: Parameters) -> Parameters:
        """Parameters that are taken, member by member, given those of the last step."""
        return parameters

    def finish(self, pair: TaskPair, model: Model) -> Model:
        """The network as it is used, given the one that training has left."""
        return model


def joined(*edits: Edits) -> Edits:
    """All of them: of one layer, one after another."""
    found: dict[str, list[Edit]] = {}
    for one in edits:
        for layer, edit in one.items():
            found.setdefault(layer, []).append(edit)
    return {layer: each[0] if len(each) == 1 else _chained(each) for layer, each in found.items()}


def _chained(each: list[Edit]) -> Edit:
    def edit(activations: Tensor) -> Tensor:
        for one in each:
            activations = one(activations)
        return activations

    return edit


def layers_of(pair: TaskPair, named: str | None) -> tuple[str, ...]:
    """The layers that a part is about: the named one, or all but the logits. Raises ValueError for one that isn't."""
    if named is None:
        return pair.network.layers[:-1]
    if named not in pair.network.layers:
        raise ValueError(
            f"{pair.name}: its network has no layer {named!r}; it has {', '.join(pair.network.layers)}: name one of "
            "these, or restrict the part to other pairs (its option pairs)."
        )
    return (named,)
