"""Triton: which are the k largest positive numbers of each row?

A row of F numbers lies in the registers of one program, so it is read once. A positive float32 sorts as the integer of
its bits does. Bisection on those 31 bits, each step a count over the row, ends at the largest bound c that at least k
numbers reach: all above c are taken, and of those equal to c the first ones until there are k. A number's place in the
list is the count of those taken before it, so the list is in order of the latents and has the same bits every time.
What isn't a number counts as the largest, so that a member that diverges shows it.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _select(
    pre, allowed, k, index, code, batch, latents, room, MASKED: tl.constexpr, LATENTS: tl.constexpr, ROOM: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    member = row // batch
    f = tl.arange(0, LATENTS)
    inside = f < latents
    value = tl.load(pre + row * latents + f, mask=inside, other=0.0)
    if MASKED:
        inside = inside & (tl.load(allowed + member * latents + f, mask=inside, other=0) != 0)
    bits = tl.where(value > 0, value.to(tl.int32, bitcast=True), 0)
    bits = tl.where(inside, tl.where(value != value, 0x7FC00000, bits), 0)
    wanted = tl.load(k + member)
    low, high = tl.full([], 1, tl.int32), tl.max(bits, 0) + 1
    for _ in range(31):
        middle = low + (high - low) // 2
        enough = tl.sum((bits >= middle).to(tl.int32), 0) >= wanted
        low, high = tl.where(enough, middle, low), tl.where(enough, high, middle)
    above, equal = bits > low, (bits == low).to(tl.int32)
    rank = tl.sum(above.to(tl.int32), 0) + tl.cumsum(equal, 0)
    taken = above | ((equal != 0) & (rank <= wanted))
    place = tl.cumsum(taken.to(tl.int32), 0) - 1
    start = row * room
    tl.store(index + start + place, f, mask=taken)
    tl.store(code + start + place, value, mask=taken)
    j = tl.arange(0, ROOM)
    empty = (j >= tl.sum(taken.to(tl.int32), 0)) & (j < room)
    tl.store(index + start + j, tl.zeros([ROOM], tl.int32), mask=empty)
    tl.store(code + start + j, tl.zeros([ROOM], tl.float32), mask=empty)


def largest(pre: Tensor, k: Tensor, room: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """As `operations.largest`."""
    members, batch, latents = pre.shape
    index = pre.new_empty(members, batch, room, dtype=k.dtype)
    code = pre.new_empty(members, batch, room)
    width = max(32, triton.next_power_of_2(latents))
    _select[members * batch,](
        pre, pre if allowed is None else allowed.to(k.dtype), k, index, code, batch, latents, room,
        MASKED=allowed is not None, LATENTS=width, ROOM=triton.next_power_of_2(room),
        num_warps=min(32, max(4, width // 1024)),
    )  # fmt: skip
    return index, code
