"""How is a network of `toys.composing` a stage of a pair of tasks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import Latents, Stage
from homolog.streams import stream
from homolog.toys.composing import Composing, Split
from homolog.toys.training import Parameters, accuracies, cross_entropies

# Pairs at which units of both networks are compared.
COMMON = 1024


def common_pairs(tokens: int, members: int, *key: str | int) -> Int[Tensor, "members pairs 2"]:
    """Random pairs of tokens, the same for all members."""
    return torch.randint(tokens, (COMMON, 2), generator=stream(*key, "common")).expand(members, -1, 2)


def composing_stage(
    network: Composing, split: Split, common: Int[Tensor, "members pairs 2"], options: Mapping[str, Any]
) -> Stage:
    """All training pairs in each step; units of the hidden layer as latents."""
    members = len(split.train.labels)
    return Stage(
        start=lambda generator: network.start(members, generator),
        losses=lambda parameters: cross_entropies(network.logits(parameters, split.train.pairs), split.train.labels),
        score=lambda parameters: accuracies(network.logits(parameters, split.test.pairs), split.test.labels),
        latents=hidden_at(network, common),
        **trained_by(options),
    )


def hidden_at(network: Composing, pairs: Int[Tensor, "members pairs 2"]) -> Latents:
    """The hidden layer at some pairs."""

    def latents(parameters: Parameters) -> Float[Tensor, "members pairs width"]:
        return network.hidden(parameters, pairs)

    return latents


def trained_by(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage is told of its training."""
    return {name: options[name] for name in ("steps", "lr", "weight_decay")}
