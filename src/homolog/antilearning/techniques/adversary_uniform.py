"""Can activations be trained so that an adversary's answers to Y, read off them, are uniform?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.techniques.adversaries import OfAdversaries, frozen, guesses
from homolog.antilearning.techniques.base import Moment, layers_of
from homolog.antilearning.techniques.uniform_targets import from_uniform
from homolog.toys.training import cross_entropies


@dataclass
class AdversaryUniform(OfAdversaries):
    """By turns, adversaries learn Y from layers' activations, and the network makes their answers uniform.

    Unlike a reversed gradient this has a floor, so that it can't win by growth. `turns`: steps of the adversaries for
    each one of the network.
    """

    turns: int = 1

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share < self.begin:
            return None
        layers = layers_of(moment.pair, self.layer)
        if moment.step % (self.turns + 1) < self.turns:
            learned = [
                cross_entropies(guesses(moment.parameters, layer, moment.y_seen[layer].detach()), moment.y.labels)
                for layer in layers
            ]
            return torch.stack(learned).sum(0)
        held = frozen(moment.parameters)
        return self.weight * torch.stack(
            [from_uniform(guesses(held, layer, moment.y_seen[layer])) for layer in layers]
        ).mean(0)
