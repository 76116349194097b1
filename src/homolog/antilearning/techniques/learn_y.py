"""Y with its right labels beside X: the anchor of a network that was taught both; or, with X left out, Y alone."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.techniques.base import Moment, Part
from homolog.toys.training import cross_entropies


@dataclass
class LearnY(Part):
    """Adds the loss of Y. `alone`: that of X doesn't count, which is Y from scratch."""

    alone: bool = False

    def counts_x(self, share: float) -> bool:
        return not self.alone

    def loss(self, moment: Moment) -> Float[Tensor, " members"]:
        return self.weight * cross_entropies(moment.y_seen["logits"], moment.y.labels)
