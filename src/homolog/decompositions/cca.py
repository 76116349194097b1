"""CCA with a partner hook point: which directions of this layer are most correlated with some direction of another?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.dictionary import Dictionary


class CCA(Decomposition):
    """Canonical variates of unit variance, in order of canonical correlation, their `importance` (Hotelling, 1936).

    Computed from thin SVDs with a rank cut (Björck & Golub, 1973), never by inverting a covariance. The directions are
    the patterns Sigma W (W' Sigma W)^-1 (Haufe et al., 2014), not the filters W: a filter also holds what it must
    cancel. Patterns have unit norm; the encoder takes the factor.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member) for member in members]

    def _fit(self, member: Member) -> Dictionary:
        n_latents = member.options["n_latents"]
        if member.partner is None:
            raise ValueError("CCA needs a second hook point: set `partner` in the decomposition's options.")
        x, y = member.activations, member.partner
        for name, side in (("CCA", x), ("CCA's partner", y)):
            check_activations(name, side, n_latents, min(side.shape))
        left_x, singular_x, right_x = _thin_svd(x)
        left_y, _, _ = _thin_svd(y)
        rank = min(left_x.shape[1], left_y.shape[1])
        if n_latents > rank:
            raise ValueError(
                f"CCA can find at most {rank} latents here: the activations have rank {left_x.shape[1]}, the partner's "
                f"{left_y.shape[1]}, but n_latents = {n_latents}: lower n_latents, or choose another partner."
            )
        rotation, correlations, _ = torch.linalg.svd(left_x.T @ left_y, full_matrices=False)
        rotation = rotation[:, :n_latents]
        scale = len(x) ** 0.5
        # The variates are left_x @ rotation * sqrt(n): unit variance, uncorrelated; so the pattern is x' variates / n.
        filters = (right_x.T / singular_x) @ rotation * scale
        patterns = (right_x.T * singular_x) @ rotation / scale
        norms = patterns.norm(dim=0)
        directions = (patterns / norms).T
        signs = fix_signs(directions)
        return Dictionary(
            directions=directions * signs,
            encoder=(filters * norms).T * signs,
            encoder_bias=norms.new_zeros(n_latents),
            bias=x.double().mean(0),
            firing_rate=norms.new_ones(n_latents),
            importance=correlations[:n_latents].clamp(0, 1),
            ordered=True,
        )


def _thin_svd(
    activations: Float[Tensor, "samples units"],
) -> tuple[Float[Tensor, "samples rank"], Float[Tensor, " rank"], Float[Tensor, "rank units"]]:
    """The SVD of the centred activations in float64, without directions that are only rounding."""
    x = activations.double()
    left, singular, right = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    # Rounding entries to the input's dtype moves a singular value by at most eps * ||X||_F, X uncentred (Weyl, 1912):
    # units that depend on each other in float32 have singular values of that size, and whitening would blow them up.
    kept = singular > 4 * torch.finfo(activations.dtype).eps * torch.linalg.matrix_norm(x)
    return left[:, kept], singular[kept], right[kept]
