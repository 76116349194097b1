"""Do two latents do the same: what happens to the logits, input by input, when each is taken out?"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.nulls import permute_within
from homolog.alignment.views.base import Signatures, View, unit_rows
from homolog.dictionary import Dictionary
from homolog.streams import stream


class Effect(View):
    """Cosine of the changes of the centred logits, over the first 1,000 inputs of a fold, when a latent is ablated.

    The activation moves by ``(replacement - t(x)) d``: `t` is the latent's code, or (`taken` = projection) the
    activation's own part along the unit direction d, whether or not the encoder reads it. The replacement is the mean
    of t over these inputs (`put` = mean), 0 (zero), or t of another input (resample; one permutation of the inputs,
    the same in all runs). What is written, and to which logits, is compared together with when. Legal always, since
    inputs and classes are the same for every network, and a latent's sign cancels. The null is the base's: rotated
    dictionaries in the same network.
    """

    name = "effect"
    sign_told = True
    taken: Literal["code", "projection"] = "code"
    put: Literal["mean", "zero", "resample"] = "mean"

    def defined(self, a: Layer, b: Layer) -> bool:
        return bool(a.rest and b.rest) and a.rest["match"].logits.shape == b.rest["match"].logits.shape

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        found = {}
        for fold in FOLDS:
            rest = layer.rest[fold]
            directions, amounts = self._taken(dictionary, layer.activations[fold][: rest.rows])
            changes = self._put(amounts, fold) - amounts
            found[fold] = unit_rows(rest.effects(directions, changes.T).flatten(1))
        return Signatures(found["match"], found["score"])

    def conditional_null(
        self, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures | None = None
    ) -> Signatures | None:
        """Inputs permuted within their class: what "both networks know the classes" explains. None without classes."""
        if not layer.labels:
            return None
        plain = plain or self.signatures(layer, dictionary)
        permuted = {}
        for fold in FOLDS:
            rows = permute_within(layer.labels[fold][: layer.rest[fold].rows], generator)
            effects: Tensor = getattr(plain, fold)
            permuted[fold] = effects.reshape(len(effects), len(rows), -1)[:, rows].flatten(1)
        return Signatures(permuted["match"], permuted["score"])

    def _taken(
        self, dictionary: Dictionary, activations: Float[Tensor, "rows units"]
    ) -> tuple[Float[Tensor, "latents units"], Float[Tensor, "rows latents"]]:
        """Directions, and how much of each there is in each input."""
        if self.taken == "code":
            return dictionary.directions, dictionary.codes(activations)
        directions = unit_rows(dictionary.directions)
        return directions, activations @ directions.T

    def _put(self, amounts: Float[Tensor, "rows latents"], fold: str) -> Float[Tensor, "rows latents"]:
        if self.put == "mean":
            return amounts.mean(0).expand_as(amounts)
        if self.put == "zero":
            return torch.zeros_like(amounts)
        return amounts[torch.randperm(len(amounts), generator=stream("resample", fold)).to(amounts.device)]


class EffectZero(Effect):
    """`effect` with the code replaced by 0: a latent that is always on counts with its mean, too."""

    name = "effect_zero"
    put = "zero"


class EffectResample(Effect):
    """`effect` with the code replaced by that of another input, so that codes keep their distribution."""

    name = "effect_resample"
    put = "resample"


class EffectProjection(Effect):
    """`effect` with the activation's projection on the direction replaced by its mean: the direction, not the code."""

    name = "effect_projection"
    taken = "projection"


class EffectProjectionZero(EffectProjection):
    """`effect_projection` with 0 in its place: the direction is erased (as in Arditi et al., 2024)."""

    name = "effect_projection_zero"
    put = "zero"


class EffectProjectionResample(EffectProjection):
    """`effect_projection` with the projection of another input in its place."""

    name = "effect_projection_resample"
    put = "resample"
