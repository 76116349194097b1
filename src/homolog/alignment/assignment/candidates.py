"""Which pairs are worth a look, and how much can any other one gain?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homolog.alignment.assignment import kernels
from homolog.alignment.assignment.kernels import Array
from homolog.alignment.assignment.pairs import Pairs
from homolog.alignment.assignment.threads import shared_out

# Places for kept pairs that are held at a time.
PLACES = 2**22
# Share of the largest similarity by which ties between columns are broken.
SHAKE = 2.0**-20


class Candidates:
    """Pairs that may be matched, with their exact similarities, and for each row a bound on what all others gain."""

    def __init__(self, pairs: Pairs) -> None:
        m, n = pairs.shape
        self.pairs = pairs
        self.place = np.empty(0, np.int64)  # row * n + column, sorted
        self.value = np.empty(0)
        self.missed = np.full(m, np.inf)
        """No pair of the row that isn't a candidate has a larger similarity less price."""
        self._price = np.zeros(n)
        """The prices that this is true of."""

    def extend(self, rows: Array, price: Array, limit: Array, room: int) -> None:
        """Add the pairs of some rows that gain more than `limit`, by row, at these prices; the best `room` at most."""
        self.follow(price)
        slack = self.slack(price)
        lowest = np.nextafter((limit - slack).astype(np.float32), np.float32(-np.inf))
        single = price.astype(np.float32)
        found = [self._gather(rows[part], single, lowest[part], room) for part in self._parts(rows, room)]
        self.missed[rows] = lowest.astype(np.float64) + slack
        self._add(np.concatenate(found))

    def extend_exactly(self, rows: Array, price: Array, limit: Array, room: int) -> None:
        """The same by similarities in float64: for rows where more pairs tie within what proposals may err by."""
        self.follow(price)
        found = []
        for part in self._parts(rows, room):
            places, self.missed[rows[part]] = self._gather_exactly(rows[part], price, limit[part], room)
            found.append(places)
        self._add(np.concatenate(found))

    def _parts(self, rows: Array, room: int) -> list[slice]:
        at_once = max(1, min(self.pairs.rows_at_once, PLACES // room))
        return [slice(first, first + at_once) for first in range(0, len(rows), at_once)]

    def _add(self, found: Array) -> None:
        """Make pairs candidates that are not yet, in order of rows and columns."""
        new = np.setdiff1d(found, self.place, assume_unique=True)
        n = self.pairs.shape[1]
        value = self.pairs.exact(new // n, new % n)
        place = np.concatenate([self.place, new])
        order = np.argsort(place, kind="stable")
        self.place, self.value = place[order], np.concatenate([self.value, value])[order]

    def _gather(self, rows: Array, price: Array, limit: Array, room: int) -> Array:
        """Places of the pairs to add; `limit` becomes what no other pair's key exceeds."""
        key, index, count = _room(len(rows), room, np.float32)
        shake = SHAKE * self.pairs.scale
        for first, block in self.pairs.blocks(rows):

            def some(part: slice, first: int = first, block: Array = block) -> None:
                kept = (limit[part], key[part], index[part], count[part])
                kernels.gather(block[part], rows[part], first, self.pairs.relative, shake, price, *kept)

            shared_out(some, len(rows))
        return self._places(rows, index, count)

    def _gather_exactly(self, rows: Array, price: Array, least: Array, room: int) -> tuple[Array, Array]:
        """Places of the pairs to add, and what all others gain at most."""
        key, index, count = _room(len(rows), room, np.float64)
        limit, gain = np.full(len(rows), -np.inf), least.copy()
        shake = SHAKE * self.pairs.scale
        for first, block in self.pairs.exact_blocks(rows):

            def some(part: slice, first: int = first, block: Array = block) -> None:
                kept = (key[part], index[part], count[part], limit[part], gain[part])
                kernels.gather_exactly(block[part], rows[part], first, shake, price, least[part], *kept)

            shared_out(some, len(rows))
        return self._places(rows, index, count), np.where(count < room, least, gain)

    def _places(self, rows: Array, index: Array, count: Array) -> Array:
        kept = np.arange(index.shape[1]) < count[:, None]
        places: Array = (rows[:, None].astype(np.int64) * self.pairs.shape[1] + index)[kept]
        return places

    def follow(self, price: Array) -> None:
        """Take new prices: what was missed gains by how much they have fallen at most."""
        self.missed += max(0.0, float((self._price - price).max()))
        self._price = price.copy()

    def slack(self, price: Array) -> float:
        """What may separate a key, in float32, from the exact gain that it stands for."""
        return float(self.pairs.error + 2.0**-20 * (self.pairs.scale + price.max()))

    def spread(self) -> float:
        """Between what a row's best candidate gains at price 0 and what all others do, in the median."""
        start, _, value = self.by_row()
        best = np.maximum.reduceat(value, start[:-1])
        return float(np.median(best - self.missed))

    def by_row(self) -> tuple[Array, Array, Array]:
        """Where each row's candidates begin, their columns and similarities."""
        m, n = self.pairs.shape
        start = np.searchsorted(self.place, np.arange(m + 1) * n)
        return start, (self.place % n).astype(np.int32), self.value

    def by_column(self) -> tuple[Array, Array, Array]:
        """Where each column's candidates begin, their rows and similarities."""
        n = self.pairs.shape[1]
        columns = self.place % n
        order = np.argsort(columns, kind="stable")
        start = np.searchsorted(columns[order], np.arange(n + 1))
        return start, (self.place // n).astype(np.int32)[order], self.value[order]


def _room(rows: int, room: int, dtype: npt.DTypeLike) -> tuple[Array, Array, Array]:
    """Keys, columns and their number for so many pairs of each row."""
    return np.empty((rows, room), dtype), np.empty((rows, room), np.int32), np.zeros(rows, np.int32)
