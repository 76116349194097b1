"""A baseline for hybrid dictionaries: take the leading principal components off first, then fit what is left."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.moments import moments
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary

# An affine latent is a ReLU that never closes: its bias lies so many times beyond the largest score that was seen.
OPEN = 4.0


def leading_components(
    rows: Float[Tensor, "samples units"], count: int
) -> tuple[Float[Tensor, "count units"], Float[Tensor, "samples units"]]:
    """The `count` leading principal components of rows, and the rows without their part in them."""
    found = moments(InMemory(rows))
    components, mean = found.principal[1][:count].to(rows), found.mean.to(rows)
    scores = (rows - mean) @ components.T
    return components, rows - scores @ components


def with_components(
    dictionary: Dictionary, components: Float[Tensor, "count units"], rows: Float[Tensor, "samples units"]
) -> Dictionary:
    """One dictionary of whole rows: the components as its first latents, then those fitted to what they leave.

    The components read the rows, the others what the components leave. Only ReLU dictionaries are taken, so that one
    activation serves both. Raises ValueError for others.
    """
    if dictionary.activation != "relu":
        raise ValueError(
            f"pca_first: a dictionary with activation {dictionary.activation!r}; allowed: relu; leave it out."
        )
    count, mean = len(components), rows.mean(0)
    open_bias = OPEN * ((rows - mean) @ components.T).abs().amax()
    bias = dictionary.bias - open_bias * components.sum(0)
    # What the others were fitted to has the mean's part in the components on every row; here they don't see it.
    constant = (mean - dictionary.bias) @ components.T @ components @ dictionary.encoder.T
    ones = rows.new_ones(count)
    return replace(
        dictionary,
        directions=torch.cat([components, dictionary.directions]),
        encoder=torch.cat([components, dictionary.encoder - dictionary.encoder @ components.T @ components]),
        encoder_bias=torch.cat([open_bias + components @ (bias - mean), dictionary.encoder_bias + constant]),
        bias=bias,
        firing_rate=torch.cat([ones, dictionary.firing_rate]),
        importance=torch.cat([ones, dictionary.importance]),
        moved=None,
        dense=count,
    )
