"""How similar are any two latents of two dictionaries, told in blocks that propose and pair by pair exactly?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.assignment import kernels
from homolog.alignment.assignment.kernels import Array
from homolog.alignment.assignment.threads import shared_out

# Whether the processor multiplies bfloat16 by itself; else the proposals are made in float32.
NATIVE = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("amx_tile", "avx512_bf16"))
# Rows and columns of a tile: large enough that packing them costs little beside the product.
TILE = 2048
# Rows that are brought to unit norm at a time, near the processor.
SMALL = 256
# What a bfloat16 result may have lost to rounding (half a unit of its last place), and a float32 one.
HALF, SINGLE = 2.0**-8, 2.0**-23


class Pairs(ABC):
    """Similarities of m latents with n others, which are never all in memory.

    A proposal differs from the exact similarity by at most ``error + relative * |proposal|``.
    """

    shape: tuple[int, int]
    error: float
    relative: float
    scale: float
    """No similarity is larger in size."""
    rows_at_once: int

    @abstractmethod
    def blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        """Proposals of some rows, from left to right: first column and bits (rows, columns), of float32 or bfloat16."""

    @abstractmethod
    def exact_blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        """The same in float64, right but for its rounding: first column and similarities (rows, columns)."""

    @abstractmethod
    def exact(self, rows: Array, columns: Array) -> Array:
        """Similarities of single pairs, in float64."""

    @abstractmethod
    def swapped(self) -> Pairs:
        """The same with rows and columns in each other's place."""


class Cosine(Pairs):
    """Cosines of the rows of a (m, dims) with those of b (n, dims); zero rows have cosine 0 with all.

    With `signed` false their sizes: for methods whose latents have no sign. The product of unit rows in bfloat16 is
    proposed. By Cauchy and Schwarz it is off by at most the norms of what rounding took from the rows.
    Raises ValueError for rows that differ in length, have none, or hold what is NaN or infinite, and for no rows.
    """

    rows_at_once = TILE

    def __init__(self, a: Float[Tensor, "m dims"], b: Float[Tensor, "n dims"], signed: bool = True) -> None:
        if a.shape[1] != b.shape[1] or 0 in (*a.shape, *b.shape):
            raise ValueError(
                f"Cosines are of rows of one space, but a has shape {tuple(a.shape)} and b {tuple(b.shape)}: "
                f"give two dictionaries (latents, dims) of equal dims in a view that they share, and at least one each."
            )
        self._a, self._b, self.signed = _Rows("a", a), _Rows("b", b), signed
        self._measure()

    def _measure(self) -> None:
        dims = self._a.rows.shape[1]
        self.shape = (len(self._a.rows), len(self._b.rows))
        # A sum of products in float32 is off by at most as many roundings as it has terms (Higham 2002, section 3.1).
        self.error = self._a.lost + (1 + self._a.lost) * self._b.lost + (dims + 2) * SINGLE
        self.relative, self.scale = HALF if NATIVE else SINGLE, 1.0

    def blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        left = self._a.half[torch.from_numpy(rows)]
        out = torch.empty(len(rows) * min(TILE, self.shape[1]), dtype=left.dtype)
        for first in range(0, self.shape[1], TILE):
            right = self._b.half[first : first + TILE]
            block = out[: len(rows) * len(right)].view(len(rows), len(right))
            torch.mm(left, right.T, out=block)
            if not self.signed:
                block.abs_()
            yield first, block.view(torch.int16 if NATIVE else torch.int32).numpy()

    def exact_blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        # Zero rows are often the ones that ask, and need no product.
        live = np.flatnonzero(self._a.inverse[rows])
        left = self._a.unit(rows[live])
        for first in range(0, self.shape[1], TILE):
            here = np.arange(first, min(first + TILE, self.shape[1]))
            block = np.zeros((len(rows), len(here)))
            if len(live):
                block[live] = (left @ self._b.unit(here).T).numpy()
            yield first, block if self.signed else np.abs(block)

    def exact(self, rows: Array, columns: Array) -> Array:
        out = np.empty(len(rows))
        a, b = self._a, self._b

        def some(part: slice) -> None:
            kernels.products(a.rows, b.rows, rows[part], columns[part], out[part])

        shared_out(some, len(rows))
        out *= a.inverse[rows] * b.inverse[columns]
        return out if self.signed else np.abs(out)

    def swapped(self) -> Cosine:
        other = object.__new__(Cosine)
        other._a, other._b, other.signed = self._b, self._a, self.signed
        other._measure()
        return other


