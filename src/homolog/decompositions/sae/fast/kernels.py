"""CPU kernels of the fast path, compiled by numba: choose the active latents, go back through them, take a step.

Per step, a dense autoencoder of F latents spends 10 B d F flops on B samples of d units. With k << F active latents
only the encoder's product (2 B d F) has to be dense; decoding and all gradients cost 8 B d k. The product is made in
bfloat16, and only *proposes* latents: those that come within its error of the bound are computed again in float32,
which *decides*, so that results are those of float32. A bfloat16 is the upper half of a float32, and as a 16-bit
integer it sorts as the number does where it is positive: the kernels compare integers, 32 to an instruction.

Gradients, with e = x^ - x and g = scale * e, for the active latents i of a sample: dL/dz_i = g . W_dec,i + slope_i;
dW_dec,i += z_i g; dW_enc,i += dL/dz_i (x - b); db_enc,i += dL/dz_i; db += g - W_enc' dL/dz. Loops run in a fixed
order: bits don't depend on threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Not `nnan`: a member that diverges must show it.
FAST = {"reassoc", "contract", "nsz", "arcp"}
kernel = numba.njit(fastmath=FAST, nogil=True, cache=True, boundscheck=False, error_model="numpy")
# A call costs as much as what these do.
part_of_kernel = numba.njit(fastmath=FAST, boundscheck=False, error_model="numpy", inline="always")
# Steps of bfloat16 by which rounding may part two proposals: each lies half a step off at most, cutting off one more.
SLACK = 2
Array = np.ndarray[Any, np.dtype[Any]]


@part_of_kernel
def dot(a: Array, b: Array) -> float:
    total = np.float32(0)
    for t in range(len(a)):
        total += a[t] * b[t]
    return total


@kernel
def largest_norm(rows: Array) -> float:
    """Of the rows."""
    largest = np.float32(0)
    for f in range(len(rows)):
        largest = max(largest, dot(rows[f], rows[f]))
    return np.sqrt(largest)


@kernel
def centre(batch: Array, bias: Array, centred: Array) -> None:
    """The batch less the bias."""
    samples, units = batch.shape
    for r in range(samples):
        row, out = batch[r], centred[r]
        for t in range(units):
            out[t] = row[t] - bias[t]


@part_of_kernel
def column_maxima(row: Array, best: Array) -> None:
    """Largest of each column of one sample's `(block, column)` proposals."""
    best[:] = row[0]
    for i in range(1, len(row)):
        block = row[i]
        for j in range(len(best)):
            value, old = block[j], best[j]
            best[j] = value if value > old else old


@kernel
def bound_of(best: Array, k: int, guess: int) -> int:
    """A positive bound that at least `k` of the column maxima reach, and hardly more; 1 where fewer are positive."""
    largest = np.int16(0)
    for j in range(len(best)):
        value = best[j]
        largest = value if value > largest else largest
    low, high = np.int32(1), np.int32(largest) + np.int32(1)
    middle = np.int32(guess) if low < guess < high else (low + high) // np.int32(2)
    while high - low > 1:
        bound = np.int16(middle)
        count = np.int32(0)
        for j in range(len(best)):
            count += np.int32(1) if best[j] >= bound else np.int32(0)
        if count >= k:
            low = middle
            if count <= k + (k >> 3):
                break
        else:
            high = middle
        middle = (low + high) // np.int32(2)
    return low


@kernel
def choose_largest(
    proposed: Array, error: float, x: Array, encoder: Array, encoder_bias: Array, k: int,
    index: Array, code: Array, start: Array, count: Array,
) -> None:  # fmt: skip
    """The `k` largest positive pre-activations of each sample: their latents and float32 values, written from `start`.

    `proposed` is `(sample, block, column)`, bfloat16 as int16; latent = block * columns + column. They may err by
    `error`, the bound and what reaches it both, and by their rounding. `x` has the bias taken off.
    """
    samples, blocks, columns = proposed.shape
    latents = len(encoder)
    best, hit = np.empty(columns, np.int16), np.empty(columns + 1, np.int32)
    candidate, value = np.empty(blocks * columns + 1, np.int32), np.empty(blocks * columns + 1, np.float32)
    bound = np.int32(0)
    for r in range(samples):
        row = proposed[r]
        column_maxima(row, best)
        bound = bound_of(best, k, bound)
        value_of = np.uint32(np.uint32(bound) << np.uint32(16)).view(np.float32)
        lowered = np.float32(max(value_of - np.float32(2 * error), np.float32(0)))
        lowest = np.int16(max(np.int32(lowered.view(np.uint32) >> np.uint32(16)) - SLACK, 1))
        hits = 0
        for j in range(columns):
            hit[hits] = j
            hits += 1 if best[j] >= lowest else 0
        found = 0
        for c in range(hits):
            j = hit[c]
            for i in range(blocks):
                candidate[found] = i * columns + j
                found += 1 if row[i, j] >= lowest and i * columns + j < latents else 0
        kept, here = 0, x[r]
        for c in range(found):
            f = candidate[c]
            exact, direction = encoder_bias[f], encoder[f]
            for t in range(len(here)):
                exact += direction[t] * here[t]
            value[kept], candidate[kept] = exact, f
            kept += 1 if exact > 0 else 0
        low, high = np.float32(0), np.float32(3e38)
        if kept > k:
            # A cut between the k-th and the next: bisection from the least bound that they all reach.
            high = np.float32(0)
            for c in range(kept):
                high = value[c] if value[c] > high else high
            for _ in range(40):
                cut = np.float32(0.5) * (low + high)
                reaching = np.int32(0)
                for c in range(kept):
                    reaching += np.int32(1) if value[c] >= cut else np.int32(0)
                if reaching >= k:
                    low = cut
                    if reaching == k:
                        break
                else:
                    high = cut
        first = place = start[r]
        for c in range(kept):
            if place - first < k:  # Equal ones may be too many.
                index[place], code[place] = candidate[c], value[c]
                place += 1 if value[c] >= low else 0
        count[r] = place - first


