"""Which one-to-one matching of m latents with n others has the largest sum of similarities, and how surely?

Only promising pairs, the candidates, take part: of each row those with the largest similarity, chosen in blocks. The
best matching on them comes with prices p >= 0 of columns and profits u of rows, u_i = max of s_ij - p_j over them.
Whatever the prices, sum u + sum p is at least the sum of any matching once u_i >= s_ij - p_j also holds for the pairs
that were left out (weak duality; Kuhn 1955). So the blocks are gone through again, of rows for which that isn't known
already, and pairs that break it become candidates (column generation), until the bound meets the matching's sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum, inf

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.assignment import kernels
from homolog.alignment.assignment.candidates import Candidates
from homolog.alignment.assignment.kernels import NOBODY
from homolog.alignment.assignment.pairs import Pairs, as_pairs

# Candidates by row in the first round, and how many times as many a later one may add.
ROOM = 16
LATER = 4
# Pairs within this share of the spread between a row's first and last candidate come along when a row is gone through
# again: prices move on, and a row that nearly asked for a pair will.
MARGIN = 0.25
# The least share of the largest similarity by which the floor falls at first; it falls twice as far each time.
STEP = 2.0**-7
# Bids in one chain before it is left to a shortest path.
BIDS = 100
# Sums of float64 that should be equal are so to this share of the largest similarity.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Assignment:
    """A one-to-one matching of m latents of a with n of b, min(m, n) pairs, and how far it is from the best one."""

    index: Int[Tensor, " m"]
    """The match in b of each latent of a, -1 where it has none (m > n)."""
    similarity: Float[Tensor, " m"]
    """Scored similarity of each latent of a with its match, NaN where it has none; float64."""
    value: float
    """Sum of the similarities that the matching was selected on."""
    upper_bound: float
    """No one-to-one matching of min(m, n) pairs has a larger sum than this."""
    gap: float
    """upper_bound - value: the best matching is at most this much better."""
    candidates: float
    """Pairs whose similarity was computed exactly, by latent of the smaller side."""
    rounds: int
    """How often a matching on the candidates was sought."""


def sparse_assignment(
    selection: Pairs | Float[Tensor, "m n"], scoring: Pairs | Float[Tensor, "m n"] | None = None, tolerance: float = 0.0
) -> Assignment:
    """The one-to-one matching with the largest sum of `selection`, scored on `scoring` (on `selection` if not given).

    Both are `Cosine`, `Correlation` or `Jaccard` pairs, which never are a matrix in memory, or a matrix (m, n). Ends
    once the sum is within `tolerance` of the best one; 0: once it is the best one but for rounding. Method: shortest
    augmenting paths (Jonker & Volgenant 1987) on candidates (as in LAPMOD, Volgenant 1996), which are added where the
    dual of the whole problem asks for them (column generation, Dantzig & Wolfe 1960).
    Raises ValueError for a negative tolerance or when the two shapes differ.
    """
    pairs = as_pairs(selection)
    scored = pairs if scoring is None else as_pairs(scoring)
    if scored.shape != pairs.shape:
        raise ValueError(
            f"A matching is selected and scored on the same latents, but selection has shape {pairs.shape} and scoring "
            f"{scored.shape}: give similarities of the same two dictionaries."
        )
    if not tolerance >= 0:
        raise ValueError(f"tolerance is how far the sum may be from the best one, at least 0, but it is {tolerance}.")
    m, n = pairs.shape
    search = _Search(pairs if m <= n else pairs.swapped())
    upper = search.run(tolerance)
    index = search.match if m <= n else search.back
    rows = np.flatnonzero(index != NOBODY)
    similarity = np.full(m, np.nan)
    similarity[rows] = scored.exact(rows, index[rows].astype(np.int64))
    value = search.value()
    return Assignment(
        index=torch.from_numpy(index.astype(np.int64)),
        similarity=torch.from_numpy(similarity),
        value=value,
        upper_bound=max(upper, value),
        gap=max(upper - value, 0.0),
        candidates=len(search.candidates.value) / min(m, n),
        rounds=search.rounds,
    )


class _Search:
    """Prices, profits and a matching of m rows with n >= m columns, on candidates that grow."""

    def __init__(self, pairs: Pairs) -> None:
        m, n = pairs.shape
        self.candidates = Candidates(pairs)
        self.rounding = ROUNDING * pairs.scale
        # What a row gains by staying free. In the end less than any pair can gain at price 0: a row that is left at it
        # takes any free column that it is shown.
        self.lowest = -3 * pairs.scale if pairs.scale > 0 else -1.0
        self.floor = self.lowest
        self.profit, self.price = np.full(m, self.floor), np.zeros(n)
        self.match, self.back = np.full(m, NOBODY, np.int32), np.full(n, NOBODY, np.int32)
        self.rounds = 0

    def run(self, tolerance: float) -> float:
        """Match until the bound is met; returns the bound."""
        candidates = self.candidates
        everything = np.full(len(self.profit), -inf)
        candidates.extend(np.arange(len(everything)), self.price, everything, ROOM)
        spread = candidates.spread()
        margin = MARGIN * max(spread, candidates.slack(self.price))
        self.match_all(max(spread, STEP * candidates.pairs.scale))
        tied = np.zeros(len(everything), bool)
        while True:
            candidates.follow(self.price)
            upper = self.upper_bound()
            rows = np.flatnonzero(candidates.missed > self.profit + 4 * self.rounding)
            if (self.match != NOBODY).all() and (len(rows) == 0 or upper - self.value() <= tolerance):
                return upper
            plain, hard = rows[~tied[rows]], rows[tied[rows]]
            if len(plain):
                candidates.extend(plain, self.price, self.profit[plain] - margin, LATER * ROOM)
                tied[plain] = candidates.missed[plain] > self.profit[plain]
            if len(hard):
                candidates.extend_exactly(hard, self.price, self.profit[hard] + self.rounding, LATER * ROOM)
            self.improve()

    def match_all(self, step: float) -> None:
        """Match all rows, from a floor that falls: rows that find nothing among few candidates are shown more first.

        Were they to outbid others at once, prices would rise without end, and tell nothing of pairs that were left out.
        """
        missed = float(np.median(self.candidates.missed))
        self.floor = max(self.lowest, missed) if step < inf else self.lowest
        self.improve()
        while self.floor > self.lowest and (self.match == NOBODY).any():
            free = np.flatnonzero(self.match == NOBODY)
            self.candidates.extend(free, self.price, np.full(len(free), -inf), LATER * ROOM)
            step *= 2
            self.floor = max(self.lowest, self.floor - step)
            self.improve()
        self.floor = self.lowest

    def improve(self) -> None:
        """The best matching on the candidates, from the prices and what is left of the matching before."""
        edges = self.candidates.by_row()
        state = (self.profit, self.price, self.match, self.back)
        self.rounds += 1
        kernels.settle(*edges, *state, self.floor, self.rounding)
        kernels.bid(*edges, *state, self.floor, self.rounding, BIDS)
        free = np.flatnonzero(self.match == NOBODY)
        kernels.augment(free, *edges, *state, self.floor)
        free = np.flatnonzero((self.back == NOBODY) & (self.price > 0))
        if len(free):
            # A column that nobody takes must cost nothing: paths from the columns lower prices.
            kernels.augment(free, *self.candidates.by_column(), self.price, self.profit, self.back, self.match, 0.0)
            self.price[self.back == NOBODY] = 0
        kernels.settle(*edges, *state, self.floor, inf)

    def value(self) -> float:
        """Sum of the similarities of matched pairs."""
        rows = np.flatnonzero(self.match != NOBODY)
        return fsum(self.candidates.pairs.exact(rows, self.match[rows].astype(np.int64)))

    def upper_bound(self) -> float:
        """What no matching exceeds, rounding allowed for."""
        gains = np.maximum(self.profit, self.candidates.missed)
        size = len(self.price) * (self.candidates.pairs.scale + float(self.price.max()))
        return fsum(gains) + fsum(self.price) + 4 * float(np.finfo(float).eps) * size
