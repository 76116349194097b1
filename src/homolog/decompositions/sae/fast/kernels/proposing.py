"""Which latents may be active, by the encoder's product in bfloat16? Those that come within its error of the bound.

A bfloat16 is the upper half of a float32, and as a 16-bit integer it sorts as the number does where it is positive:
the kernels compare integers, many to an instruction.
"""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.fast.kernels.compiled import (
    LANES,
    Array,
    append_reaching,
    kernel,
    part_of_kernel,
    reaching,
)

# Steps of bfloat16 by which rounding may part two proposals: each lies half a step off at most, cutting off one more.
SLACK = 2
# As bfloat16, what no proposal reaches.
NEVER = 32767


@part_of_kernel
def half(value: float) -> int:
    """The bits of the nearest bfloat16; ties go to the even one."""
    bits = np.float32(value).view(np.uint32)
    return np.int16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@kernel
def halve(rows: Array, bits: Array) -> float:
    """Rows as bfloat16; returns their largest norm."""
    samples, units = rows.shape
    largest = np.float32(0)
    for r in range(samples):
        row, out, square = rows[r], bits[r], np.float32(0)
        for t in range(units):
            square += row[t] * row[t]
            out[t] = half(row[t])
        largest = max(largest, square)
    return np.sqrt(largest)


@kernel
def halve_raised(values: Array, error: float, bits: Array, column: int) -> float:
    """Values as a column of bfloat16, raised by `error` and what their own rounding adds; returns the sum of both."""
    largest = np.float32(0)
    for f in range(len(values)):
        largest = max(largest, abs(values[f]))
    error += 2**-8 * largest
    for f in range(len(values)):
        bits[f, column] = half(values[f] + np.float32(error))
    return error


@kernel
def centre(batch: Array, bias: Array, centred: Array, bits: Array) -> float:
    """The batch less the bias, in blocks `(block, sample, column)` and as bfloat16; returns its largest norm."""
    blocks, samples, columns = centred.shape
    largest = np.float32(0)
    for r in range(samples):
        square = np.float32(0)
        for b in range(blocks):
            first = b * columns
            row, off, rounded = batch[r, first:], bias[first:], bits[r, first:]
            out = centred[b, r]
            for t in range(columns):
                value = row[t] - off[t]
                square += value * value
                out[t] = value
                rounded[t] = half(value)
        largest = max(largest, square)
    return np.sqrt(largest)


@part_of_kernel
def count_in(row: Array, bound: int) -> int:
    """How many of a sample's proposals reach a bound."""
    count = 0
    for at in range(0, len(row), 2 * LANES):
        count += reaching(row, np.int16(bound), at)
    return count


@kernel
def count_reaching(proposed: Array, bound: int) -> int:
    """How many proposals reach a bound."""
    total = 0
    for r in range(len(proposed)):
        total += count_in(proposed[r], bound)
    return total


@kernel
def list_reaching(proposed: Array, bound: int, index: Array, start: Array) -> None:
    """By sample, the latents whose proposals reach a bound; `index` needs room for `LANES` more than there are."""
    place = 0
    for r in range(len(proposed)):
        row = proposed[r]
        start[r] = place
        for at in range(0, len(row), LANES):
            place = append_reaching(row, np.int16(bound), at, index, place)
    start[len(proposed)] = place


@kernel
def bound_of(row: Array, k: int, guess: int) -> int:
    """A positive bound that at least `k` of a sample's proposals reach and hardly more; 1 where fewer are positive."""
    low, high, step = 1, NEVER, 16
    middle = guess
    while high - low > 1:
        count = count_in(row, middle)
        if count >= k:
            low = middle
            if count <= k + 2 + (k >> 2):
                break
            middle += step
        else:
            high = middle
            middle -= step
        # Near the guess small steps find it, far from it the middle.
        step *= 2
        if middle <= low or middle >= high:
            middle = (low + high) // 2
    return low


@kernel
def list_largest(proposed: Array, k: int, error: float, index: Array, start: Array, first: int, sample: int) -> int:
    """By sample, latents of which the `k` largest positive pre-activations are part; proposals may err by `error`.

    Begins with sample `first` of `proposed`, which is the list's `sample`; returns which one is the first for which
    there might be no room in `index`.
    """
    samples, latents = proposed.shape
    bound, place = NEVER // 2, start[sample]
    for r in range(first, samples):
        if place + latents + LANES > len(index):
            return r
        row = proposed[r]
        bound = bound_of(row, k, bound)
        # The bound and what reaches it may both err.
        value = np.uint32(np.uint32(bound) << np.uint32(16)).view(np.float32)
        lowered = np.float32(max(value - np.float32(2 * error), np.float32(0)))
        lowest = np.int16(max(np.int32(lowered.view(np.uint32) >> np.uint32(16)) - SLACK, 1))
        for at in range(0, latents, LANES):
            place = append_reaching(row, lowest, at, index, place)
        sample += 1
        start[sample] = place
    return samples
