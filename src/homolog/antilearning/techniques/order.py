"""Does X give Y less where its parts are learned one after another, with some replay of those before?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Part


@dataclass
class Order(Part):
    """The parts of X come one after another, each for as many steps; `replay` is the share of rows of earlier ones."""

    replay: float = 0.1

    def uses_y(self, pair: TaskPair) -> bool:
        return False

    def check(self, pair: TaskPair) -> None:
        parts = 0 if pair.x.train.part is None else int(pair.x.train.part.max()) + 1
        if parts < 2:
            raise ValueError(
                f"{pair.name}: order needs parts of X that can come one after another, but x.train has "
                f"{parts or 'no'}: leave it out for this pair (its option pairs), or number its rows' parts."
            )

    def rows(self, pair: TaskPair, share: float, chosen: Tensor, generator: torch.Generator) -> Tensor:
        part = pair.x.train.part
        if part is None:
            return chosen
        now = int(share * (int(part.max()) + 1))
        old = torch.rand(chosen.shape, generator=generator) < (self.replay if now else 0.0)
        return torch.where(
            old, _drawn(part < now, chosen.shape[1], generator), _drawn(part == now, chosen.shape[1], generator)
        )


def _drawn(allowed: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many of each member's allowed rows, with replacement; of a member that has none, any."""
    weights = torch.where(allowed.any(1, keepdim=True), allowed, torch.ones_like(allowed)).float()
    return torch.multinomial(weights, count, replacement=True, generator=generator)
