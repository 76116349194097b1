"""Raw SVD: which directions hold most of the activations' square, the mean not taken off."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.dictionary import Dictionary


class SVD(Decomposition):
    """Right singular vectors of the uncentred activations, in order of singular value (Eckart & Young, 1936).

    Orthogonal directions, like PCA's; as the mean stays in, the first one mostly points at it, and scores are
    correlated. `importance` is the singular value over sqrt(samples).
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member.activations, member.options["n_latents"]) for member in members]

    def _fit(self, activations: Float[Tensor, "samples units"], n_latents: int) -> Dictionary:
        check_activations("SVD", activations, n_latents, min(activations.shape))
        x = activations.double()
        _, singular, right = torch.linalg.svd(x, full_matrices=False)
        directions = right[:n_latents] * fix_signs(right[:n_latents])
        return Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=x.new_zeros(n_latents),
            bias=x.new_zeros(x.shape[1]),
            firing_rate=x.new_ones(n_latents),
            importance=singular[:n_latents] / len(x) ** 0.5,
            ordered=True,
        )
