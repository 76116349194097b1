"""What follows from the active latents: the reconstruction's error, and from it the gradients.

With e = x^ - x and g = scale * e, for the active latents i of a sample: dL/dz_i = g . W_dec,i + slope_i;
dW_dec,i += z_i g; dW_enc,i += dL/dz_i (x - b); db_enc,i += dL/dz_i; db += g - W_enc' dL/dz. The sums over samples are
taken latent by latent, from lists of samples by latent: each row of a gradient is then written once, instead of being
fetched and put back for every sample.

Nested reconstructions (Matryoshka) add up: latent i then meets the sum of the errors of all levels that it is part of.
"""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.fast.kernels.compiled import Array, add_products, add_rows, kernel, part_of_kernel


@part_of_kernel
def end_of_level(index: Array, first: int, last: int, end: int) -> int:
    """Where in a sample's list the latents from `end` on begin."""
    c = first
    if c < last and index[last - 1] < end:
        c = last
    while c < last and index[c] < end:
        c += 1
    return c


@kernel
def reconstruct(
    goal: Array, before: int, decoder: Array, index: Array, code: Array, start: Array, ends: Array,
    left: Array, towards: Array, total: Array, squares: Array,
) -> None:  # fmt: skip
    """What the latents up to ``ends[n]`` leave of `goal`, level by level; the list begins after `before` samples of it.

    Out: `left` `(level, block, sample, column)`, summed over a level and all after it, the last being the residual;
    `towards` ``left . W_dec,i`` of each code; `total` the sum of ``left[0]`` over samples; `squares` by level.
    """
    blocks, _, columns = goal.shape
    samples, levels = len(start) - 1, len(ends)
    sum_of = np.empty(columns, np.float32)
    towards[: start[samples]] = 0
    total[:] = 0
    squares[:] = 0
    for b in range(blocks):
        into, directions = total[b], decoder[b]
        for r in range(samples):
            c, rest = start[r], goal[b, before + r]
            for n in range(levels):
                first = c
                c = end_of_level(index, first, start[r + 1], ends[n])
                sum_of[:] = 0
                add_rows(directions, index, code, first, c, sum_of)
                here, square = left[n, b, before + r], np.float32(0)
                for t in range(columns):
                    error = rest[t] - sum_of[t]
                    square += error * error
                    here[t] = error
                squares[n] += square
                rest = here
            for n in range(levels - 2, -1, -1):
                here, after = left[n, b, before + r], left[n + 1, b, before + r]
                for t in range(columns):
                    here[t] += after[t]
            here = left[0, b, before + r]
            for t in range(columns):
                into[t] += here[t]
            c = start[r]
            for n in range(levels):
                first = c
                c = end_of_level(index, first, start[r + 1], ends[n])
                add_products(directions, index, first, c, left[n, b, before + r], towards)


@kernel
def count_samples(index: Array, code: Array, start: Array, count: Array) -> None:
    """Of how many samples each latent is active."""
    count[:] = 0
    for c in range(start[0], start[len(start) - 1]):
        count[index[c]] += np.int32(code[c] > 0)


@kernel
def places(count: Array, begin: Array) -> None:
    """Where each latent's samples begin in the lists by latent; `count` `(shard, latent)` turns into each shard's."""
    shards, latents = count.shape
    place = np.int32(0)
    for f in range(latents):
        begin[f] = place
        for s in range(shards):
            here = count[s, f]
            count[s, f] = place
            place += here
    begin[latents] = place


@kernel
def by_latent(
    index: Array, code: Array, start: Array, towards: Array, slope: Array, scale: float, before: int, place: Array,
    sample: Array, weight: Array, derivative: Array,
) -> None:  # fmt: skip
    """Lists by sample as lists by latent: the sample, ``-scale * code`` and the derivative of the loss by the code.

    `before`: samples of the shards before this one. `slope`, what the loss adds to the derivatives, may be empty.
    """
    factor, more = -np.float32(scale), len(slope) > 0
    for r in range(len(start) - 1):
        for c in range(start[r], start[r + 1]):
            if code[c] > 0:
                f = index[c]
                p = place[f]
                place[f] = p + 1
                sample[p], weight[p] = r + before, factor * code[c]
                derivative[p] = factor * towards[c] + (slope[c] if more else np.float32(0))


@kernel
def gradients(
    x: Array, left: Array, ends: Array, begin: Array, sample: Array, weight: Array, derivative: Array,
    first: int, last: int, of_encoder: Array, of_encoder_bias: Array, of_decoder: Array,
) -> None:  # fmt: skip
    """Gradients `(latent, block, column)` of the latents from `first` to before `last`, from the lists by latent."""
    for f in range(first, last):
        total = np.float32(0)
        for c in range(begin[f], begin[f + 1]):
            total += derivative[c]
        of_encoder_bias[f] = total
    for b in range(len(x)):
        level = 0
        for f in range(first, last):
            while f >= ends[level]:
                level += 1
            row = of_decoder[f, b]
            row[:] = 0
            add_rows(left[level, b], sample, weight, begin[f], begin[f + 1], row)
        for f in range(first, last):
            row = of_encoder[f, b]
            row[:] = 0
            add_rows(x[b], sample, derivative, begin[f], begin[f + 1], row)


@kernel
def to_bias(total: Array, scale: float, encoder: Array, encoder_bias_gradient: Array, out: Array) -> None:
    """The bias' gradient: of the reconstruction, and through the encoder's input. `total` `(shard, unit)`."""
    out[:] = 0
    for s in range(len(total)):
        out -= np.float32(scale) * total[s]
    for f in range(len(encoder)):
        row, factor = encoder[f], encoder_bias_gradient[f]
        for t in range(len(out)):
            out[t] -= factor * row[t]


@kernel
def spread_of(x: Array) -> float:
    """Sum of squares about the mean of the samples."""
    samples, units = x.shape
    mean = np.zeros(units, np.float32)
    for r in range(samples):
        row = x[r]
        for t in range(units):
            mean[t] += row[t]
    for t in range(units):
        mean[t] /= np.float32(samples)
    total = 0.0
    for r in range(samples):
        row = x[r]
        here = np.float32(0)
        for t in range(units):
            off = row[t] - mean[t]
            here += off * off
        total += here
    return total