class _Rows:
    """Rows as they came, the inverses of their norms, and unit rows to propose with."""

    def __init__(self, name: str, rows: Tensor) -> None:
        wanted = rows.detach().cpu().contiguous()
        wanted = wanted if wanted.dtype == torch.float64 else wanted.float()
        self.rows: Array = wanted.numpy()
        inverse = torch.empty(len(wanted), dtype=torch.float64)
        self.inverse: Array = inverse.numpy()
        self.half = torch.empty(wanted.shape, dtype=torch.bfloat16 if NATIVE else torch.float32)
        lost = torch.zeros(())
        for first in range(0, len(wanted), SMALL):
            here = slice(first, first + SMALL)
            norms = torch.linalg.vector_norm(wanted[here], dim=1, dtype=torch.float64)
            inverse[here] = torch.where(norms > 0, 1 / norms, 0)
            unit = (wanted[here] * inverse[here, None].to(wanted)).float()
            self.half[here] = unit
            lost = torch.maximum(lost, torch.linalg.vector_norm(unit.sub_(self.half[here]), dim=1).max())
        # What float32 itself has lost: a rounding of each number, and of the inverse.
        self.lost = float(lost) * (1 + wanted.shape[1] * SINGLE) + 2 * SINGLE
        # What isn't a number spreads to the norms, and from there to what was lost.
        if not np.isfinite(self.lost):
            bad = int((~wanted.isfinite()).any(1).sum())
            raise ValueError(
                f"{bad} of the {len(wanted)} rows of {name} hold NaN or infinity, and no matching is defined on them: "
                f"leave those latents out."
            )

    def unit(self, rows: Array) -> Tensor:
        """Unit rows, or zero ones, in float64."""
        return torch.from_numpy(self.rows[rows]).double() * torch.from_numpy(self.inverse[rows, None])


class Matrix(Pairs):
    """Similarities that are given as a matrix (m, n), in memory.

    Raises ValueError if it is empty or holds what is NaN or infinite.
    """

    def __init__(self, similarity: Float[Tensor, "m n"]) -> None:
        given = similarity.detach().cpu()
        if 0 in given.shape:
            raise ValueError(f"There is nothing to match in similarities of shape {tuple(given.shape)}.")
        # A NaN spreads to the extremes, and so does infinity.
        low, high = (float(x) for x in given.aminmax())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(
                f"{int((~given.isfinite()).sum())} of {given.numel()} similarities, shape {tuple(given.shape)}, are "
                f"NaN or infinite, and no matching is defined on them: leave out latents that have none."
            )
        self._given = given
        self.shape = (len(given), given.shape[1])
        self.error, self.relative = 2.0**-126, 0.0 if given.dtype == torch.float32 else SINGLE
        self.scale = max(abs(low), abs(high))
        self.rows_at_once = max(1, TILE * TILE // given.shape[1])

    def blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        yield 0, self._given[torch.from_numpy(rows)].float().contiguous().view(torch.int32).numpy()

    def exact_blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        yield 0, self._given[torch.from_numpy(rows)].double().numpy()

    def exact(self, rows: Array, columns: Array) -> Array:
        found: Array = self._given[torch.from_numpy(rows), torch.from_numpy(columns)].double().numpy()
        return found

    def swapped(self) -> Matrix:
        return Matrix(self._given.T)


def as_pairs(similarity: Any) -> Pairs:
    """A matrix as `Matrix`, anything else as it is."""
    return Matrix(similarity) if isinstance(similarity, Tensor) else similarity
