"""How alike is each latent of one dictionary to each of another, told in blocks, so that no matrix of all is held?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.assignment.pairs import Cosine, Pairs
from homolog.alignment.sparse_codes import Correlation, SparseCodes
from homolog.comparing.codes import Codes, correlations

# Up to so many entries are one block, in float64; more are several, in float32.
WHOLE = 2**24


class Likeness(ABC):
    """Similarities of m latents with n others; their sizes where `signed` is false."""

    shape: tuple[int, int]
    signed: bool
    at_once: int
    """Entries of a block where there are several."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.shape[0] * self.shape[1] <= WHOLE else torch.float32

    def blocks(self) -> Iterator[tuple[slice, Float[Tensor, "rows n"]]]:
        """All similarities, some rows at a time, which may be overwritten."""
        m, n = self.shape
        step = m if m * n <= WHOLE else max(1, self.at_once // n)
        for start in range(0, m, step):
            rows = slice(start, min(start + step, m))
            block = self._block(rows)
            yield rows, block if self.signed else block.abs_()

    @abstractmethod
    def _block(self, rows: slice) -> Float[Tensor, "rows n"]:
        """Similarities of some rows with all columns, with their signs."""

    @abstractmethod
    def pairs(self, rows: Int[Tensor, " some"], columns: Int[Tensor, " others"]) -> Pairs:
        """Those of some latents, for an assignment on candidates."""


class OfDirections(Likeness):
    """Cosines; zero rows have cosine 0 with all. Products are made on the `device`."""

    at_once = 2**22

    def __init__(
        self, a: Float[Tensor, "m units"], b: Float[Tensor, "n units"], signed: bool, device: str | torch.device = "cpu"
    ) -> None:
        self.shape, self.signed, self._given = (len(a), len(b)), signed, (a, b)
        self._a, self._b = (unit_rows(rows).to(device, self.dtype) for rows in (a, b))

    def _block(self, rows: slice) -> Tensor:
        return self._a[rows] @ self._b.T

    def pairs(self, rows: Int[Tensor, " some"], columns: Int[Tensor, " others"]) -> Pairs:
        a, b = self._given
        return Cosine(a[rows], b[columns], self.signed)


class OfCodes(Likeness):
    """Pearson's r of codes. Every block is a pass over the rows; codes that are kept aren't computed again."""

    at_once = 2**26

    def __init__(self, a: Codes, b: Codes, signed: bool) -> None:
        self.shape, self.signed = (a.latents, b.latents), signed
        self._a, self._b = a, b

    def _block(self, rows: slice) -> Tensor:
        return correlations(self._a, self._b, rows, self.dtype)

    def pairs(self, rows: Int[Tensor, " some"], columns: Int[Tensor, " others"]) -> Pairs:
        """These hold the non-zeros of both, twice."""
        sides = ((self._a, rows), (self._b, columns))
        a, b = (SparseCodes.stack(chunk[:, chosen.numpy()] for chunk in codes.chunks()) for codes, chosen in sides)
        return Correlation(a, b, self.signed)


def unit_rows(rows: Float[Tensor, "rows units"]) -> Float[Tensor, "rows units"]:
    """Rows of norm 1 in float64; rows that are zero stay zero."""
    wide = rows.double()
    norms = wide.norm(dim=1, keepdim=True)
    return wide / torch.where(norms > 0, norms, 1.0)
