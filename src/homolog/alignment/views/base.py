"""What a view must say: how a latent looks in it, when that is identified, and what chance would give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.alignment.nulls import spectral_rotation
from homolog.dictionary import Dictionary


@dataclass(frozen=True)
class Signatures:
    """Unit-norm rows (zero where undefined) whose inner product is the similarity; pairs are selected on `match`."""

    match: Float[Tensor, "latents features"]
    score: Float[Tensor, "latents features"]


class View(ABC):
    """A space in which latents of two runs are compared by the inner product of their signatures."""

    name: str
    caveat: str = ""

    @abstractmethod
    def identified(self, a: Layer, b: Layer) -> bool:
        """Whether the symmetries of the two networks leave this comparison a meaning."""

    def defined(self, a: Layer, b: Layer) -> bool:
        """Whether it can be computed at all, meaning or not."""
        return True

    @abstractmethod
    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        """How each latent looks in this view."""

    def null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures:
        """Signatures if only the data's spectrum were shared: rotated among directions of like variance."""
        return self.signatures(layer, dictionary.rotated(spectral_rotation(layer.covariance, generator)))

    def conditional_null(self, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Signatures | None:
        """The signatures if only what the networks trivially agree on were shared; None in purely geometric views."""
        return None

    def transport(self, a: Layer, b: Layer) -> Float[Tensor, "features_b features_a"] | None:
        """Map from b's features to a's, fitted on the match fold; None where both are the same space."""
        return None


def unit_rows(rows: Float[Tensor, "latents features"]) -> Float[Tensor, "latents features"]:
    """Rows of norm 1; rows that are zero stay zero."""
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1.0)
