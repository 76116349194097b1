"""Is Y gone where the answer to it is erased from a layer in closed form, so that nothing linear can read it?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from homolog.antilearning.base import Edit, TaskPair
from homolog.antilearning.techniques.base import Model, Part, joined, layers_of

# Directions with less of the largest variance are none.
RANK_TOLERANCE = 1e-6


@dataclass
class Leace(Part):
    """After training on X the labels of Y are erased from a layer (LEACE; Belrose et al., 2023), at whatever it reads.

    Fitted to the rows of Y that may be trained on. `layer`: None is the last one before the logits.
    """

    layer: str | None = None

    def check(self, pair: TaskPair) -> None:
        super().check(pair)
        layers_of(pair, self.layer)

    @torch.no_grad()
    def finish(self, pair: TaskPair, model: Model) -> Model:
        layer = self.layer or pair.network.layers[-2]
        seen = pair.network.activations(model.parameters, pair.y.train.inputs, model.edits)[layer]
        edit = erasure(seen, pair.y.train.labels, pair.classes)
        return Model(model.parameters, joined(model.edits, {layer: edit}))


def erasure(
    activations: Float[Tensor, "members rows units"], labels: Int[Tensor, "members rows"], classes: int
) -> Edit:
    """The affine map that changes activations least such that no linear reader has an advantage at the labels.

    ``x - W^+ P W (x - mean)`` with ``W`` the whitening and ``P`` the projection onto the whitened cross-covariance with
    the labels (theorem 4.2).
    """
    seen, told = activations.double(), one_hot(labels, classes).double()
    mean = seen.mean(1, keepdim=True)
    centred, told = seen - mean, told - told.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(centred.mT @ centred / seen.shape[1])
    known = variances > RANK_TOLERANCE * variances.amax(1, keepdim=True)
    scales = variances.clamp_min(0).sqrt()
    whitened = torch.where(known, 1 / scales, 0.0)[..., None] * axes.mT
    crossed = whitened @ (centred.mT @ told) / seen.shape[1]
    left, strengths, _ = torch.linalg.svd(crossed, full_matrices=False)
    left = left * (strengths > RANK_TOLERANCE)[:, None, :]
    unwhitened = axes * torch.where(known, scales, 0.0)[:, None, :]
    back, read = (unwhitened @ left).float(), (left.mT @ whitened).float()

    def edit(values: Tensor) -> Tensor:
        erased: Tensor = values - (values - mean.float()) @ read.mT @ back.mT
        return erased

    return edit
