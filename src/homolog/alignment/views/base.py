"""What a view must say: how a latent looks in it, when that is identified, and what chance would give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.dictionary import Dictionary

# Maps of a hook point that leave its network's function alone, by the names that `Layer.symmetry` has.
# Of "none" nothing is known, since others recorded the activations: they are taken as those of such units.
OF_UNITS = frozenset({"permute_scale", "permute", "permute_sign", "none"})
OF_STREAMS = frozenset({"rotate", "rotate_fix_ones"})
OF_LOGITS = frozenset({"shift"})
EVERY = OF_UNITS | OF_STREAMS | OF_LOGITS
FRAMES = {
    "below": "all weights below the layer",
    "above": "the weights that fix the basis of the next layer",
    "own": "the weights that fix the hook point's own basis",
}


@dataclass(frozen=True)
class Signatures:
    """Unit-norm rows (zero where undefined), made on two folds of inputs; pairs are selected on `match`."""

    match: Float[Tensor, "latents features"]
    score: Float[Tensor, "latents features"]

    @property
    def seen(self) -> Bool[Tensor, " latents"]:
        """Latents of which there is something to see, on both folds."""
        return (self.match != 0).any(1) & (self.score != 0).any(1)

    @property
    def live(self) -> Bool[Tensor, " latents"] | None:
        """Latents that are active on some input of each fold, where signatures tell; else None."""
        return None

    def of(self, latents: Bool[Tensor, " latents"]) -> Signatures:
        """Those of some latents."""
        return Signatures(self.match[latents], self.score[latents])


# (latents_a, latents_b) each: what selects pairs, what scores them and, in some views, what the score is a share of.
Similarities = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]


class View(ABC):
    """A space in which latents of two runs are compared, by the inner product of their signatures where not said else.

    A view declares what it needs to have a meaning. `shares`: the frame that the two runs must have in common (none,
    or one of `Frames`). `blind_to`: the symmetries of a hook point under which it gives the same, once the gauge is
    fixed; of any other the two runs must be known to be free, that is, share their own frame. `sign_told`: whether it
    tells a latent from its negative also for methods of which a latent's sign means nothing. `by_latent`: whether a
    single latent's similarity says something, or only the mean over many.

    Asked for `by_name`, a comparison without a meaning is computed, and labelled as not identified. Else it's an error.
    """

    name: str
    caveat: str = ""
    shares: str = ""
    blind_to: frozenset[str] = EVERY
    sign_told: bool = False
    by_latent: bool = True
    instead: str = "score or effect, which need no common basis"

    def __init__(self, by_name: bool = False) -> None:
        self.by_name = by_name

    def identified(self, a: Layer, b: Layer) -> bool:
        """Whether the symmetries of the two networks leave this comparison a meaning."""
        shared = not self.shares or getattr(a.frames, self.shares) == getattr(b.frames, self.shares)
        return shared and ({a.symmetry, b.symmetry} <= self.blind_to or a.frames.own == b.frames.own)

    def check(self, a: Layer, b: Layer) -> None:
        """Raise ValueError where the comparison isn't identified, unless it was asked for by name."""
        if self.by_name or self.identified(a, b):
            return
        needs = f"equal runs need {FRAMES[self.shares]} in common" if self.shares else ""
        symmetry = " and ".join(sorted({a.symmetry, b.symmetry} - self.blind_to))
        free = f"the symmetry {symmetry} changes it" if symmetry else ""
        raise ValueError(
            f"{self.name} isn't identified between {a.run} and {b.run} at {a.hook_point}: "
            f"{', and '.join(filter(None, (needs, free)))}. Use {self.instead}; or ask for it by name (`views: "
            f"[{self.name}]` of an analysis, by_name=True in Python): it is computed then, and labelled not identified."
        )

    def defined(self, a: Layer, b: Layer) -> bool:
        """Whether it can be computed at all, meaning or not."""
        return True

    @abstractmethod
    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        """How each latent looks in this view."""

    def similarities(
        self, own: Signatures, other: Signatures, transport: Tensor | None, signed: bool, matchings: list[str]
    ) -> Similarities:
        """Similarity of each latent with each other one, on the fold that selects pairs and on the one that scores.

        `signed`: whether a latent's sign means something; where not, the similarity is absolute. All that is read of
        the second matrix are pairs that one of `matchings` selects on the first.
        """
        sides = ((own.match, other.match), (own.score, other.score))
        products = [a @ (b if transport is None else b @ transport).T for a, b in sides]
        match, score = products if signed or self.sign_told else [product.abs() for product in products]
        return match, score

    def null(
        self, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures | None = None
    ) -> Signatures:
        """Signatures if only the data's spectrum were shared: rotated among directions of like variance.

        `plain` are the dictionary's `signatures`, where they are known: some nulls are made of them.
        """
        return self.signatures(layer, dictionary.rotated(layer.spectrum.rotation(generator)))

    def conditional_null(
        self, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures | None = None
    ) -> Signatures | None:
        """The signatures if only what the networks trivially agree on were shared; None in purely geometric views."""
        return None

    def transport(self, a: Layer, b: Layer) -> Float[Tensor, "features_b features_a"] | None:
        """Map from b's features to a's, fitted on the match fold; None where both are the same space."""
        return None


def unit_rows(rows: Float[Tensor, "latents features"]) -> Float[Tensor, "latents features"]:
    """Rows of norm 1; rows that are zero stay zero."""
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1.0)
