"""CCA with a partner hook point: which directions of this layer are most correlated with some direction of another?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.dictionary import Dictionary

# Singular values below this share of the largest are rounding, not data (Golub & Van Loan: eps times a dimension).
RANK_TOLERANCE = 1e-10


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
        x, y = member.activations.double(), member.partner.double()
        for name, side in (("CCA", x), ("CCA's partner", y)):
            check_activations(name, side, n_latents, min(side.shape))
        mean = x.mean(0)
        left_x, singular_x, right_x = _thin_svd(x - mean)
        left_y, _, _ = _thin_svd(y - y.mean(0))
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
            encoder_bias=x.new_zeros(n_latents),
            bias=mean,
            firing_rate=x.new_ones(n_latents),
            importance=correlations[:n_latents].clamp(0, 1),
            ordered=True,
        )


def _thin_svd(
    centred: Float[Tensor, "samples units"],
) -> tuple[Float[Tensor, "samples rank"], Float[Tensor, " rank"], Float[Tensor, "rank units"]]:
    left, singular, right = torch.linalg.svd(centred, full_matrices=False)
    kept = singular > RANK_TOLERANCE * singular[0]
    return left[:, kept], singular[kept], right[kept]
