"""Is there a moment in training when X is learned and Y isn't yet?"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Model, Part
from homolog.antilearning.training import better_at_x
from homolog.toys.training import Parameters


@dataclass
class EarlyStopping(Part):
    """Each member is taken as it was when its accuracy on X less `weight` times that on Y was largest.

    On rows that may be trained on, twenty times in the course of training.
    """

    best: torch.Tensor | None = field(default=None, init=False)
    taken: Parameters = field(default_factory=dict, init=False)

    def watch(self, pair: TaskPair, model: Model) -> None:
        gain = better_at_x(pair, model, self.weight)
        if self.best is None:
            self.best, self.taken = gain, {name: value.clone() for name, value in model.parameters.items()}
            return
        better = gain > self.best
        self.best = torch.where(better, gain, self.best)
        for name, value in model.parameters.items():
            self.taken[name][better] = value[better]

    def chosen(self, parameters: Parameters) -> Parameters:
        return self.taken or parameters
