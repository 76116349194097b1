"""Which latents are active? Float32 decides among those that were proposed: the largest, or those above a bound."""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.fast.kernels.compiled import Array, add_products, kernel, part_of_kernel


@kernel
def evaluate(
    x: Array, before: int, encoder: Array, encoder_bias: Array, index: Array, code: Array, start: Array
) -> None:
    """Pre-activations of the listed latents; the list begins `before` samples into `x`, the centred inputs."""
    for c in range(start[0], start[len(start) - 1]):
        code[c] = encoder_bias[index[c]]
    for b in range(len(x)):
        for r in range(len(start) - 1):
            add_products(encoder[b], index, start[r], start[r + 1], x[b, before + r], code)


@part_of_kernel
def count_from(value: Array, first: int, last: int, bound: int) -> int:
    """How many of ``value[first:last]`` reach a bound."""
    count, limit = np.int32(0), np.int32(bound)
    for c in range(first, last):
        count = np.int32(count + (value[c] >= limit))
    return count


@kernel
def kth_largest(value: Array, first: int, last: int, k: int) -> int:
    """A number which `k` of ``value[first:last]`` reach, all positive; more only where they equal it; 1 where fewer do.

    Values are float32 as int32, which sort as the numbers do where those are positive.
    """
    if last - first <= k:
        return 1
    smallest = largest = value[first]
    for c in range(first, last):
        smallest, largest = min(smallest, value[c]), max(largest, value[c])
    low, high = max(1, smallest), largest + 1
    while high - low > 1:
        middle = (low + high) // 2
        count = count_from(value, first, last, middle)
        if count == k:
            return middle
        if count > k:
            low = middle
        else:
            high = middle
    return low


@kernel
def keep_largest(
    k: int, index: Array, code: Array, start: Array, kept: Array, kept_code: Array, kept_start: Array
) -> None:
    """The `k` largest positive codes of each sample, appended to the lists of what is kept; of equal ones the first."""
    value = code.view(np.int32)
    for r in range(len(start) - 1):
        first = place = kept_start[r]
        bound = kth_largest(value, start[r], start[r + 1], k)
        for c in range(start[r], start[r + 1]):
            if place - first < k:
                kept[place], kept_code[place] = index[c], code[c]
                place += 1 if value[c] >= bound else 0
        kept_start[r + 1] = place


@kernel
def keep_above(index: Array, code: Array, start: Array, cut: Array) -> None:
    """Drop the codes that don't exceed their latent's `cut`."""
    place = 0
    for r in range(len(start) - 1):
        first = start[r]
        start[r] = place
        for c in range(first, start[r + 1]):
            f, value = index[c], code[c]
            index[place], code[place] = f, value
            place += 1 if value > cut[f] else 0
    start[len(start) - 1] = place
