"""PCA: which orthogonal directions hold most of the activations' variance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.dictionary import Dictionary


class PCA(Decomposition):
    """Orthonormal latents in order of explained variance: the best affine reconstruction of its size (Pearson, 1901).

    Taking the mean off is all that sets it apart from the raw SVD: it makes the scores uncorrelated.
    `importance` is the standard deviation along each direction (divisor: samples).
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member.activations, member.options["n_latents"]) for member in members]

    def _fit(self, activations: Float[Tensor, "samples units"], n_latents: int) -> Dictionary:
        check_activations("PCA", activations, n_latents, min(activations.shape))
        x = activations.double()
        mean = x.mean(0)
        _, singular, right = torch.linalg.svd(x - mean, full_matrices=False)
        directions = right[:n_latents] * fix_signs(right[:n_latents])
        return Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=x.new_zeros(n_latents),
            bias=mean,
            firing_rate=x.new_ones(n_latents),
            importance=singular[:n_latents] / len(x) ** 0.5,
            ordered=True,
        )
