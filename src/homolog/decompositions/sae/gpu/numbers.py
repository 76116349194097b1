"""Which numbers does each member of a block have at a step: rates, factors of penalties, how many latents?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.decompositions.sae.base import SparseAutoencoder, Stack, warmup
from homolog.decompositions.sae.optimiser import BETA_1, BETA_2, lr_factor

# A number of a member at a step, from its options.
Rule = Callable[[dict[str, Any], int], float]


class Numbers:
    """Numbers of the members on their device, so that a step that is replayed as a graph reads those of its own time.

    Numbers that change with the step are worked out for a chunk of steps at a time and copied over at once; `place`
    says on the device which step of the chunk it is.
    """

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, rules: dict[str, Rule]) -> None:
        self.stack, self.device = stack, stack.silent.device
        self.place = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.rules: dict[str, Rule] = {
            "rate": lambda options, step: (
                recipe.learning_rate(options) * lr_factor(step, options) / (1 - BETA_1 ** (step + 1))
            ),
            "correction": lambda options, step: 1 / (1 - BETA_2 ** (step + 1)) ** 0.5,
            **rules,
        }
        self.rows = {name: i for i, name in enumerate(self.rules)}
        self.held = torch.zeros(1, len(self.rules), len(stack.members), device=self.device)

    def load(self, steps: range) -> None:
        """Make ready for these steps, the first of which is next."""
        table = torch.tensor(
            [[[rule(m.options, step) for m in self.stack.members] for rule in self.rules.values()] for step in steps]
        )
        if len(steps) > len(self.held):
            self.held = self.held.new_zeros(len(steps), *self.held.shape[1:])
        self.held[: len(steps)].copy_(table)
        self.place.zero_()

    def now(self, name: str) -> Float[Tensor, " members"]:
        """At the step that is being taken."""
        return self.held.index_select(0, self.place)[0, self.rows[name]]

    def count(self, name: str) -> Int[Tensor, " members"]:
        """The same, a whole number."""
        return self.now(name).round().int()

    def own(self, option: str) -> Float[Tensor, " members"]:
        """An option of each member that stays as it is; 0 where it is None."""
        return torch.tensor([float(m.options[option] or 0) for m in self.stack.members], device=self.device)


def penalty_factor(options: dict[str, Any], step: int) -> float:
    """How far a penalty has warmed up."""
    return warmup(step, options["steps"], options["penalty_warmup"])
