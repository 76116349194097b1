"""NMF: which non-negative parts do non-negative activations add up from?"""

from __future__ import annotations

import warnings

import torch
from torch.nn.functional import normalize

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations
from homolog.decompositions.classical import measured, random_state
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary


class NMF(Decomposition):
    """Non-negative matrix factorisation (Lee & Seung, 1999) from a random start, by scikit-learn's coordinate descent.

    Directions and codes are non-negative, and the bias is zero. Codes are the non-negative least squares with the
    directions fixed, for old rows and new ones alike, so the encoder takes no part in them: it holds the directions.
    `importance` is the root mean square code. A latent that died has a direction of zeros. Whether it converged stands
    in the facts of the member: `iterations`, and `converged` (0 or 1). Loads all rows.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member) for member in members]

    def _fit(self, member: Member) -> Dictionary:
        from sklearn.decomposition import NMF as ScikitNMF
        from sklearn.exceptions import ConvergenceWarning

        x, n_latents = member.activations, member.options["n_latents"]
        check_activations("NMF", x, n_latents)
        _refuse_negative(x)
        nmf = ScikitNMF(
            n_latents,
            init="random",
            max_iter=member.options["max_iterations"],
            tol=member.options["tolerance"],
            random_state=random_state(member),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # Told by `converged`.
            nmf.fit(x.whole().cpu().numpy())
        directions = normalize(torch.from_numpy(nmf.components_).to(x.device), dim=1)
        dictionary = Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=directions.new_zeros(n_latents),
            bias=directions.new_zeros(x.units),
            firing_rate=directions.new_ones(n_latents),
            importance=directions.new_ones(n_latents),
            activation="non_negative",
            signed=True,
            member={
                "iterations": int(nmf.n_iter_),
                "converged": int(nmf.n_iter_ < member.options["max_iterations"]),
            },
        )
        return measured(dictionary, x)


def _refuse_negative(activations: Samples) -> None:
    negative = sum(int((block < 0).sum()) for block in activations.blocks())
    if negative:
        raise ValueError(
            f"NMF needs activations that aren't negative, but {negative} of the {activations.samples} x "
            f"{activations.units} (samples x units) values are: choose a hook point after a ReLU, or another method."
        )
