"""Does a network that learned to tell X from Y first keep its answers to X apart from Y later?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Moment, Part
from homolog.toys.training import Parameters


@dataclass
class Discriminate(Part):
    """For the share `until` of the steps nothing is learned but which of the two tasks a row is of; then all else.

    The answer is read off the last layer before the logits by a vector of its own, which is thrown away. What is
    trained afterwards is up to the recipe's other parts, such as uniform targets on Y from there on.
    """

    until: float = 0.3

    def counts_x(self, share: float) -> bool:
        return share >= self.until

    def further(self, pair: TaskPair, generator: torch.Generator) -> Parameters:
        row = torch.zeros(pair.members, 1, dtype=torch.long)
        start = pair.network.start(pair.members, torch.Generator())
        units = pair.network.activations(start, pair.x.train.at(row).inputs)[pair.network.layers[-2]].shape[-1]
        return {
            "which task": torch.randn(pair.members, units, 1, generator=generator) * units**-0.5,
            "which task bias": torch.zeros(pair.members, 1, 1),
        }

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share >= self.until:
            return None
        layer = moment.pair.network.layers[-2]
        vector, bias = (moment.parameters[f"which task{end}"] for end in ("", " bias"))
        x, y = ((moment.seen(which)[layer] @ vector + bias).squeeze(-1) for which in ("x", "y"))
        return self.weight * (softplus(-x).mean(1) + softplus(y).mean(1)) / 2
