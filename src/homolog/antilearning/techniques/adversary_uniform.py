"""Can activations be trained so that an adversary's answers to Y, read off them, are uniform?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.adversaries import adversaries, frozen, guesses
from homolog.antilearning.techniques.base import Moment, Part, layers_of
from homolog.antilearning.techniques.uniform_targets import from_uniform
from homolog.toys.training import Parameters, cross_entropies


@dataclass
class AdversaryUniform(Part):
    """By turns, adversaries learn Y from layers' activations, and the network makes their answers uniform.

    Unlike a reversed gradient this has a floor, so that it can't win by growth. `layer`: the one that they read; None:
    each but the logits. `turns`: steps of the adversaries for each one of the network.
    """

    layer: str | None = None
    turns: int = 1
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
