"""Who tries to read the answer to Y off a layer's activations: a small network for each layer, trained along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Part, layers_of
from homolog.toys.training import Parameters

UNITS = 32


@dataclass
class OfAdversaries(Part):
    """A part that trains adversaries along; `layer`: the one that they read, None: each but the logits."""

    layer: str | None = None
    begin: float = 0.0

    def check(self, pair: TaskPair) -> None:
        super().check(pair)
        layers_of(pair, self.layer)

    def further(self, pair: TaskPair, generator: torch.Generator) -> Parameters:
        return adversaries(pair, layers_of(pair, self.layer), generator)


def adversaries(pair: TaskPair, layers: tuple[str, ...], generator: torch.Generator) -> Parameters:
    """Parameters of an adversary with one hidden layer for each of the layers, before training (He et al., 2015)."""
    seen = _sizes(pair)
    found: Parameters = {}
    for layer in layers:
        read = torch.randn(pair.members, seen[layer], UNITS, generator=generator) * (2 / seen[layer]) ** 0.5
        out = torch.randn(pair.members, UNITS, pair.classes, generator=generator) * UNITS**-0.5
        found |= {f"adversary {layer} read": read, f"adversary {layer} out": out}
        found[f"adversary {layer} bias"] = torch.zeros(pair.members, UNITS)
    return found


def guesses(
    parameters: Mapping[str, Tensor], layer: str, activations: Float[Tensor, "members rows units"]
) -> Float[Tensor, "members rows classes"]:
    """Logits of a layer's adversary."""
    read, bias, out = (parameters[f"adversary {layer} {name}"] for name in ("read", "bias", "out"))
    return torch.baddbmm(bias[:, None], activations, read).relu() @ out


def frozen(parameters: Parameters) -> Parameters:
    """The same, of which none is trained."""
    return {name: value.detach() for name, value in parameters.items()}


@torch.no_grad()
def _sizes(pair: TaskPair) -> dict[str, int]:
    one = pair.network.start(pair.members, torch.Generator())
    row = torch.zeros(pair.members, 1, dtype=torch.long)
    seen = pair.network.activations(one, pair.x.train.at(row).inputs)
    return {layer: values.shape[-1] for layer, values in seen.items()}
