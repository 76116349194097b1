"""Are two latents active on the same inputs: the correlation of their codes, the primary view, and its relatives."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.nulls import permute_groups, permute_rows, permute_within
from homolog.alignment.similarity import standardise
from homolog.alignment.views.base import Signatures, Similarities, View, unit_rows
from homolog.dictionary import Dictionary


class OfCodes(View):
    """Codes over the same held-out inputs; legal always, once the gauge is fixed."""

    # Only so many inputs of each fold are looked at; None: all.
    rows: int | None = None
    # The last that were asked for, and of what.
    _of: tuple[Layer, Dictionary, Signatures] | None = None

    @abstractmethod
    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        """What is compared of the codes: rows of norm 1, or of zeros."""

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        # All draws of a null permute the same codes, which take longer to compute than to permute.
        if self._of is None or self._of[0] is not layer or self._of[1] is not dictionary:
            seen = {fold: self.seen(dictionary.codes(x[: self.rows])) for fold, x in layer.activations.items()}
            self._of = layer, dictionary, Signatures(seen["match"], seen["score"])
        return self._of[2]

    def null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures:
        """Inputs permuted: the codes keep their distribution and their correlations with each other.

        Where rows belong to documents, these are permuted whole.
        """
        plain = self.signatures(layer, dictionary)
        if layer.documents is None:
            orders = [permute_rows(codes.shape[1], generator) for codes in (plain.match, plain.score)]
        else:
            orders = [permute_groups(layer.documents[fold][: self.rows], generator) for fold in FOLDS]
        return Signatures(plain.match[:, orders[0]], plain.score[:, orders[1]])

    def conditional_null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures | None:
        """Inputs permuted within their label, a class or a token: what "both networks know the labels" explains.

        None without labels.
        """
        if not layer.labels:
            return None
        plain = self.signatures(layer, dictionary)
        return Signatures(
            plain.match[:, permute_within(layer.labels["match"][: self.rows], generator)],
            plain.score[:, permute_within(layer.labels["score"][: self.rows], generator)],
        )


class Score(OfCodes):
    """Pearson correlation of codes."""

    name = "score"

    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        return standardise(codes)


class ScoreSpearman(OfCodes):
    """Pearson correlation of the ranks of codes (Spearman, 1904): the same for any increasing function of a code."""

    name = "score_spearman"

    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        return standardise(ranks(codes))


class ScoreJaccard(OfCodes):
    """Inputs on which both latents are on, over those on which either is (Jaccard, 1901): supports, not how strongly.

    A latent that is on for all inputs of a fold has a support that tells nothing: it is left out, and so are all
    latents of linear methods.
    """

    name = "score_jaccard"

    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        on = (codes != 0).T.double()
        return unit_rows(torch.where(on.all(1, keepdim=True), 0, on))

    def similarities(
        self, own: Signatures, other: Signatures, transport: Tensor | None, signed: bool, matchings: list[str]
    ) -> Similarities:
        return _jaccard(own.match, other.match), _jaccard(own.score, other.score)


def ranks(codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "samples latents"]:
    """Rank of each sample among those of its column, from 1; equal values share their mean rank."""
    columns = codes.double().T.contiguous()
    ascending = columns.sort(1).values
    below, not_above = (torch.searchsorted(ascending, columns, right=right) for right in (False, True))
    return ((below + not_above + 1) / 2).double().T


def _jaccard(a: Float[Tensor, "m samples"], b: Float[Tensor, "n samples"]) -> Float[Tensor, "m n"]:
    """Of supports as rows of norm 1: with sizes k and l their inner product is both / sqrt(k l)."""
    k, l = ((rows != 0).sum(1).double() for rows in (a, b))  # noqa: E741 (the other size)
    both = (a @ b.T) * (k[:, None] * l).sqrt()
    either = k[:, None] + l - both
    return torch.where(either > 0, both / torch.where(either > 0, either, 1), 0)
