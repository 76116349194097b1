"""How similar are the codes of any two latents of two dictionaries, at a cost that grows with the non-zeros?

Both measures need sums over the samples on which both latents are active. For latent i of a these come from the samples
where it is active and the latents of b that are active there too, for one row of the matrix at a time (Gustavson 1978).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from homolog.alignment import kernels
from homolog.alignment.assignment.kernels import Array
from homolog.alignment.assignment.pairs import SINGLE, Pairs
from homolog.alignment.assignment.threads import shared_out

# Similarities that are held at a time.
PLACES = 2**22
# Of codes of which fewer than this share are other than zero the non-zeros alone are multiplied.
FEW = 0.1
# What float64 may err by in an r, so that it bounds what proposals do.
DOUBLE = 2.0**-40

Compressed = tuple[Array, Array, Array]  # Where the entries of each begin, which they are, their values


@dataclass(frozen=True)
class SparseCodes:
    """Codes (samples, latents) of which only the non-zeros are held, by sample and by latent."""

    samples: int
    latents: int
    by_sample: Compressed
    by_latent: Compressed

    @classmethod
    def stack(cls, blocks: Iterable[Any], what: str = "codes") -> SparseCodes:
        """From consecutive blocks of samples: scipy sparse arrays, tensors or arrays (samples, latents), one at a time.

        Memory grows with the non-zeros, which are held twice. `what` is how errors call them. Raises ValueError if
        there are no samples or no latents, blocks differ in latents, or a code is NaN or infinite.
        """
        parts = [_compressed(block) for block in blocks]
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise ValueError(f"Blocks of {what} have {widths} latents: stack blocks of one dictionary's codes.")
        whole = scipy.sparse.vstack(parts, format="csr") if parts else scipy.sparse.csr_array((0, 0))
        samples, latents = whole.shape
        if samples == 0 or latents == 0:
            raise ValueError(f"{what} have shape {(samples, latents)}: give at least one sample and one latent.")
        bad = int((~np.isfinite(whole.data)).sum())
        if bad:
            raise ValueError(
                f"{bad} of the {whole.nnz} non-zero {what} are NaN or infinite, and no correlation is defined on them: "
                f"leave out the latents or samples that hold them."
            )
        return cls.of(whole)

    @classmethod
    def of(cls, whole: Any) -> SparseCodes:
        """From one sparse array (samples, latents)."""
        by_sample, by_latent = scipy.sparse.csr_array(whole), scipy.sparse.csc_array(whole)
        for one in (by_sample, by_latent):
            one.sort_indices()
        samples, latents = whole.shape
        return cls(samples, latents, _arrays(by_sample), _arrays(by_latent))

    def in_order(self, order: Array) -> SparseCodes:
        """The same codes with their samples in another order."""
        start, latent, value = self.by_sample
        return SparseCodes.of(scipy.sparse.csr_array((value, latent, start), (self.samples, self.latents))[order])

    def of_latents(self, latents: Array) -> SparseCodes:
        """The codes of some latents."""
        start, sample, value = self.by_latent
        return SparseCodes.of(scipy.sparse.csc_array((value, sample, start), (self.samples, self.latents))[:, latents])

    def dense(self) -> Array:
        """All codes, (samples, latents)."""
        start, latent, value = self.by_sample
        whole: Array = scipy.sparse.csr_array((value, latent, start), (self.samples, self.latents)).toarray()
        return whole

    @cached_property
    def moments(self) -> Moments:
        """What correlations take of these codes."""
        return Moments.of(self)

    @property
    def counts(self) -> Array:
        """Samples on which each latent is active."""
        return np.diff(self.by_latent[0])

    def sums(self, power: int = 1) -> Array:
        """Sum over samples of each latent's codes, or of a power of them; float64."""
        latent = np.repeat(np.arange(self.latents), self.counts)
        values = self.by_latent[2].astype(np.float64) ** power
        return np.bincount(latent, values, minlength=self.latents)


