"""Are two latents active on the same inputs: the correlation of their codes, the primary view."""

from __future__ import annotations

import torch

from homolog.alignment.layer import Layer
from homolog.alignment.nulls import permute_rows, permute_within
from homolog.alignment.similarity import standardise
from homolog.alignment.views.base import Signatures, View
from homolog.dictionary import Dictionary


class Score(View):
    """Pearson correlation of codes over the same held-out inputs; legal always, once the gauge is fixed."""

    name = "score"

    def identified(self, a: Layer, b: Layer) -> bool:
        return True

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        codes = {fold: standardise(dictionary.codes(x)) for fold, x in layer.activations.items()}
        return Signatures(codes["match"], codes["score"])

    def null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures:
        """Inputs permuted: the codes keep their distribution and their correlations with each other."""
        plain = self.signatures(layer, dictionary)
        return Signatures(
            plain.match[:, permute_rows(plain.match.shape[1], generator)],
            plain.score[:, permute_rows(plain.score.shape[1], generator)],
        )

    def conditional_null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures:
        """Inputs permuted within their class: what "both networks know the classes" explains."""
        plain = self.signatures(layer, dictionary)
        return Signatures(
            plain.match[:, permute_within(layer.labels["match"], generator)],
            plain.score[:, permute_within(layer.labels["score"], generator)],
        )
