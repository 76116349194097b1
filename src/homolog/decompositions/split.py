"""How are activations cut into two halves at random, whether they lie in memory or in a file?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.decompositions.samples import Block, InMemory, Samples
from homolog.streams import stream


class Part(Samples):
    """Some rows, ascending, of other samples; in order, what lies between them is read too, and dropped."""

    def __init__(self, whole: Samples, index: Int[Tensor, " chosen"]) -> None:
        self._whole, self._index = whole, index
        self.samples, self.units, self.device = len(index), whole.units, whole.device
        self.stored, self.at_random = whole.stored, whole.at_random

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        index = self._index[start:stop]
        span = self._whole.read(int(index[0]), int(index[-1]) + 1)
        return span.index_select(0, (index - index[0]).to(span.device))

    def take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        return self._whole.take(self._index[rows])

    def expect(self, blocks: list[Block]) -> None:
        self._whole.expect([(int(self._index[start]), int(self._index[stop - 1]) + 1) for start, stop in blocks])

    def fill(self, out: Float[Tensor, "rows units"], start: int) -> None:
        index = self._index[start : start + len(out)]
        span = self._whole.empty(int(index[-1]) + 1 - int(index[0]))
        self._whole.fill(span, int(index[0]))
        torch.index_select(span, 0, (index - index[0]).to(span.device), out=out)

    def empty(self, rows: int) -> Float[Tensor, "rows units"]:
        return self._whole.empty(rows)


def halves_of(samples: Samples) -> dict[str, Samples]:
    """Disjoint halves ``a`` and ``b``, drawn at random: the same rows for all activations of so many rows.

    Raises ValueError when there is no row for each.
    """
    chosen = rows_of_halves(samples.samples)
    if isinstance(samples, InMemory):
        return {name: InMemory(samples.values[index.to(samples.device)]) for name, index in chosen.items()}
    return {name: Part(samples, index) for name, index in chosen.items()}


def rows_of_halves(samples: int) -> dict[str, Int[Tensor, " rows"]]:
    """Row numbers of both halves, ascending."""
    if samples < 2:
        raise ValueError(f"activations have {samples} row, and halves need at least 2: leave out halves.")
    order = torch.randperm(samples, generator=stream("halves", samples))
    middle = samples // 2
    return {"a": order[:middle].sort().values, "b": order[middle:].sort().values}