@kernel
def count_reaching(proposed: Array, lowest: Array) -> int:
    """How many proposals reach `lowest`, `(block, column)`, over all samples."""
    samples, blocks, columns = proposed.shape
    total = 0
    for r in range(samples):
        here = np.int32(0)
        for i in range(blocks):
            block, limit = proposed[r, i], lowest[i]
            for j in range(columns):
                here += np.int32(1) if block[j] >= limit[j] else np.int32(0)
        total += here
    return total


@kernel
def choose_above(
    proposed: Array, x: Array, encoder: Array, encoder_bias: Array, lowest: Array, cut: Array,
    index: Array, code: Array, start: Array, count: Array,
) -> int:  # fmt: skip
    """All latents whose pre-activation exceeds their `cut`, sample by sample; returns how many there are.

    Proposed are those that reach `lowest`; `index` and `code` need room for all of them.
    """
    samples, blocks, columns = proposed.shape
    flag, hit = np.empty(columns, np.int16), np.empty(columns + 1, np.int32)
    place = 0
    for r in range(samples):
        row = proposed[r]
        flag[:] = 0
        for i in range(blocks):
            block, limit = row[i], lowest[i]
            for j in range(columns):
                flag[j] |= np.int16(1) if block[j] >= limit[j] else np.int16(0)
        hits = 0
        for j in range(columns):
            hit[hits] = j
            hits += 1 if flag[j] else 0
        start[r] = place
        for c in range(hits):
            j = hit[c]
            for i in range(blocks):
                f = i * columns + j
                if row[i, j] >= lowest[i, j] and f < len(encoder):
                    value = dot(encoder[f], x[r]) + encoder_bias[f]
                    index[place], code[place] = f, value
                    place += 1 if value > cut[f] else 0
        count[r] = place - start[r]
    return place


@kernel
def keep_reaching(index: Array, code: Array, start: Array, count: Array, bound: float) -> None:
    """Drop the codes that don't reach a bound."""
    for r in range(len(count)):
        first = start[r]
        kept = first
        for c in range(first, first + count[r]):
            index[kept], code[kept] = index[c], code[c]
            kept += 1 if code[c] >= bound else 0
        count[r] = kept - first


@kernel
def mark_fired(index: Array, code: Array, start: Array, count: Array, fired: Array) -> int:
    """Mark the latents that have a positive code; returns how many codes are."""
    total = 0
    for r in range(len(count)):
        for c in range(start[r], start[r] + count[r]):
            if code[c] > 0:
                fired[index[c]] = True
                total += 1
    return total


@kernel
def jump(index: Array, value: Array, threshold: Array, width: float, near: Array) -> int:
    """Set to 0 what doesn't exceed its threshold; mark what lies within half a width of it; count what is left."""
    active = 0
    for c in range(len(value)):
        limit = threshold[index[c]]
        near[c] = abs(value[c] - limit) < width / 2
        if value[c] > limit:
            active += 1
        else:
            value[c] = 0
    return active


@kernel
def to_threshold(
    index: Array, near: Array, to_code: Array, threshold: Array, width: float, penalty: Array, out: Array
) -> None:
    """Add the straight-through gradients by threshold: ``-(t dL/dz + penalty) / width`` of all that are near."""
    for c in range(len(index)):
        if near[c]:
            f = index[c]
            out[f] -= (threshold[f] * to_code[c] + penalty[f]) / np.float32(width)


