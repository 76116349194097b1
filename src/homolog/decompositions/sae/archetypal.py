"""Archetypal sparse autoencoders (Fel et al., 2025): directions are mixtures of data points, so they stay near them."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import (
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    k_at,
    pre_activations,
)
from homolog.decompositions.sae.initial import random_rows
from homolog.dictionary import Dictionary
from homolog.encoding import top_k

# Share of one data point in each direction's mixture at the start; the others have the rest, and a gradient.
START_SHARE = 0.9


class Archetypal(SparseAutoencoder):
    """TopK of which the directions are ``W C + L``, brought to unit norm: W the mixture, each row a convex combination.

    C are `candidates` data points less their mean, drawn by each member for itself: the published stability came from a
    C that was found once by k-means and shared by all seeds. L, the relaxation, has rows of norm at most `relaxation`
    times the mean norm of C's (ibid., RA-SAE; 0 is the plain archetypal dictionary). Loss: as TopK's. Directions follow
    from mixtures, so they can't be drawn anew (no ``resample``), nor have a norm of their own (no free decoder).
    """

    name = "Archetypal"
    default_lr = 1e-3
    dead = ("auxk", "none")
    decoders = ("unit_norm",)

    def memory(self, members: list[Member], scale: Float[Tensor, " members"]) -> dict[str, Tensor]:
        drawn = [
            random_rows(m, min(m.options["candidates"], m.activations.samples), "candidates") - m.activations.mean
            for m in members
        ]
        return {"candidates": torch.stack(drawn).to(scale) * scale[:, None, None]}

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        kept = {name: common[name] for name in ("encoder_bias", "bias")}
        members, latents = common["encoder_bias"].shape
        count = memory["candidates"].shape[1]
        # Candidates are in random order, so these are random starts; with more latents than candidates some share one.
        nearest = (torch.arange(latents, device=common["bias"].device) % count).expand(members, -1)[..., None]
        mixture = (
            torch.zeros(members, latents, count)
            .to(common["encoder"])
            .scatter_(2, nearest, math.log(START_SHARE / (1 - START_SHARE) * max(1, count - 1)))
        )
        kept |= {"mixture": mixture, "relaxation": torch.zeros_like(common["encoder"])}
        return kept | {"encoder": self.directions(kept, memory["candidates"], options)}

    def on_sphere(self, options: dict[str, Any]) -> bool:
        return False

    def directions(self, p: Parameters, data: Tensor, options: dict[str, Any]) -> Tensor:
        """Rows of unit norm, `(member, latent, unit)`."""
        limit = options["relaxation"] * data.norm(dim=2).mean(1)[:, None, None]
        length = p["relaxation"].norm(dim=2, keepdim=True).clamp_min(1e-12)
        mixed = torch.bmm(p["mixture"].softmax(2), data) + p["relaxation"] * (limit / length).clamp_max(1.0)
        return mixed / mixed.norm(dim=2, keepdim=True).clamp_min(1e-12)

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options = stack.options
        decoder, pre = self.directions(p, stack.memory["candidates"], options), pre_activations(p, x)
        codes = top_k(pre, k_at(options, stack.step))
        residual = x - decode(codes, decoder, p["bias"])
        fvu = stack.fvu(residual)
        auxiliary = auxiliary_loss(pre, residual, decoder, stack)
        total = fvu + options["aux_coefficient"] * auxiliary
        return Losses.of(total, {"fvu": fvu, "auxiliary": auxiliary}, codes, residual)

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        directions = self.directions(p, stack.memory["candidates"], stack.options)
        return as_dictionary(p, directions, activation="topk", k=stack.options["k"])
