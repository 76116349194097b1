"""Archetypal sparse autoencoders (Fel et al., 2025): directions are mixtures of data points, so they stay near them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

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
from homolog.decompositions.sae.initial import own_stream, random_rows
from homolog.dictionary import Dictionary
from homolog.encoding import top_k
from homolog.streams import stream

# Share of one data point in each direction's mixture at the start; the others have the rest, and a gradient.
START_SHARE = 0.9


class Archetypal(SparseAutoencoder):
    """TopK of which the directions are ``W C + L``, brought to unit norm: W the mixture, each row a convex combination.

    C are `candidates` of the rows that it is fitted to, less their mean: the same for all members of a run (its key and
    the rows say which), as in the paper, where they are k-means centroids of the data. Which one a latent starts at is
    each member's own draw; in the paper's code that is shared too. L, the relaxation, has rows of norm at most
    `relaxation` times the mean norm of C's (ibid., RA-SAE; 0 is the plain archetypal dictionary). Loss: as TopK's.
    Directions follow from mixtures, so they can't be drawn anew (no ``resample``), nor have a norm of their own (no
    free decoder).

    With many more candidates than units the hull surrounds the mean, and then every direction is that of some mixture.
    What keeps directions near the data is rather that they start there, and that a softmax leaves its place slowly.
    """

    name = "Archetypal"
    default_lr = 1e-3
    dead = ("auxk", "none")
    decoders = ("unit_norm",)
    unused: ClassVar = {"directions_init": "sphere", "encoder_init": "tied", "encoder_norm": 1.0}

    def memory(self, members: list[Member], scale: Float[Tensor, " members"]) -> dict[str, Tensor]:
        drawn = torch.stack([candidates(m) - m.activations.mean for m in members])
        return {"candidates": drawn.to(scale) * scale[:, None, None]}

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        kept = {name: common[name] for name in ("encoder_bias", "bias")}
        members, latents = common["encoder_bias"].shape
        count = memory["candidates"].shape[1]
        # Candidates are in each member's own order, so these are random starts. Latents beyond their number start half
        # way between two: at the same one they would stay the same latent for ever.
        latent = torch.arange(latents, device=common["bias"].device)
        nearest = torch.stack([latent, latent + latent // count], 1) % count
        mixture = (
            torch.zeros(members, latents, count)
            .to(common["encoder"])
            .scatter_(2, nearest.expand(members, -1, -1), math.log(START_SHARE / (1 - START_SHARE) * max(1, count - 1)))
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


def candidates(member: Member) -> Float[Tensor, "candidates units"]:
    """Rows that all members share which are fitted to the same ones, in an order of the member's own."""
    samples = member.activations
    count = min(member.options["candidates"], samples.samples)
    shared = random_rows(samples, count, stream("candidates", *member.key, member.rows))
    order = torch.randperm(count, generator=own_stream("candidates", member))
    return shared[order.to(shared.device)]