class _OfCodes(Pairs):
    """What correlations and overlaps of codes share: blocks of rows from the samples on which both are active."""

    error, relative, scale = DOUBLE, SINGLE, 1.0

    def __init__(self, a: SparseCodes, b: SparseCodes) -> None:
        if a.samples != b.samples:
            raise ValueError(
                f"Codes are compared on the same samples, but a has {a.samples} and b {b.samples}: give both "
                f"dictionaries the same inputs, in the same order."
            )
        self._a, self._b = a, b
        self.shape = (a.latents, b.latents)
        self.rows_at_once = max(1, PLACES // b.latents)

    def blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        yield 0, self._filled(rows, np.float32).view(np.int32)

    def exact_blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        yield 0, self._filled(rows, np.float64)

    def matrix(self) -> Tensor:
        """All similarities at once, (m, n), in float64."""
        return torch.from_numpy(self._filled(np.arange(self.shape[0]), np.float64))

    def _filled(self, rows: Array, dtype: Any) -> Array:
        out = np.empty((len(rows), self.shape[1]), dtype)
        shared_out(lambda part: self._fill(rows[part], out[part]), len(rows))
        return out

    @abstractmethod
    def _fill(self, rows: Array, out: Array) -> None:
        """Similarities of some rows with all columns."""

    def _products(self, rows: Array, columns: Array) -> Array:
        out = np.empty(len(rows))

        def some(part: slice) -> None:
            kernels.products_of_pairs(rows[part], columns[part], *self._a.by_latent, *self._b.by_latent, out[part])

        shared_out(some, len(rows))
        return out


class Correlation(_OfCodes):
    """Pearson's r of the codes of m latents with those of n others over the same samples, in float64.

    With `signed` false its size. A latent that is constant up to the rounding of its codes has r = 0 with all. Raises
    ValueError if the numbers of samples differ.
    """

    def __init__(self, a: SparseCodes, b: SparseCodes, signed: bool = True) -> None:
        super().__init__(a, b)
        self._take(a.moments, b.moments, signed)

    def _take(self, a: Moments, b: Moments, signed: bool) -> None:
        super().__init__(a.codes, b.codes)
        self._moments, self.signed = (a, b), signed

    def _fill(self, rows: Array, out: Array) -> None:
        a, b = self._moments
        sides = (*self._a.by_latent, a.sums, a.inverse), (*self._b.by_sample, b.sums, b.inverse)
        kernels.correlate(rows, *sides[0], *sides[1], self._a.samples, out)
        if not self.signed:
            np.abs(out, out=out)

    def exact(self, rows: Array, columns: Array) -> Array:
        a, b = self._moments
        centred = self._products(rows, columns) - a.sums[rows] / self._a.samples * b.sums[columns]
        r: Array = centred * a.inverse[rows] * b.inverse[columns]
        return r if self.signed else np.abs(r)

    def swapped(self) -> Correlation:
        other = object.__new__(Correlation)
        other._take(*self._moments[::-1], self.signed)
        return other


class Jaccard(_OfCodes):
    """Jaccard's index of the supports: samples on which both latents are active over those on which either is.

    Two latents that are never active have 0. Raises ValueError if the numbers of samples differ.
    """

    def __init__(self, a: SparseCodes, b: SparseCodes) -> None:
        super().__init__(_support(a), _support(b))

    def _fill(self, rows: Array, out: Array) -> None:
        a, b = self._a, self._b
        kernels.overlap(rows, *a.by_latent, a.counts, *b.by_sample, b.counts, out)

    def exact(self, rows: Array, columns: Array) -> Array:
        both = self._products(rows, columns)
        union = self._a.counts[rows] + self._b.counts[columns] - both
        index: Array = np.where(union > 0, both / np.maximum(union, 1), 0.0)
        return index

    def swapped(self) -> Jaccard:
        return Jaccard(self._b, self._a)


@dataclass(frozen=True)
class Moments:
    """Codes, their sums, and the inverse norms of the codes less their means."""

    codes: SparseCodes
    sums: Array
    inverse: Array

    @classmethod
    def of(cls, codes: SparseCodes) -> Moments:
        """Latents that are active on most samples are centred first, which at most doubles their entries.

        For any other, n samples of which at most n/2 are active, (sum)^2 / n is at most half the sum of squares (Cauchy
        and Schwarz): taking it off cancels no more than one bit.
        """
        squares, rounding = codes.sums(2), np.finfo(codes.by_latent[2].dtype).eps
        centred = _centre_frequent(codes)
        sums = centred.sums()
        variation = centred.sums(2) - sums**2 / codes.samples
        varies = np.sqrt(np.maximum(variation, 0)) > 2 * rounding * np.sqrt(squares)
        inverse = np.zeros(codes.latents)
        inverse[varies] = 1 / np.sqrt(variation[varies])
        return cls(centred, sums, inverse)


def are_few(codes: Tensor) -> bool:
    """Whether so few codes are other than zero that to multiply those alone takes less time."""
    return int(codes.count_nonzero()) < FEW * codes.numel()


def _centre_frequent(codes: SparseCodes) -> SparseCodes:
    """The codes, less their means where a latent is active on more than half of the samples."""
    frequent = codes.counts > codes.samples / 2
    if not frequent.any():
        return codes
    start, sample, value = codes.by_latent
    whole = scipy.sparse.csc_array((value.astype(np.float64), sample, start), shape=(codes.samples, codes.latents))
    dense = whole[:, np.flatnonzero(frequent)].toarray()
    dense -= dense.mean(0)
    order = np.argsort(np.concatenate([np.flatnonzero(~frequent), np.flatnonzero(frequent)]))
    rest = whole[:, np.flatnonzero(~frequent)]
    return SparseCodes.of(scipy.sparse.hstack([rest, scipy.sparse.csc_array(dense)], format="csc")[:, order])


def _support(codes: SparseCodes) -> SparseCodes:
    """Ones in place of the codes."""
    ones = np.ones(len(codes.by_latent[2]), np.float32)
    sides = ((start, index, ones) for start, index, _ in (codes.by_sample, codes.by_latent))
    return SparseCodes(codes.samples, codes.latents, *sides)


def _compressed(block: Any) -> Any:
    """A block of samples in compressed rows, without stored zeros."""
    if isinstance(block, Tensor):
        tensor = block.detach().cpu()
        if tensor.layout == torch.sparse_csr:
            parts = (tensor.values().numpy(), tensor.col_indices().numpy(), tensor.crow_indices().numpy())
            block = scipy.sparse.csr_array(parts, shape=tuple(tensor.shape))
        else:
            block = tensor.to_dense().numpy()
    rows = scipy.sparse.csr_array(block)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def _arrays(compressed: Any) -> Compressed:
    return compressed.indptr.astype(np.int64), compressed.indices.astype(np.int32), compressed.data
