"""CPU kernels of the assignment, compiled by numba: gather promising pairs of a block, and match along shortest paths.

The matching is by successive shortest augmenting paths on the candidates (Jonker & Volgenant 1987; sparse: Volgenant
1996), with prices kept from one round of candidates to the next. In the words of auctions: rows i have profits u,
columns j have prices p >= 0, and u_i + p_j >= s_ij for every candidate, with equality for matched pairs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from homolog.compiling import kept

kernel = kept(Path(__file__).parent)
part_of_kernel = numba.njit(boundscheck=False, error_model="numpy", inline="always")
fast_kernel = kept(Path(__file__).parent, fastmath={"reassoc", "contract", "nsz"})
Array = np.ndarray[Any, np.dtype[Any]]
# Columns whose largest proposal is looked at before they are: few groups hold one that is wanted.
GROUP = 32
NOBODY = -1


def number(bits: Any) -> Any:
    """A proposal as float32, from the bits of one, or of its upper half (bfloat16)."""
    raise NotImplementedError


def bits_of(block: Any, value: Any) -> Any:
    """The other way round: a positive number in the integers of the block, cut off; of -0 the least integer."""
    raise NotImplementedError


@overload(number, inline="always")
def _number(bits):
    if bits.bitwidth == 16:
        return lambda bits: np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)
    return lambda bits: np.int32(bits).view(np.float32)


@overload(bits_of, inline="always")
def _bits_of(block, value):
    if block.dtype.bitwidth == 16:
        return lambda block, value: np.int16(np.float32(value).view(np.uint32) >> np.uint32(16))
    return lambda block, value: np.float32(value).view(np.int32)


@part_of_kernel
def noise(i: int, j: int) -> float:
    """Between 0 and 1, as good as random by pair."""
    # Whole numbers of numba are 64 bits wide: what is multiplied is kept to 32.
    h = (np.uint64(i) * np.uint64(0x9E3779B1) ^ np.uint64(j) * np.uint64(0x85EBCA77)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(0x2C1B3C6D)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0x297A2D39)) & np.uint64(0xFFFFFFFF)
    return np.float32(h >> np.uint64(8)) * np.float32(2.0**-24)


@kernel
def gather(
    block: Array, row_of: Array, first_column: int, relative: float, shake: float,
    price: Array, limit: Array, key: Array, index: Array, count: Array,
) -> None:  # fmt: skip
    """Keep of each row the pairs with the largest key, similarity less price, above its `limit`, while there is room.

    `block` holds the bits of proposals of the rows `row_of` and the columns from `first_column`; `limit`, `key`,
    `index` and `count` are by row of the block, `price` (not negative) of all columns. A proposal counts for more by
    `relative` of itself, what its rounding may have cost, and by at most `shake`, which breaks ties between columns
    otherwise in each row: else all duplicates would be sent to the same few columns. Once a row has no room, its
    `limit` is the least key that it keeps, and whatever it has dropped is at most that.
    """
    rows, columns = block.shape
    groups = columns // GROUP
    best = np.empty(groups, block.dtype)
    for r in range(rows):
        row = block[r]
        largest_of_groups(row, best)
        for q in range(groups + 1):
            # Prices only lower a key: what doesn't reach the bound without them needs no closer look. As integers,
            # positive numbers are in order, and negative ones lie below.
            lowest = (limit[r] - np.float32(shake)) * np.float32(1 - relative)
            least = bits_of(block, lowest if lowest > 0 else np.float32(-0.0))
            if q < groups and best[q] < least:
                continue
            # The last of the groups is what is left over.
            first, step = (q, groups) if q < groups else (groups * GROUP, 1)
            for t in range(first, columns if q == groups else groups * GROUP, step):
                if row[t] < least:
                    continue
                j = first_column + t
                value = number(row[t])
                value += np.float32(relative) * abs(value) - price[j]
                if value + np.float32(shake) > limit[r]:
                    value += np.float32(shake) * noise(row_of[r], j)
                    if value > limit[r]:
                        keep(value, j, key[r], index[r], count, limit, r)


@kernel
def gather_exactly(
    block: Array, row_of: Array, first_column: int, shake: float,
    price: Array, least: Array, key: Array, index: Array, count: Array, limit: Array, gain: Array,
) -> None:  # fmt: skip
    """As `gather`, of float64 similarities: pairs that gain more than `least`, by row; `gain` is the largest one."""
    rows, columns = block.shape
    for r in range(rows):
        for t in range(columns):
            j = first_column + t
            value = block[r, t] - price[j]
            if value > least[r]:
                gain[r] = max(gain[r], value)
                value += shake * noise(row_of[r], j)
                if value > limit[r]:
                    keep(value, j, key[r], index[r], count, limit, r)


@part_of_kernel
def largest_of_groups(row: Array, best: Array) -> None:
    """The largest of every so many columns, which don't lie side by side: one instruction serves many groups."""
    groups = len(best)
    best[:] = row[:groups]
    for c in range(1, GROUP):
        for q in range(groups):
            value, old = row[c * groups + q], best[q]
            best[q] = value if value > old else old


