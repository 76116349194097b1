"""Triton: what do the active latents of a sample leave of it, and which way should each code go?

With e = x - sum_j z_j d_j over a sample's few active latents j, and the loss c |e|^2, the derivative by x^ is g = -2 c
e, and the one by a code is g . d_j. One program takes one sample: the rows d_j are gathered twice, the second time from
the cache. That is 2 B k d flops and B k d numbers each way, where dense products would take 4 B F d flops.
Places of the list that aren't used hold the code 0: they add 0 at the end of the sums, so a sample's bits don't depend
on how long other members' lists are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers of the decoder that a program holds at a time.
HELD = 8192


@triton.jit
def _decode(
    x, decoder, index, code, factor, residual, pull, by_code, batch, latents, units, room,
    UNITS: tl.constexpr, EACH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    member = row // batch
    t = tl.arange(0, UNITS)
    inside = t < units
    left = tl.load(x + row * units + t, mask=inside, other=0.0)
    for start in range(0, room, EACH):
        j = start + tl.arange(0, EACH)
        z = tl.load(code + row * room + j, mask=j < room, other=0.0)
        f = tl.load(index + row * room + j, mask=j < room, other=0)
        at = (member * latents + f)[:, None] * units + t[None, :]
        d = tl.load(decoder + at, mask=(z != 0)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        left -= tl.sum(z[:, None] * d, 0)
    tl.store(residual + row * units + t, left, mask=inside)
    g = tl.load(factor + member) * left
    tl.store(pull + row * units + t, g.to(pull.dtype.element_ty), mask=inside)
    for start in range(0, room, EACH):
        j = start + tl.arange(0, EACH)
        z = tl.load(code + row * room + j, mask=j < room, other=0.0)
        f = tl.load(index + row * room + j, mask=j < room, other=0)
        at = (member * latents + f)[:, None] * units + t[None, :]
        d = tl.load(decoder + at, mask=(z != 0)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        tl.store(by_code + row * room + j, tl.sum(g[None, :] * d, 1), mask=j < room)


def decode(x: Tensor, decoder: Tensor, index: Tensor, code: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `operations.decode`."""
    members, batch, units = x.shape
    residual, by_code = torch.empty_like(x), torch.empty_like(code)
    pull = torch.empty_like(x, dtype=decoder.dtype)
    width = max(16, triton.next_power_of_2(units))
    _decode[members * batch,](
        x, decoder, index, code, factor, residual, pull, by_code, batch, decoder.shape[1], units, index.shape[2],
        UNITS=width, EACH=min(16, max(1, HELD // width)), num_warps=4 if width <= 512 else 8,
    )  # fmt: skip
    return residual, pull, by_code
