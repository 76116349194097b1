"""Triton: what is the n-th largest positive number of a whole batch?

BatchTopK needs the k B-th largest of B F numbers. Sorting them would move them many times; here they are read three
times. A positive float32 sorts as the integer of its bits does, so the bits of the answer are found from the top, 11,
10 and 10 at a time: a histogram of the next bits, over the numbers that begin as the answer does, tells how many reach
each value, hence the next bits. Counts are integers, one histogram for each program, and summed: no order matters.
What isn't a number counts as the largest.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers that are counted at a time, and how often a program does so.
BLOCK, TIMES = 2048, 16
# How far the bits are shifted, and how many values the next ones have.
DIGITS = ((20, 2**11), (10, 2**10), (0, 2**10))


@triton.jit
def _count(pre, prefix, counts, numbers, shift, TIMES: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr):
    program, member = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    begin = tl.load(prefix + member)
    total = tl.zeros([BINS], tl.int32)
    for i in range(TIMES):
        at = (program * TIMES + i) * BLOCK + tl.arange(0, BLOCK)
        value = tl.load(pre + member * numbers + at, mask=at < numbers, other=0.0)
        bits = tl.where(value > 0, value.to(tl.int32, bitcast=True), 0)
        bits = tl.where(value != value, 0x7FC00000, bits) >> shift
        # Those that begin otherwise are counted as 0, a count that nobody reads.
        total += tl.histogram(tl.where(bits // BINS == begin, bits % BINS, 0), BINS)
    tl.store(counts + (member * tl.num_programs(0) + program) * BINS + tl.arange(0, BINS), total)


def cut(pre: Tensor, wanted: Tensor) -> Tensor:
    """As `operations.cut`."""
    members, numbers = len(pre), pre[0].numel()
    programs = triton.cdiv(numbers, BLOCK * TIMES)
    prefix = torch.zeros(members, dtype=torch.int32, device=pre.device)
    left = positive = wanted
    for place, (shift, bins) in enumerate(DIGITS):
        counts = torch.empty(members, programs, bins, dtype=torch.int32, device=pre.device)
        _count[programs, members](pre, prefix, counts, numbers, shift, TIMES, bins, BLOCK)
        reaching = counts.sum(1).flip(1).cumsum(1).flip(1)
        if place == 0:
            positive = reaching[:, 1]
            left = torch.minimum(wanted, positive)
        digit = (reaching[:, 1:] >= left[:, None]).sum(1)
        beyond = torch.cat([reaching, torch.zeros_like(reaching[:, :1])], 1).gather(1, digit[:, None] + 1)[:, 0]
        left = left - beyond
        prefix = prefix * bins + digit.int()
    return torch.where(positive > 0, prefix.view(torch.float32), torch.inf)
