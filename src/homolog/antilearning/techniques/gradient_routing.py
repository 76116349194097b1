"""Can Y be made to settle in units of its own, which are then taken out?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import Edit, Edits, TaskPair
from homolog.antilearning.techniques.base import Model, Moment, Part, Which, joined, layers_of
from homolog.toys.training import cross_entropies


@dataclass
class GradientRouting(Part):
    """X and Y are learned with their right labels, but gradients of Y pass only through a `region`, those of X only
    through the rest (Cloud et al., 2024); from `ablated` on the region is silent, and X is learned alone.

    `region`: the first so many, as a share, of the units of `layer`; None: of each layer but the logits. What is routed
    are gradients of activations: weights that read a layer are trained by both.
    """

    region: float = 0.25
    ablated: float = 0.7
    layer: str | None = None

    def check(self, pair: TaskPair) -> None:
        super().check(pair)
        layers_of(pair, self.layer)

    def edits(self, pair: TaskPair, share: float, which: Which) -> Edits:
        edit = silenced(self.region) if share >= self.ablated else routed(self.region, inside=which == "y")
        return dict.fromkeys(layers_of(pair, self.layer), edit)

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share >= self.ablated:
            return None
        return self.weight * cross_entropies(moment.y_seen["logits"], moment.y.labels)

    def finish(self, pair: TaskPair, model: Model) -> Model:
        return Model(
            model.parameters,
            joined(model.edits, dict.fromkeys(layers_of(pair, self.layer), silenced(self.region))),
        )


def routed(region: float, inside: bool) -> Edit:
    """Values as they are, whose gradient passes only through the units of the region, or only through the others."""

    def edit(values: Tensor) -> Tensor:
        passing = _in(region, values) if inside else ~_in(region, values)
        return torch.where(passing, values, values.detach())

    return edit


def silenced(region: float) -> Edit:
    """Values of which the region's units are 0."""

    def edit(values: Tensor) -> Tensor:
        return values.masked_fill(_in(region, values), 0.0)

    return edit


def _in(region: float, values: Tensor) -> Tensor:
    units = values.shape[-1]
    return torch.arange(units) < max(1, round(region * units))
