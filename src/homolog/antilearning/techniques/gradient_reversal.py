"""Can activations be trained so that no adversary reads the answer to Y off them, by its reversed gradient?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.adversaries import adversaries, guesses
from homolog.antilearning.techniques.base import Moment, Part, layers_of
from homolog.toys.training import Parameters, cross_entropies


@dataclass
class GradientReversal(Part):
    """Adversaries learn Y from layers' activations, which get ``-weight`` times their gradient (Ganin et al., 2016).

    `layer`: the one that they read; None: each but the logits, by an adversary of its own.
    """

    layer: str | None = None
    begin: float = 0.0

    def check(self, pair: TaskPair) -> None:
        super().check(pair)
        layers_of(pair, self.layer)

    def further(self, pair: TaskPair, generator: torch.Generator) -> Parameters:
        return adversaries(pair, layers_of(pair, self.layer), generator)

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share < self.begin:
            return None
        layers = layers_of(moment.pair, self.layer)
        each = [
            cross_entropies(
                guesses(moment.parameters, layer, reversed_gradient(moment.y_seen[layer], self.weight / len(layers))),
                moment.y.labels,
            )
            for layer in layers
        ]
        return torch.stack(each).sum(0)


def reversed_gradient(values: Tensor, weight: float) -> Tensor:
    """The values, which hand back ``-weight`` times the gradient that they get."""
    return values.detach() - weight * (values - values.detach())
