"""CPU kernels of comparisons, compiled by numba: products of sparse codes, and transport between uneven sets."""

from __future__ import annotations

import numpy as np

from homolog.alignment.assignment.kernels import NOBODY, Array, fast_kernel, kernel, part_of_kernel


@part_of_kernel
def products_of_row(
    i: int, start_a: Array, sample_a: Array, value_a: Array, start_b: Array, latent_b: Array, value_b: Array, out: Array
) -> None:
    """Sums over samples of the products of latent i of a, given by latent, with all of b, given by sample."""
    out[:] = 0
    for e in range(start_a[i], start_a[i + 1]):
        sample, value = sample_a[e], np.float64(value_a[e])
        for f in range(start_b[sample], start_b[sample + 1]):
            out[latent_b[f]] += value * value_b[f]


@kernel
def correlate(
    rows: Array, start_a: Array, sample_a: Array, value_a: Array, sum_a: Array, inverse_a: Array,
    start_b: Array, latent_b: Array, value_b: Array, sum_b: Array, inverse_b: Array, samples: int, out: Array,
) -> None:  # fmt: skip
    """Pearson's r of some latents of a with all of b, from the sums and the inverse norms of the centred codes."""
    row = np.empty(len(sum_b))
    for r in range(len(rows)):
        i = rows[r]
        products_of_row(i, start_a, sample_a, value_a, start_b, latent_b, value_b, row)
        mean, inverse, here = sum_a[i] / samples, inverse_a[i], out[r]
        for j in range(len(row)):
            here[j] = (row[j] - mean * sum_b[j]) * inverse * inverse_b[j]


@kernel
def overlap(
    rows: Array, start_a: Array, sample_a: Array, value_a: Array, count_a: Array,
    start_b: Array, latent_b: Array, value_b: Array, count_b: Array, out: Array,
) -> None:  # fmt: skip
    """Jaccard's index of the supports of some latents of a with all of b; values are ones. Two empty ones have 0."""
    row = np.empty(len(count_b))
    for r in range(len(rows)):
        i = rows[r]
        products_of_row(i, start_a, sample_a, value_a, start_b, latent_b, value_b, row)
        here = out[r]
        for j in range(len(row)):
            union = count_a[i] + count_b[j] - row[j]
            here[j] = row[j] / union if union > 0 else 0.0


@part_of_kernel
def place_of(samples: Array, low: int, high: int, sample: int) -> int:
    """Where the first of some samples in order stands that isn't below `sample`; by steps that double, then halve."""
    step = 1
    while low + step < high and samples[low + step] < sample:
        low += step
        step *= 2
    high = min(high, low + step)
    while low < high:
        middle = (low + high) >> 1
        if samples[middle] < sample:
            low = middle + 1
        else:
            high = middle
    return low


@fast_kernel
def products_of_pairs(
    rows: Array, columns: Array, start_a: Array, sample_a: Array, value_a: Array,
    start_b: Array, sample_b: Array, value_b: Array, out: Array,
) -> None:  # fmt: skip
    """Sums over samples of the products of single pairs of latents, both given by latent, in order of samples."""
    for c in range(len(rows)):
        e, last_a = start_a[rows[c]], start_a[rows[c] + 1]
        f, last_b = start_b[columns[c]], start_b[columns[c] + 1]
        total = 0.0
        while e < last_a and f < last_b:
            if sample_a[e] < sample_b[f]:
                e = place_of(sample_a, e, last_a, sample_b[f])
            elif sample_a[e] > sample_b[f]:
                f = place_of(sample_b, f, last_b, sample_a[e])
            else:
                total += np.float64(value_a[e]) * np.float64(value_b[f])
                e += 1
                f += 1
        out[c] = total


@kernel
def ship(similarity: Array, supply: Array, demand: Array, flow: Array) -> None:
    """Fill `flow` (m, n), whole numbers, with the shipment of all supply to all demand of the largest total similarity.

    Successive shortest paths with prices (Ford & Fulkerson 1962, chapter III; Edmonds & Karp 1972), each found by
    Dijkstra's method on the dense graph. `supply` and `demand` are used up.
    """
    m, n = similarity.shape
    profit, price = np.empty(m), np.zeros(n)
    for i in range(m):
        profit[i] = similarity[i].max()
    distance, parent, done = np.empty(n), np.empty(n, np.int64), np.empty(n, np.bool_)
    # Of each row: how far it is, and the column that it was reached from.
    away, source = np.empty(m), np.empty(m, np.int64)
    rows = np.empty(m, np.int64)
    for root in range(m):
        while supply[root] > 0:
            distance[:], away[:], source[:] = np.inf, np.inf, NOBODY
            done[:] = False
            away[root], rows[0] = 0.0, root
            seen, looked = 1, 0
            end, nearest = NOBODY, np.inf
            while end == NOBODY:
                while looked < seen:
                    x = rows[looked]
                    looked += 1
                    for y in range(n):
                        if not done[y]:
                            d = away[x] + max(profit[x] + price[y] - similarity[x, y], 0.0)
                            if d < distance[y]:
                                distance[y], parent[y] = d, x
                y = NOBODY
                for other in range(n):
                    if not done[other] and (y == NOBODY or distance[other] < distance[y]):
                        y = other
                done[y] = True
                if demand[y] > 0:
                    end, nearest = y, distance[y]
                for x in range(m):
                    if flow[x, y] > 0 and away[x] == np.inf:
                        away[x], source[x] = distance[y], y
                        rows[seen] = x
                        seen += 1
            for k in range(seen):
                profit[rows[k]] -= max(nearest - away[rows[k]], 0.0)
            for y in range(n):
                if done[y]:
                    price[y] += max(nearest - distance[y], 0.0)
            amount, y = min(supply[root], demand[end]), end
            while parent[y] != root:
                x = parent[y]
                y = source[x]
                amount = min(amount, flow[x, y])
            supply[root] -= amount
            demand[end] -= amount
            y = end
            while True:
                x = parent[y]
                flow[x, y] += amount
                if x == root:
                    break
                y = source[x]
                flow[x, y] -= amount
