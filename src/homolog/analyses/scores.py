"""When is each live latent of a dictionary active on the held-out inputs, and how alike are two of them in that?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.links import Matrix, Similarities
from homolog.alignment.matching import LARGE
from homolog.alignment.nulls import permute_groups, permute_rows, permute_within
from homolog.alignment.similarity import standardise
from homolog.alignment.sparse_codes import Correlation, SparseCodes, are_few
from homolog.dictionary import Dictionary


@dataclass(frozen=True)
class Codes:
    """Codes of a dictionary's live latents on both folds: those that vary on each, so that they correlate at all."""

    live: Bool[np.ndarray, " latents"]
    values: dict[str, Float[Tensor, "samples live"]]
    labels: dict[str, Int[Tensor, " samples"]]
    documents: dict[str, Int[Tensor, " samples"]] | None = None

    @classmethod
    def of(
        cls,
        values: dict[str, Float[Tensor, "samples latents"]],
        labels: dict[str, Int[Tensor, " samples"]],
        documents: dict[str, Int[Tensor, " samples"]] | None = None,
    ) -> Codes:
        """From the codes of all latents by fold."""
        varies = [(standardise(codes) != 0).any(1) for codes in values.values()]
        live = torch.stack(varies).all(0).cpu()
        kept = {fold: codes[:, live.to(codes.device)].cpu() for fold, codes in values.items()}
        together = documents and {fold: index.cpu() for fold, index in documents.items()}
        return cls(live.numpy(), kept, {fold: index.cpu() for fold, index in labels.items()}, together)

    @classmethod
    def read(cls, layer: Layer, dictionary: Dictionary) -> Codes:
        """What a dictionary that was fitted to `layer` reads of its held-out inputs."""
        codes = {fold: dictionary.codes(x) for fold, x in layer.activations.items()}
        return cls.of(codes, layer.labels, layer.documents)

    @cached_property
    def rows(self) -> dict[str, Float[Tensor, "live samples"]]:
        """The same centred and of unit norm: inner products are Pearson's r."""
        return {fold: standardise(codes) for fold, codes in self.values.items()}

    @cached_property
    def sparse(self) -> dict[str, SparseCodes]:
        """The same as their non-zeros."""
        return {fold: SparseCodes.stack([codes]) for fold, codes in self.values.items()}

    @cached_property
    def are_few(self) -> bool:
        """Whether they are, on both folds."""
        return all(are_few(codes) for codes in self.values.values())

    def shuffled(self, generator: torch.Generator, within_class: bool) -> Codes:
        """The codes with their inputs permuted, in each fold by itself: all, or only within a class.

        Where rows belong to documents, all means these, whole.
        """
        order = {fold: self._order(fold, generator, within_class) for fold in self.values}
        moved = replace(self, values={fold: codes[order[fold]] for fold, codes in self.values.items()})
        # What is known already needs no second look at the codes.
        if "rows" in vars(self):
            vars(moved)["rows"] = {fold: rows[:, order[fold]] for fold, rows in self.rows.items()}
        if "sparse" in vars(self):
            vars(moved)["sparse"] = {fold: self.sparse[fold].in_order(order[fold].numpy()) for fold in order}
        return moved

    def _order(self, fold: str, generator: torch.Generator, within_class: bool) -> Int[Tensor, " samples"]:
        if within_class:
            return permute_within(self.labels[fold], generator)
        if self.documents is None:
            return permute_rows(len(self.values[fold]), generator)
        return permute_groups(self.documents[fold], generator)


def correlate(
    a: Codes, b: Codes, signed: bool
) -> tuple[Float[Tensor, "live_a live_b"], Float[Tensor, "live_a live_b"]]:
    """Pearson's r of the live latents of a with those of b, on the fold that selects and on the one that scores.

    With `signed` false its size.
    """
    if a.are_few and b.are_few:
        match, score = (Correlation(a.sparse[fold], b.sparse[fold], signed).matrix() for fold in FOLDS)
        return match, score
    match, score = (a.rows[fold] @ b.rows[fold].T for fold in FOLDS)
    return (match, score) if signed else (match.abs(), score.abs())


def similarities(codes: Sequence[Codes], signed: bool) -> Similarities:
    """`correlate` of any two of several dictionaries, as `links.link` asks for it.

    Where both are large it is never a matrix in memory.
    """

    def between(i: int, j: int) -> tuple[Matrix, Matrix]:
        if min(int(codes[i].live.sum()), int(codes[j].live.sum())) < LARGE:
            return correlate(codes[i], codes[j], signed)
        match, score = (Correlation(codes[i].sparse[fold], codes[j].sparse[fold], signed) for fold in FOLDS)
        return match, score

    return between
