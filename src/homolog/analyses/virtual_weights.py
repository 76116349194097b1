"""Through how few edges does what one layer's latents write explain what the next layer's latents read?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.alignment.similarity import centre

# A reading that varies less than this share of the most varying one is none.
NO_READING = 1e-9


def mean_reads(
    above: Layer, encoder: Float[Tensor, "latents units"], below: Layer
) -> Float[Tensor, "latents below_units"]:
    """What encoder rows of a layer read of the one below, to first order: through its mean derivative, in the gauge."""
    # What is read is the model's own activation, of which the one in the gauge is a linear map.
    from_gauge = below.gauge.undo(torch.eye(below.units).to(encoder))
    return encoder @ above.jacobian["match"].mean(0) @ from_gauge.T


def virtual_weights(
    reads: Float[Tensor, "targets units"], directions: Float[Tensor, "sources units"]
) -> Float[Tensor, "targets sources"]:
    """What each target reads of each source's direction: the weight of the edge between them (Elhage et al., 2021)."""
    return reads @ directions.T


def unexplained(
    reads: Float[Tensor, "targets units"],
    directions: Float[Tensor, "sources units"],
    selecting: Float[Tensor, "rows sources"],
    held: Float[Tensor, "scored sources"],
    scoring: Float[Tensor, "scored units"],
) -> tuple[Float[Tensor, "targets edges"], Float[Tensor, "targets edges"]]:
    """By number of edges kept, from 1 to all: the share of each reading's variance that they leave, and how many act.

    A target keeps the edges of most variance: weight squared times that of the source's code, of which `selecting` has
    some rows. With them it is ``sum w_i c_i``, held against what it reads of the activations `scoring` themselves, of
    which `held` are the codes. An edge acts on a row where its source's code isn't 0. Targets that read nothing are
    left out. Weights aren't fitted anew, so that more edges can leave more, where
    sources overlap.
    """
    weights = virtual_weights(reads, directions)
    order = (weights.square() * selecting.var(0, correction=0)).argsort(dim=1, descending=True, stable=True)
    truth = centre(scoring @ reads.T)
    edges = weights.shape[1]
    left, acting = (reads.new_empty(len(reads), edges) for _ in range(2))
    on = (held != 0).to(held).mean(0)
    explained, active = torch.zeros_like(truth), torch.zeros_like(reads[:, 0])
    moved = centre(held)
    for edge in range(edges):
        source = order[:, edge]
        explained = explained + moved[:, source] * weights.gather(1, source[:, None])[:, 0]
        active = active + on[source]
        left[:, edge] = (truth - explained).square().mean(0)
        acting[:, edge] = active
    whole = truth.square().mean(0)
    read = whole > NO_READING * whole.max()
    return left[read] / whole[read, None], acting[read]


def first_below(curve: Float[np.ndarray, " edges"], level: float) -> float:
    """The number of edges, from 1, at which a curve first falls to a level, linearly between numbers; NaN if never."""
    values = np.concatenate([[1.0], curve])
    below = np.flatnonzero(values <= level)
    if not len(below):
        return np.nan
    at = int(below[0])
    return float(at - 1 + (values[at - 1] - level) / (values[at - 1] - values[at]))
