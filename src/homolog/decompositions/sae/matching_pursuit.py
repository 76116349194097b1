"""Matching-pursuit sparse autoencoders (Costa et al., 2025): codes are found one by one, each in what is still left."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import (
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    k_at,
)
from homolog.dictionary import Dictionary
from homolog.encoding import matching_pursuit


class MatchingPursuit(SparseAutoencoder):
    """k steps of matching pursuit encode, with the directions themselves as the encoder; loss: FVU over the batch.

    The gradient runs through all steps. Directions of which one is nearly contained in another can both be found,
    which a single product with an encoder can't do. There is no AuxK, since no latent has a pre-activation of its own,
    and no free decoder: a code is an inner product with a direction of unit norm, in which no norm could be free.
    """

    name = "MatchingPursuit"
    default_lr = 1e-3
    dead = ("resample", "none")
    decoders = ("unit_norm",)
    unused: ClassVar = {"encoder_init": "tied", "encoder_norm": 1.0}

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        return {name: common[name] for name in ("decoder", "bias")}

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        codes = matching_pursuit(x - p["bias"][:, None], p["decoder"], k_at(stack.options, stack.step))
        residual = x - decode(codes, p["decoder"], p["bias"])
        fvu = stack.fvu(residual)
        return Losses.of(fvu, {"fvu": fvu}, codes, residual)

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="matching_pursuit", k=stack.options["k"])
