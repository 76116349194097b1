"""Raw SVD: which directions hold most of the activations' square, the mean not taken off."""

from __future__ import annotations

from functools import cache

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.decompositions.moments import Moments, moments
from homolog.dictionary import Dictionary


class SVD(Decomposition):
    """Right singular vectors of the uncentred activations, in order of singular value (Eckart & Young, 1936).

    Orthogonal directions, like PCA's; as the mean stays in, the first one mostly points at it, and scores are
    correlated. `importance` is the singular value over sqrt(samples). Computed in float64 from second moments, which
    are read in one pass and shared by all members with the same samples.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        moments_of = cache(moments)
        return [self._fit(member, moments_of(member.activations)) for member in members]

    def _fit(self, member: Member, own: Moments) -> Dictionary:
        x, n_latents = member.activations, member.options["n_latents"]
        check_activations("SVD", x, n_latents, min(x.samples, x.units))
        sizes, directions = (array[:n_latents] for array in own.singular)
        directions = directions * fix_signs(directions)
        return Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=directions.new_zeros(n_latents),
            bias=directions.new_zeros(x.units),
            firing_rate=directions.new_ones(n_latents),
            importance=sizes,
            ordered=True,
        )