@part_of_kernel
def keep(wanted: float, j: int, key: Array, index: Array, count: Array, limit: Array, r: int) -> None:
    """Put a pair into the row's heap, in the place of the least one if it is full; then that one's key is the limit."""
    room, place = len(key), count[r]
    if place < room:
        count[r] += 1
        while place > 0 and key[(place - 1) >> 1] > wanted:
            above = (place - 1) >> 1
            key[place], index[place] = key[above], index[above]
            place = above
    else:
        place = 0
        while 2 * place + 1 < room:
            below = 2 * place + 1
            if below + 1 < room and key[below + 1] < key[below]:
                below += 1
            if key[below] >= wanted:
                break
            key[place], index[place] = key[below], index[below]
            place = below
    key[place], index[place] = wanted, j
    if count[r] == room:
        limit[r] = key[0]


@fast_kernel
def products(a: Array, b: Array, rows: Array, columns: Array, out: Array) -> None:
    """Scalar products of pairs of rows, in float64."""
    for c in range(len(rows)):
        x, y = a[rows[c]], b[columns[c]]
        total = 0.0
        for t in range(len(x)):
            total += np.float64(x[t]) * np.float64(y[t])
        out[c] = total


@kernel
def settle(
    start: Array, other: Array, value: Array, profit: Array, price: Array, match: Array, back: Array,
    floor: float, rounding: float,
) -> None:  # fmt: skip
    """Set profits to what the candidates allow; a row whose match no longer gives its profit is set free."""
    for i in range(len(profit)):
        best, own = floor, -np.inf
        for e in range(start[i], start[i + 1]):
            gain = value[e] - price[other[e]]
            best = max(best, gain)
            if other[e] == match[i]:
                own = gain
        profit[i] = best
        if match[i] != NOBODY and own < best - rounding:
            back[match[i]], match[i] = NOBODY, NOBODY


@part_of_kernel
def two_best(
    i: int, avoid: int, start: Array, other: Array, value: Array, price: Array, floor: float, rounding: float
) -> tuple[float, float, int]:
    """What row `i` gains at its best column and at the next, and which the best is; of a tie not `avoid`."""
    best, second, j = floor, floor, NOBODY
    for e in range(start[i], start[i + 1]):
        gain = value[e] - price[other[e]]
        if other[e] == avoid:
            gain -= rounding
        if gain > best:
            best, second, j = gain, best, other[e]
        elif gain > second:
            second = gain
    return best, second, j


