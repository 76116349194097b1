"""CCA with a partner hook point: which directions of this layer are most correlated with some direction of another?"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.decompositions.moments import Moments, moments
from homolog.dictionary import Dictionary


class CCA(Decomposition):
    """Canonical variates of unit variance, in order of canonical correlation, their `importance` (Hotelling, 1936).

    Computed between the principal components of both sides, each scaled to unit variance, those left out that are only
    rounding (Björck & Golub, 1973); their covariances come from one pass over both sides in float64. The directions
    are the patterns Sigma W (W' Sigma W)^-1 (Haufe et al., 2014), not the filters W: a filter also holds what it must
    cancel. Patterns have unit norm; the encoder takes the factor.
    """

    name: ClassVar[str] = "CCA"

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        moments_of = cache(moments)
        dictionaries = []
        for member in members:
            if member.partner is None:
                raise ValueError(
                    f"{self.name} needs a second hook point: set `partner` in the decomposition's options."
                )
            x, y = member.activations, member.partner
            joint = moments_of(x, y)
            for name, side in ((self.name, x), (f"{self.name}'s partner", y)):
                check_activations(name, side, member.options["n_latents"], min(side.samples, side.units))
            dictionaries.append(self._fit(member, joint, x.units))
        return dictionaries

    def kept(self, own: Moments, member: Member) -> int:
        """How many leading principal components of one side take part."""
        return own.rank

    def _fit(self, member: Member, joint: Moments, units: int) -> Dictionary:
        n_latents = member.options["n_latents"]
        x, y = joint.of(slice(units)), joint.of(slice(units, None))
        kept_x, kept_y = self.kept(x, member), self.kept(y, member)
        if n_latents > min(kept_x, kept_y):
            raise ValueError(self._too_many(n_latents, kept_x, kept_y))
        deviations, components = (array[:kept_x] for array in x.principal)
        deviations_y, components_y = (array[:kept_y] for array in y.principal)
        whitened = components / deviations[:, None]
        between = whitened @ joint.covariance[:units, units:] @ (components_y / deviations_y[:, None]).T
        rotation, correlations, _ = torch.linalg.svd(between, full_matrices=False)
        rotation = rotation[:, :n_latents].T
        # The variates are (x - mean) @ filters.T: unit variance, uncorrelated; so the pattern is x' variates / samples.
        filters = rotation @ whitened
        patterns = rotation @ (components * deviations[:, None])
        norms = patterns.norm(dim=1, keepdim=True)
        directions = patterns / norms
        signs = fix_signs(directions)
        return Dictionary(
            directions=directions * signs,
            encoder=filters * norms * signs,
            encoder_bias=norms.new_zeros(n_latents),
            bias=x.mean,
            firing_rate=norms.new_ones(n_latents),
            importance=correlations[:n_latents].clamp(0, 1),
            ordered=True,
        )

    def _too_many(self, n_latents: int, kept_x: int, kept_y: int) -> str:
        return (
            f"{self.name} can find at most {min(kept_x, kept_y)} latents here: the activations have rank {kept_x}, the "
            f"partner's {kept_y}, but n_latents = {n_latents}: lower n_latents, or choose another partner."
        )
