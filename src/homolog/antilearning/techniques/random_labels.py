"""Does a network forget Y that is made to fit random labels on it, or does it memorise these beside it?"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Moment, Part
from homolog.toys.training import Parameters, cross_entropies


@dataclass
class RandomLabels(Part):
    """Adds the loss of labels drawn once for each row of Y: nothing but memory can fit them.

    `begin`: the share of the steps after which they join; before, X is learned alone.
    """

    begin: float = 0.5
    labels: Int[Tensor, "members rows"] | None = field(default=None, init=False)

    def further(self, pair: TaskPair, generator: torch.Generator) -> Parameters:
        self.labels = torch.randint(pair.classes, pair.y.train.labels.shape, generator=generator)
        return {}

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share < self.begin or self.labels is None:
            return None
        return self.weight * cross_entropies(moment.y_seen["logits"], self.labels.gather(1, moment.y_rows))
