"""Can activations be trained so that no adversary reads the answer to Y off them, by its reversed gradient?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.techniques.adversaries import OfAdversaries, guesses
from homolog.antilearning.techniques.base import Moment, layers_of
from homolog.toys.training import cross_entropies


@dataclass
class GradientReversal(OfAdversaries):
    """Adversaries learn Y from layers' activations, which get ``-weight`` times their gradient (Ganin et al., 2016).

    Each layer has an adversary of its own.
    """

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
