"""Which of the many equal descriptions of a hook point do we read: the gauge, fixed before anything is decomposed.

A hidden layer computes the same when its units are permuted; with ReLU each can also be rescaled by a positive number
(the next layer takes the factor back), with tanh change its sign. A residual stream that is read through a norm can be
rotated. PCA, SVD and sparse autoencoders see another cloud of points after a rescaling, and what draws random numbers
for each unit after any of these, so their latents would differ between two descriptions of one and the same network.
The gauge picks one description.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Gauge:
    """`scale` multiplies each unit (by a sign where that is the symmetry); `order` lists the units in canonical order;
    `shift` takes off each row's mean; the columns of `rotation` are the canonical axes of a space without units
    (zeros for one that is left out).
    """

    scale: Float[Tensor, " units"]
    order: Int[Tensor, " units"]
    shift: bool = False
    rotation: Float[Tensor, "units units"] | None = None

    def fix(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Activations in the gauge, in the model's own order or axes."""
        if self.shift:
            return activations - activations.mean(1, keepdim=True)
        return activations * self.scale.to(activations)

    def canonical(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Activations in the gauge, in canonical order or axes: what is decomposed."""
        if self.rotation is not None:
            return self.fix(activations) @ self.rotation.to(activations)
        order = self.order.to(activations.device)
        if self.shift:
            return self.fix(activations).index_select(1, order)
        # In place on the copy, and not by advanced indexing, which takes several times as long.
        return activations.index_select(1, order).mul_(self.scale.to(activations)[order])

    def to_model_order(self, directions: Float[Tensor, "latents units"]) -> Float[Tensor, "latents units"]:
        """Directions over canonical units or axes, back over the model's own; still in the gauge's scale."""
        if self.rotation is not None:
            return directions @ self.rotation.to(directions).T
        restored = torch.empty_like(directions)
        restored[:, self.order] = directions
        return restored

    def to_canonical_order(self, directions: Float[Tensor, "latents units"]) -> Float[Tensor, "latents units"]:
        """What `to_model_order` undoes."""
        if self.rotation is not None:
            return directions @ self.rotation.to(directions)
        return directions[:, self.order.to(directions.device)]

    def undo(self, canonical: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Activations as the network computes them, up to what it can't see: a row's mean that was taken off is 0, and
        so is a unit without outgoing weights.
        """
        restored = self.to_model_order(canonical)
        scale = self.scale.to(restored)
        return torch.where(scale != 0, restored / torch.where(scale != 0, scale, 1), 0)


def no_gauge(units: int) -> Gauge:
    """The gauge that changes nothing (option ``gauge: none``)."""
    return Gauge(torch.ones(units, dtype=torch.float64), torch.arange(units))


def canonical_gauge(
    mean_activation: Float[Tensor, " units"],
    write_out: Float[Tensor, "next_units units"] | None,
    symmetry: str,
    covariance: Float[Tensor, "units units"] | None = None,
) -> Gauge:
    """The gauge of a hook point, from its mean activation (and covariance) over train rows and its outgoing weights.

    Each choice follows the units, or axes, through every map of the symmetry:

    - ``permute_scale`` (ReLU): the scale is the norm of each unit's outgoing weights; the order is by mean activation
      in that scale, largest first. ``permute`` (GELU): the order alone. ``permute_sign`` (tanh): signs by which no mean
      activation is negative, then the order.
    - ``rotate`` (a stream under RMSNorm): the principal axes, of falling variance, with signs by which the mean
      activation has no negative coordinate. Axes of equal variance stay arbitrary. ``rotate_fix_ones`` (LayerNorm): the
      same after the mean of each row is taken off, which nothing reads.
    - ``shift`` (logits): the mean of each row is taken off.

    Raises ValueError for another symmetry, or where one lacks what it needs.
    """
    units = len(mean_activation)
    ones, order = torch.ones(units, dtype=torch.float64), torch.arange(units)
    mean = mean_activation.double()
    if symmetry == "shift":
        return Gauge(ones, order, shift=True)
    if symmetry in ("rotate", "rotate_fix_ones") and covariance is not None:
        centred = symmetry == "rotate_fix_ones"
        return Gauge(ones, order, centred, _principal_axes(mean, covariance.double(), centred))
    if symmetry not in ("permute_scale", "permute", "permute_sign") or write_out is None:
        raise ValueError(
            f"gauge: symmetry {symmetry!r} isn't known, or lacks outgoing weights or a covariance; known are "
            "'permute_scale', 'permute', 'permute_sign', 'rotate', 'rotate_fix_ones' and 'shift'."
        )
    written = write_out.double()
    if symmetry == "permute_scale":
        scale = written.norm(dim=0)
    else:
        # A unit of mean 0 is silent (or exactly balanced): its first outgoing weight has the sign then.
        signed = torch.where(mean != 0, mean, written[0])
        scale = torch.where(signed < 0, -ones, ones) if symmetry == "permute_sign" else ones
    # Units that never fire tie at a mean of 0: their first outgoing weight, in the gauge, tells them apart.
    by_weight = torch.argsort((written[0] / scale).nan_to_num(), stable=True)
    return Gauge(scale, by_weight[torch.argsort((mean * scale)[by_weight], descending=True, stable=True)])


def _principal_axes(
    mean: Float[Tensor, " units"], covariance: Float[Tensor, "units units"], centred: bool
) -> Float[Tensor, "units units"]:
    """Eigenvectors of the covariance as columns, largest eigenvalue first; `centred`: of rows without their mean.

    Then the last axis, that of the vector of ones, is a column of zeros: what is left there is rounding, which an
    optimiser that rescales its steps would make something of.
    """
    basis = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
    if centred:
        basis[:, 0] = 1
        basis = torch.linalg.qr(basis)[0][:, 1:]
    within = basis.T @ covariance @ basis
    axes = basis @ torch.linalg.eigh((within + within.T) / 2)[1].flip(1)
    signs = torch.where(mean @ axes < 0, -1.0, 1.0)
    return torch.nn.functional.pad(axes * signs, (0, len(mean) - axes.shape[1]))