@kernel
def go_back(
    goal: Array, x: Array, decoder: Array, index: Array, code: Array, start: Array, count: Array, slope: Array,
    scale: float, encoder_gradient: Array, encoder_bias_gradient: Array, decoder_gradient: Array, bias_gradient: Array,
    residual: Array, to_code: Array,
) -> float:  # fmt: skip
    """Add the gradients of ``scale / 2 * |W_dec' z - goal|^2``, plus `slope` by code, to the buffers.

    Codes of 0 take no part but get their derivative. Out: `residual` goal - W_dec' z by sample, `to_code` the
    derivative by each code; returns the sum of squares. `slope` and `to_code` may be empty.
    """
    samples, units = goal.shape
    g = np.empty(units, np.float32)
    factor, total = -np.float32(scale), 0.0
    more, asked = len(slope) > 0, len(to_code) > 0
    for r in range(samples):
        first, last = start[r], start[r] + count[r]
        left, here = goal[r], x[r]
        for t in range(units):
            g[t] = left[t]
        for c in range(first, last):
            z, direction = code[c], decoder[index[c]]
            for t in range(units):
                g[t] -= z * direction[t]
        square, out = np.float32(0), residual[r]
        for t in range(units):
            square += g[t] * g[t]
            out[t] = g[t]
            g[t] *= factor
        total += square
        for t in range(units):
            bias_gradient[t] += g[t]
        for c in range(first, last):
            f, z = index[c], code[c]
            direction, derivative = decoder[f], np.float32(0)
            for t in range(units):
                derivative += g[t] * direction[t]
            if more:
                derivative += slope[c]
            if asked:
                to_code[c] = derivative
            if z != 0:
                of_decoder, of_encoder = decoder_gradient[f], encoder_gradient[f]
                for t in range(units):
                    of_decoder[t] += z * g[t]
                for t in range(units):
                    of_encoder[t] += derivative * here[t]
                encoder_bias_gradient[f] += derivative
    return total


@kernel
def go_back_nested(
    goal: Array, x: Array, decoder: Array, index: Array, code: Array, start: Array, count: Array, level: Array,
    scale: float, encoder_gradient: Array, encoder_bias_gradient: Array, decoder_gradient: Array, bias_gradient: Array,
    residual: Array, squares: Array,
) -> None:  # fmt: skip
    """As `go_back`, for the sum over nested reconstructions, in which latent f counts from level ``level[f]`` on.

    `squares` gets the sum of squares by level, `residual` what the last level leaves.
    """
    samples, units = goal.shape
    levels = len(squares)
    pull = np.empty((levels, units), np.float32)
    factor = -np.float32(scale)
    for r in range(samples):
        first, last = start[r], start[r] + count[r]
        here = residual[r]
        here[:] = goal[r]
        for n in range(levels):
            for c in range(first, last):
                f, z = index[c], code[c]
                if level[f] == n:
                    direction = decoder[f]
                    for t in range(units):
                        here[t] -= z * direction[t]
            squares[n] += dot(here, here)
            g = pull[n]
            for t in range(units):
                g[t] = factor * here[t]
        for n in range(levels - 1, 0, -1):
            for t in range(units):
                pull[n - 1, t] += pull[n, t]
        g = pull[0]
        for t in range(units):
            bias_gradient[t] += g[t]
        for c in range(first, last):
            f, z = index[c], code[c]
            g, direction, derivative = pull[level[f]], decoder[f], np.float32(0)
            for t in range(units):
                derivative += g[t] * direction[t]
            of_decoder, of_encoder, here_x = decoder_gradient[f], encoder_gradient[f], x[r]
            for t in range(units):
                of_decoder[t] += z * g[t]
            for t in range(units):
                of_encoder[t] += derivative * here_x[t]
            encoder_bias_gradient[f] += derivative


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


@kernel
def adam_rows(
    p: Array, gradients: Array, first: Array, second: Array, on_sphere: bool, rate: float, correction: float
) -> None:
    """Adam on each row, in place, with the sum of the `(shard, row, unit)` gradients, which are then cleared.

    `rate` holds the first moment's correction, `correction` is 1 / sqrt(1 - beta_2^t). `on_sphere`: the part of the
    gradient along the row is left out, and the row brought back to unit norm.
    """
    shards, rows, units = gradients.shape
    step, root = np.float32(rate), np.float32(correction)
    g = np.empty(units, np.float32)
    for f in range(rows):
        row, m, v = p[f], first[f], second[f]
        g[:] = gradients[0, f]
        gradients[0, f] = 0
        for s in range(1, shards):
            more = gradients[s, f]
            for t in range(units):
                g[t] += more[t]
                more[t] = 0
        along = dot(g, row) if on_sphere else np.float32(0)
        norm = np.float32(0)
        for t in range(units):
            slope = g[t] - along * row[t]
            mean = m[t] + np.float32(0.1) * (slope - m[t])
            square = np.float32(0.999) * v[t] + np.float32(0.001) * slope * slope
            m[t], v[t] = mean, square
            new = row[t] - step * mean / (np.sqrt(square) * root + np.float32(1e-8))
            row[t] = new
            norm += new * new
        if on_sphere:
            inverse = np.float32(1) / np.sqrt(norm)
            for t in range(units):
                row[t] *= inverse
