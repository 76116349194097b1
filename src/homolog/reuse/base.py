"""What is a pair of tasks of which the second may use what the first has left?"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.toys.training import Parameters, Progress, train_members

OfMembers = Callable[[Parameters], Float[Tensor, " members"]]
Latents = Callable[[Parameters], Float[Tensor, "members rows latents"]]


@dataclass(frozen=True)
class Stage:
    """A task of some members, each with data of its own, and how it is learned by AdamW."""

    start: Callable[[torch.Generator], Parameters]
    losses: OfMembers
    score: OfMembers
    """On what is held out: 1 where all is right."""
    latents: Latents
    """Units whose return is asked for, at inputs that are the same in both stages and for all members."""
    steps: int
    lr: float
    weight_decay: float = 0.0
    finish: Callable[[Parameters], Parameters] = dict
    """What is done to trained parameters at the end, such as a projection that the loss was told of."""

    def train(
        self,
        begun: Parameters,
        watch: Callable[[Parameters, int], None] | None = None,
        frozen: Collection[str] = (),
        progress: Progress = iter,
    ) -> Parameters:
        """Parameters after so many steps; those named in `frozen` stay."""

        def losses(parameters: Parameters, step: int) -> Tensor:
            # What gets no gradient isn't stepped, so that it doesn't decay either.
            return self.losses({name: one.detach() if name in frozen else one for name, one in parameters.items()})

        trained = train_members(
            begun, losses, self.steps, self.lr, self.weight_decay, 0.03, decay=False, watch=watch, progress=progress
        )
        return self.finish(trained)


@dataclass(frozen=True)
class ReusePair:
    """A first task, and a second one whose network begins with some parameters of the first."""

    first: Stage
    second: Stage
    core: tuple[str, ...]
    """Parameters that both have, of equal shape."""
    chance: float
    """The second task's score without any knowledge of the input."""
    learned: float
    """The second task's score from which on it counts as found."""
    circuit: Callable[[Parameters, Parameters], Float[Tensor, " members"]] | None = None
    """How much of a second network is the circuit that the first has, from the parameters of both."""
    circuit_null: float = float("nan")
    """The same of random parameters."""

    def core_of(self, parameters: Parameters) -> Parameters:
        """The parameters that are handed on."""
        return {name: parameters[name] for name in self.core}
