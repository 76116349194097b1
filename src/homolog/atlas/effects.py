"""What does each latent add to the logits where it is active, beside what as much of another direction would add?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.atlas.activity import Kept
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

# Numbers that a batch of passes holds at its entrance.
AT_ONCE = 2**20


def pairs_of(kept: Kept) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Latent, row and code of all rows that were kept, rows ascending, so that a file is read forwards."""
    latent, place = np.nonzero(kept.row >= 0)
    row, code = kept.row[latent, place], kept.code[latent, place]
    order = np.argsort(row, kind="stable")
    return latent[order], row[order], code[order]


@torch.no_grad()
def added_to_logits(
    model: Any,
    hook_point: str,
    gauge: Gauge,
    samples: Samples,
    dictionary: Dictionary,
    sample: Kept,
    generator: torch.Generator,
) -> tuple[Float[np.ndarray, "latents classes"], Float[np.ndarray, "latents classes"]]:
    """Centred logits with a latent's part minus those without it (code set to 0): a mean over its sampled active rows.

    Beside it the null: as much of another latent's direction taken out in its place, each latent with a partner of its
    own that `generator` draws. What any direction of the dictionary would do to these inputs isn't this latent's doing.
    Both are NaN for a latent that is never active, the null for one that is alone. `samples` are in `gauge`, with units
    in canonical order, as `dictionary` is.
    """
    affine, tail = copy.deepcopy(model).double().after(hook_point)

    def logits(x: Float[Tensor, "rows units"]) -> Float[Tensor, "rows classes"]:
        found: Tensor = tail(affine(gauge.undo(x)))
        return found - found.mean(1, keepdim=True)

    directions = dictionary.directions.double()
    own = _mean_change(logits, samples, directions, sample)
    others = of_partners(directions, generator)
    return own, np.full_like(own, np.nan) if others is None else _mean_change(logits, samples, others, sample)


def of_partners(
    directions: Float[Tensor, "latents units"], generator: torch.Generator
) -> Float[Tensor, "latents units"] | None:
    """For each latent the direction of another, at its own direction's size, no two the same; None of one alone."""
    latents = len(directions)
    if latents < 2:
        return None
    norms = directions.norm(dim=1, keepdim=True)
    order = torch.randperm(latents, generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    found: Tensor = directions[partner] * norms / norms[partner].clamp(min=torch.finfo(norms.dtype).tiny)
    return found


def _mean_change(
    logits: Callable[[Tensor], Tensor],
    samples: Samples,
    directions: Float[Tensor, "latents units"],
    sample: Kept,
) -> Float[np.ndarray, "latents classes"]:
    latent, row, code = pairs_of(sample)
    at_once = max(1, AT_ONCE // directions.shape[1])
    total = torch.zeros(len(directions), logits(directions[:1]).shape[1], dtype=torch.float64)
    for start in range(0, len(row), at_once):
        part = slice(start, start + at_once)
        x = samples.take(torch.from_numpy(row[part])).double()
        of = torch.from_numpy(latent[part])
        step = torch.from_numpy(code[part]).double()[:, None] * directions[of]
        total.index_add_(0, of, logits(x) - logits(x - step))
    with np.errstate(invalid="ignore"):
        return np.asarray(total.numpy() / (sample.row >= 0).sum(1)[:, None])


def maps(
    model: Any,
    hook_point: str,
    gauge: Gauge,
    inputs: Float[Tensor, "samples inputs"],
    dictionary: Dictionary,
    sample: Kept,
) -> Float[np.ndarray, "latents inputs"]:
    """Gradient of each latent's pre-activation with respect to the input: a mean over its sampled active rows.

    Where it is positive, more of that part of the input raises the latent. NaN for a latent that is never active.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    modules = [model.get_submodule(name) for name in model.order[: model.order.index(hook_point) + 1]]
    latent, row, _ = pairs_of(sample)
    total = inputs.new_zeros(len(dictionary.encoder), inputs.shape[1])
    at_once = max(1, AT_ONCE // inputs.shape[1])
    for start in range(0, len(row), at_once):
        part = slice(start, start + at_once)
        of = torch.from_numpy(latent[part])
        read = inputs[torch.from_numpy(row[part])].requires_grad_()
        x = read
        for module in modules:
            x = module(x)
        pre = (gauge.canonical(x) * dictionary.encoder[of]).sum()
        total.index_add_(0, of, torch.autograd.grad(pre, read)[0])
    with np.errstate(invalid="ignore"):
        return np.asarray(total.numpy() / (sample.row >= 0).sum(1)[:, None])
