"""Triton: what are the gradients of the rows of encoder and decoder, of which each saw few samples?

dL/dd_f = sum over the samples on which latent f is active of z g, and dL/dw_f the same of dL/dz x. The list of active
latents is in order of samples; sorted by latent (stably, so that samples keep their order) it gives each latent a run
of entries. One program takes one latent and gathers the rows g and x of its run: 4 B k d flops, B k d numbers each, and
no two programs add to one number, so no atomics, and the same bits every time. Dense products would take 4 B F d flops.
Runs are as long as latents fire often; the longest sets when the kernel ends.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers of each of the two arrays that a program holds at a time.
HELD = 8192


@triton.jit
def _gradients(
    x, pull, code, by_code, entry, first, of_encoder, of_bias, of_decoder, units, room,
    UNITS: tl.constexpr, EACH: tl.constexpr,
):  # fmt: skip
    latent = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, UNITS)
    inside = t < units
    decoder, encoder = tl.zeros([UNITS], tl.float32), tl.zeros([UNITS], tl.float32)
    bias = tl.zeros([EACH], tl.float32)
    start, end = tl.load(first + latent), tl.load(first + latent + 1)
    while start < end:
        j = start + tl.arange(0, EACH)
        e = tl.load(entry + j, mask=j < end, other=0)
        z = tl.load(code + e, mask=j < end, other=0.0)
        derivative = tl.load(by_code + e, mask=j < end, other=0.0)
        at = (e // room)[:, None] * units + t[None, :]
        read = (j < end)[:, None] & inside[None, :]
        decoder += tl.sum(z[:, None] * tl.load(pull + at, mask=read, other=0.0).to(tl.float32), 0)
        encoder += tl.sum(derivative[:, None] * tl.load(x + at, mask=read, other=0.0).to(tl.float32), 0)
        bias += derivative
        start += EACH
    tl.store(of_decoder + latent * units + t, decoder, mask=inside)
    tl.store(of_encoder + latent * units + t, encoder, mask=inside)
    tl.store(of_bias + latent, tl.sum(bias, 0))


def gradients(
    x: Tensor, pull: Tensor, index: Tensor, code: Tensor, by_code: Tensor, latents: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As `operations.gradients`."""
    members, _, units = x.shape
    offset = torch.arange(members, device=x.device, dtype=index.dtype)[:, None, None] * latents
    # Places that aren't used go behind all latents.
    latent, entry = torch.where(code == 0, members * latents, index + offset).flatten().sort(stable=True)
    bounds = torch.arange(members * latents + 1, device=x.device, dtype=latent.dtype)
    first = torch.searchsorted(latent, bounds)
    of_encoder, of_decoder = (x.new_empty(members, latents, units, dtype=torch.float32) for _ in range(2))
    of_bias = code.new_empty(members, latents)
    width = max(16, triton.next_power_of_2(units))
    _gradients[members * latents,](
        x, pull, code, by_code, entry, first, of_encoder, of_bias, of_decoder, units, index.shape[2],
        UNITS=width, EACH=min(16, max(1, HELD // width)), num_warps=4 if width <= 512 else 8,
    )  # fmt: skip
    return of_encoder, of_bias, of_decoder
