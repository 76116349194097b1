"""Which of the many equal descriptions of a hidden layer do we read: the gauge, fixed before anything is decomposed.

A ReLU layer computes the same when its units are permuted and each is rescaled by a positive number (the next layer
takes the factor back). PCA, SVD and sparse autoencoders see another cloud of points after such a rescaling, so their
latents would differ between two descriptions of one and the same network. The gauge picks one description: unit i is
multiplied by the norm of its outgoing weights, and units are taken in order of their mean activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Gauge:
    """`scale` multiplies each unit; `order` lists the units in canonical order; `shift` takes off each row's mean."""

    scale: Float[Tensor, " units"]
    order: Int[Tensor, " units"]
    shift: bool = False

    def fix(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Activations in the gauge, units in the model's own order."""
        if self.shift:
            return activations - activations.mean(1, keepdim=True)
        return activations * self.scale.to(activations)

    def canonical(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Activations in the gauge, units in canonical order: what is decomposed."""
        order = self.order.to(activations.device)
        if self.shift:
            return self.fix(activations).index_select(1, order)
        # In place on the copy, and not by advanced indexing, which takes several times as long.
        return activations.index_select(1, order).mul_(self.scale.to(activations)[order])

    def to_model_order(self, directions: Float[Tensor, "latents units"]) -> Float[Tensor, "latents units"]:
        """Directions over units in canonical order, back in the model's own order of units."""
        restored = torch.empty_like(directions)
        restored[:, self.order] = directions
        return restored


def no_gauge(units: int) -> Gauge:
    """The gauge that changes nothing (option ``gauge: none``)."""
    return Gauge(torch.ones(units, dtype=torch.float64), torch.arange(units))


def write_out_gauge(
    mean_activation: Float[Tensor, " units"], write_out: Float[Tensor, "next_units units"] | None, symmetry: str
) -> Gauge:
    """The canonical gauge of a hook point, from its mean activation over train rows and its outgoing weights.

    Under ``permute_scale`` the scale is the norm of each unit's outgoing weights and the order is by mean activation
    in that scale, largest first: both follow the units through any permutation and positive rescaling.
    Under ``shift`` (logits) the mean of each row is taken off.
    """
    units = len(mean_activation)
    if symmetry == "shift":
        return Gauge(torch.ones(units, dtype=torch.float64), torch.arange(units), shift=True)
    if symmetry != "permute_scale" or write_out is None:
        raise ValueError(f"gauge: symmetry {symmetry!r} isn't known; known are 'permute_scale' and 'shift'.")
    scale = write_out.double().norm(dim=0)
    # Units that never fire tie at a mean of 0: their first outgoing weight, in the gauge, tells them apart.
    by_weight = torch.argsort((write_out[0].double() / scale).nan_to_num(), stable=True)
    mean = (mean_activation.double() * scale)[by_weight]
    return Gauge(scale, by_weight[torch.argsort(mean, descending=True, stable=True)])
