"""ICA: which directions carry sources that are statistically independent of each other?"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.decompositions.moments import Moments, moments
from homolog.dictionary import Dictionary
from homolog.streams import stream


class ICA(Decomposition):
    """Independent components by FastICA (Hyvärinen, 1999) on the whitened leading principal components.

    Directions are the mixing columns at unit norm: what one source adds to the activations. A code is its source times
    that norm, so that ``codes @ directions + bias`` is what PCA with as many latents reconstructs, the best there is.
    Sources have no order, and their sign is fixed by the direction. `importance` is the standard deviation of the
    code. Holds samples x n_latents scores in float64, and never all activations.

    FastICA may end at `max_iterations` without having converged, and on activations near to Gaussian it does: what it
    found is a rotation of PCA all the same, and whether that is stable is what the comparison tells. So it isn't an
    error that takes the whole grid down, but stands in the facts of the member: `iterations`, and `converged` (0 or 1).
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        moments_of = cache(moments)
        return [self._fit(member, moments_of(member.activations)) for member in members]

    def _fit(self, member: Member, own: Moments) -> Dictionary:
        x, n_latents = member.activations, member.options["n_latents"]
        check_activations("ICA", x, n_latents, min(x.samples, x.units))
        if n_latents > own.rank:
            raise ValueError(
                f"ICA can find at most {own.rank} latents here, the rank of the activations, but n_latents = "
                f"{n_latents}: lower n_latents."
            )
        deviations, components = (array[:n_latents] for array in own.principal)
        # Canonical: eigenvectors come with either sign, and the start would otherwise turn with it.
        components = components * fix_signs(components)
        whitening = components / deviations[:, None]
        scores = torch.cat([(block.double() - own.mean) @ whitening.T for block in x.blocks()])
        rotation, iterations = self._rotation(member, scores)
        mixing = rotation @ (components * deviations[:, None])
        norms = mixing.norm(dim=1, keepdim=True)
        directions = mixing / norms
        signs = fix_signs(directions)
        return Dictionary(
            directions=directions * signs,
            encoder=(rotation @ whitening) * norms * signs,
            encoder_bias=norms.new_zeros(n_latents),
            bias=own.mean,
            firing_rate=norms.new_ones(n_latents),
            importance=norms.squeeze(1),
            member={"iterations": iterations, "converged": int(iterations < member.options["max_iterations"])},
        )

    def _rotation(
        self, member: Member, scores: Float[Tensor, "samples latents"]
    ) -> tuple[Float[Tensor, "latents latents"], int]:
        """The rotation of white scores into independent sources, one a row, and the iterations that it took."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        latents = scores.shape[1]
        start = torch.randn(latents, latents, generator=stream("init", *member.key, member.seed, member.rows))
        ica = FastICA(
            whiten=False,
            max_iter=member.options["max_iterations"],
            tol=member.options["tolerance"],
            w_init=start.double().numpy(),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # Told by `converged`.
            ica.fit(scores.cpu().numpy())
        return torch.from_numpy(ica.components_).to(scores), int(ica.n_iter_)