@kernel
def bid(
    start: Array, other: Array, value: Array, profit: Array, price: Array, match: Array, back: Array,
    floor: float, rounding: float, bids: int,
) -> None:  # fmt: skip
    """An ascending auction: two rows that want one column raise its price until one of them gains as much elsewhere.

    A free column is taken at the price it has: prices stay low, so that profits stand out from what other pairs can
    give. What a chain of so many `bids` leaves free is for `augment`.
    """
    for free in range(len(profit)):
        i, avoid = free, NOBODY
        if match[free] != NOBODY:
            continue
        for _ in range(bids):
            best, second, j = two_best(i, avoid, start, other, value, price, floor, rounding)
            profit[i] = best
            if j == NOBODY:
                break
            holder = back[j]
            if holder == NOBODY:
                match[i], back[j] = j, i
                break
            own, next_best, _ = two_best(holder, NOBODY, start, other, value, price, floor, rounding)
            margin, holders = best - second, own - next_best
            rise = min(margin, holders)
            price[j] += rise
            profit[i], profit[holder] = best - rise, own - rise
            avoid = j
            if margin > holders:
                match[holder], match[i], back[j] = NOBODY, j, i
                i = holder


@part_of_kernel
def push(heap: Array, at: Array, distance: Array, y: int, size: int) -> int:
    """Put node `y` into the heap, or up to where its distance now belongs; returns the heap's size."""
    place = at[y]
    if place < 0:
        place = size
        size += 1
    d = distance[y]
    while place > 0:
        above = (place - 1) >> 1
        if distance[heap[above]] <= d:
            break
        heap[place] = heap[above]
        at[heap[place]] = place
        place = above
    heap[place] = y
    at[y] = place
    return size


@part_of_kernel
def pop(heap: Array, at: Array, distance: Array, size: int) -> int:
    """Take the nearest node off the heap, and move the last one down from the top."""
    nearest = heap[0]
    last = heap[size - 1]
    size -= 1
    d, place = distance[last], 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and distance[heap[below + 1]] < distance[heap[below]]:
            below += 1
        if distance[heap[below]] >= d:
            break
        heap[place] = heap[below]
        at[heap[place]] = place
        place = below
    heap[place] = last
    at[last] = place
    return nearest


@kernel
def augment(
    roots: Array, start: Array, other: Array, value: Array, dual: Array, other_dual: Array, match: Array, back: Array,
    floor: float,
) -> int:  # fmt: skip
    """Match each free root along a shortest alternating path, or leave the node free that may most cheaply be.

    A path ends at a free node of the other side, or at a node of the root's own side whose dual falls to `floor`: that
    one is then free. Works from rows (`dual` profits) as from columns (`dual` prices): all arrays swap their roles.
    Returns how many nodes were reached in all.
    """
    n = len(other_dual)
    distance = np.full(n, np.inf)
    parent = np.full(n, NOBODY, np.int32)
    at = np.full(n, -1, np.int32)
    heap, reached = np.empty(n, np.int32), np.empty(n, np.int32)
    total = 0
    for root in roots:
        if match[root] != NOBODY:
            continue
        size = touched = 0
        x, away = root, 0.0
        # The nearest end: a free node `end` of the other side, or a node `loser` of the own.
        nearest, end, loser = dual[root] - floor, NOBODY, root
        while True:
            for e in range(start[x], start[x + 1]):
                y = other[e]
                d = away + max(dual[x] + other_dual[y] - value[e], 0.0)
                if d < nearest and d < distance[y]:
                    if back[y] == NOBODY:
                        nearest, end, loser = d, y, NOBODY
                    if distance[y] == np.inf:
                        reached[touched] = y
                        touched += 1
                    distance[y], parent[y] = d, x
                    if back[y] != NOBODY:
                        size = push(heap, at, distance, y, size)
            if size == 0 or distance[heap[0]] >= nearest:
                break
            y = pop(heap, at, distance, size)
            size -= 1
            x, away = back[y], distance[y]
            if away + dual[x] - floor < nearest:
                nearest, end, loser = away + dual[x] - floor, NOBODY, x
        dual[root] -= nearest
        for k in range(touched):
            y = reached[k]
            if distance[y] < nearest:
                other_dual[y] += nearest - distance[y]
                dual[back[y]] -= nearest - distance[y]
        if loser != NOBODY and loser != root:
            end = match[loser]
            match[loser] = NOBODY
        y = end
        while y != NOBODY:
            x = parent[y]
            back[y] = x
            y, match[x] = match[x], y
        total += touched
        for k in range(touched):
            y = reached[k]
            distance[y], at[y] = np.inf, -1
    return total
