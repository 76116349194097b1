"""How does a dictionary read activations as the network computes them, out of the gauge, by what sae-lens can say?"""

from __future__ import annotations

from dataclasses import replace

import torch

from homolog.alignment.gauge import Gauge
from homolog.dictionary import Dictionary
from homolog.store.saelens import WRITTEN


def out_of_gauge(dictionary: Dictionary, gauge: Gauge) -> Dictionary:
    """The same codes from activations as they stand, and reconstructions of these; float32.

    Directions don't have unit norm then where the gauge rescales units. What the gauge takes off, the network doesn't
    see: the mean of each row (logits, streams that are read through a LayerNorm), and units that write nothing. Both
    are left out of reconstructions.
    """
    d = dictionary.to(torch.float64)
    if gauge.shift:
        # (x - mean of x) @ e is x @ (e - mean of e).
        centred = d.encoder - d.encoder.mean(1, keepdim=True)
        shift = (centred - d.encoder) @ d.bias
        return replace(d, encoder=centred, encoder_bias=d.encoder_bias + shift).to(torch.float32)
    scale = gauge.scale.to(d.encoder)
    seen = scale != 0
    inverse = torch.where(seen, 1 / torch.where(seen, scale, 1), 0)
    return replace(d, encoder=d.encoder * scale, directions=d.directions * inverse, bias=d.bias * inverse).to(
        torch.float32
    )


def in_pairs(dictionary: Dictionary) -> Dictionary:
    """Codes of both signs as codes of none below zero: each latent twice, the second time with its sign turned.

    The codes of the first half less those of the second are the dictionary's own, and reconstructions are the same:
    ``x = relu(x) - relu(-x)``. For codes that are the pre-activations themselves, as those of PCA.
    """
    d = dictionary
    unknown = torch.full((2 * len(d.directions),), torch.nan)
    return replace(
        d,
        directions=torch.cat([d.directions, -d.directions]),
        encoder=torch.cat([d.encoder, -d.encoder]),
        encoder_bias=torch.cat([d.encoder_bias, -d.encoder_bias]),
        importance=torch.cat([d.importance, d.importance]),
        firing_rate=unknown,
        moved=None,
        activation="relu",
        signed=True,
        ordered=False,
    )


def can_be_written(dictionary: Dictionary) -> bool:
    """Whether sae-lens has an architecture with such codes."""
    return dictionary.activation in WRITTEN and not (dictionary.activation == "topk" and dictionary.dense)
