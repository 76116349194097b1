"""Are two latents active on the same inputs: the correlation of their codes, the primary view, and its relatives."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.nulls import permute_groups, permute_rows, permute_within
from homolog.alignment.similarity import standardise
from homolog.alignment.sparse_codes import Correlation, SparseCodes, are_few
from homolog.alignment.views.base import Signatures, Similarities, View, unit_rows
from homolog.dictionary import Dictionary

# Of fewer codes than these it takes less time to multiply all, whatever they are.
MANY = 2**16


class FewCodes(Signatures):
    """Standardised codes most of which are 0, held as the non-zeros by fold; rows are made where they are asked for."""

    codes: dict[str, SparseCodes]

    def __init__(self, codes: dict[str, SparseCodes]) -> None:
        vars(self)["codes"] = codes

    @cached_property
    def match(self) -> Float[Tensor, "latents samples"]:
        return self._rows("match")

    @cached_property
    def score(self) -> Float[Tensor, "latents samples"]:
        return self._rows("score")

    @property
    def seen(self) -> Bool[Tensor, " latents"]:
        match, score = (torch.from_numpy(codes.moments.inverse != 0) for codes in self.codes.values())
        return match & score

    @property
    def live(self) -> Bool[Tensor, " latents"]:
        match, score = (torch.from_numpy(codes.counts > 0) for codes in self.codes.values())
        return match & score

    def of(self, latents: Bool[Tensor, " latents"]) -> FewCodes:
        chosen = np.flatnonzero(latents.cpu().numpy())
        return FewCodes({fold: codes.of_latents(chosen) for fold, codes in self.codes.items()})

    def _rows(self, fold: str) -> Float[Tensor, "latents samples"]:
        return standardise(torch.from_numpy(self.codes[fold].dense()))


class OfCodes(View):
    """Codes over the same held-out inputs; legal always, once the gauge is fixed."""

    # Only so many inputs of each fold are looked at; None: all.
    rows: int | None = None

    @abstractmethod
    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        """What is compared of the codes: rows of norm 1, or of zeros."""

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        seen = {fold: self.seen(dictionary.codes(x[: self.rows])) for fold, x in layer.activations.items()}
        return Signatures(seen["match"], seen["score"])

    def null(
        self, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures | None = None
    ) -> Signatures:
        """Inputs permuted: the codes keep their distribution and their correlations with each other.

        Where rows belong to documents, these are permuted whole.
        """
        if layer.documents is None:
            orders = [permute_rows(len(x[: self.rows]), generator) for x in layer.activations.values()]
        else:
            orders = [permute_groups(layer.documents[fold][: self.rows], generator) for fold in FOLDS]
        return _in_order(plain or self.signatures(layer, dictionary), orders)

    def conditional_null(
        self, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures | None = None
    ) -> Signatures | None:
        """Inputs permuted within their label, a class or a token: what "both networks know the labels" explains.

        None without labels.
        """
        if not layer.labels:
            return None
        orders = [permute_within(layer.labels[fold][: self.rows], generator) for fold in FOLDS]
        return _in_order(plain or self.signatures(layer, dictionary), orders)


def _in_order(plain: Signatures, orders: list[Int[Tensor, " samples"]]) -> Signatures:
    """Signatures of codes whose inputs come in another order, in each fold."""
    if isinstance(plain, FewCodes):
        parts = zip(plain.codes.items(), orders, strict=True)
        return FewCodes({fold: codes.in_order(order.cpu().numpy()) for (fold, codes), order in parts})
    return Signatures(plain.match[:, orders[0]], plain.score[:, orders[1]])


class Score(OfCodes):
    """Pearson correlation of codes."""

    name = "score"

    def seen(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
        return standardise(codes)

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        codes = {fold: dictionary.codes(layer.activations[fold][: self.rows]) for fold in FOLDS}
        if all(one.numel() >= MANY and are_few(one) for one in codes.values()):
            return FewCodes({fold: SparseCodes.stack([one]) for fold, one in codes.items()})
        return Signatures(self.seen(codes["match"]), self.seen(codes["score"]))

    def similarities(
        self, own: Signatures, other: Signatures, transport: Tensor | None, signed: bool, matchings: list[str]
    ) -> Similarities:
        if not (isinstance(own, FewCodes) and isinstance(other, FewCodes)):
            return super().similarities(own, other, transport, signed, matchings)
        match, score = (Correlation(own.codes[fold], other.codes[fold], signed).matrix() for fold in FOLDS)
        return match, score


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
