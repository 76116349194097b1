"""Which latents fire on the same inputs: correlations and overlaps of codes that are never held as rows x latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from homolog.alignment.nulls import order_within
from homolog.decompositions.samples import Samples
from homolog.dictionary import CACHED, Dictionary
from homolog.streams import stream

# Rows that are encoded, kept and multiplied together.
CHUNK = 8192
# Codes of one dictionary on one half that take up to so much are kept; others are encoded again when they are needed.
KEPT_BYTES = 256 * 2**20
# Codes with fewer non-zeros than this share are multiplied as sparse matrices.
SPARSE = 0.1

Chunk = Any  # Tensor (rows, latents), or a sparse array of that shape


@dataclass
class Codes:
    """Codes of one dictionary on one half of the rows, chunk by chunk.

    `shuffle` is the key of a random order of the rows within each chunk: the codes of other inputs; with `labels`, of
    other inputs of the same label. Rows are read on the `device`, and come back from it.
    """

    dictionary: Dictionary
    samples: Samples
    shuffle: tuple[str | int, ...] | None = None
    device: str | torch.device = "cpu"
    labels: Int[Tensor, " rows"] | None = None
    _kept: list[Chunk] | None = field(default=None, repr=False)

    @property
    def latents(self) -> int:
        return len(self.dictionary.directions)

    @property
    def rates(self) -> Float[Tensor, " latents"]:
        """Share of the rows on which each latent is active."""
        return self.sums[2] / self.samples.samples

    def shuffled(self, *key: str | int, labels: Int[Tensor, " rows"] | None = None) -> Codes:
        """The same codes with rows in another order: they keep their distribution, and what they fire on is chance.

        With `labels` rows change places within equal labels only: what they fire on is what the labels tell.
        """
        return replace(self, shuffle=key, labels=labels, _kept=self._kept)

    def chunks(self) -> Iterator[Chunk]:
        """All rows in order, `CHUNK` at a time, (rows, latents); a ValueError when a code isn't finite."""
        for number, chunk in enumerate(self._kept if self._kept is not None else self._encoded()):
            if self.shuffle is None:
                yield chunk
            else:
                order = self._order(number, chunk.shape[0])
                yield chunk[order] if isinstance(chunk, Tensor) else chunk[order.numpy()]

    def _order(self, number: int, rows: int) -> Int[Tensor, " rows"]:
        generator = stream(*(self.shuffle or ()), number)
        if self.labels is None:
            return torch.randperm(rows, generator=generator)
        return order_within(self.labels[number * CHUNK : number * CHUNK + rows], generator)

    def _encoded(self) -> Iterator[Chunk]:
        kept: list[Chunk] | None = []
        size = 0
        for start in range(0, self.samples.samples, CHUNK):
            chunk = self._encode(self.samples.read(start, min(start + CHUNK, self.samples.samples)))
            size += chunk.numel() * 4 if isinstance(chunk, Tensor) else chunk.nnz * 8
            kept = kept if kept is not None and size <= KEPT_BYTES else None
            if kept is not None:
                kept.append(chunk)
            yield chunk
        self._kept = kept

    def _encode(self, rows: Float[Tensor, "rows units"]) -> Chunk:
        parts = []
        dictionary = self.dictionary.to(self.device)
        for part in torch.split(rows, CACHED):
            codes = dictionary.codes(part.to(self.device)).cpu()
            if not bool(codes.isfinite().all()):
                count = int((~codes.isfinite()).sum())
                raise ValueError(f"codes hold {count} values that aren't finite: look at the dictionary's encoder.")
            dense = codes.numel() < 2**16 or int(codes.count_nonzero()) > SPARSE * codes.numel()
            parts.append(codes if dense else sparse.csr_array(codes.numpy()))
        if all(isinstance(part, Tensor) for part in parts):
            return torch.cat(parts)
        return sparse.vstack(
            [sparse.csr_array(part.numpy()) if isinstance(part, Tensor) else part for part in parts], format="csr"
        )

    @cached_property
    def sums(self) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"], Float[Tensor, " latents"]]:
        """Sum, sum of squares and number of non-zeros of each latent's codes, in float64."""
        total = torch.zeros(3, self.latents, dtype=torch.float64)
        for chunk in self.chunks():
            if isinstance(chunk, Tensor):
                wide = chunk.double()
                total += torch.stack([wide.sum(0), wide.square().sum(0), chunk.count_nonzero(0).double()])
            else:
                wide, fired = chunk.astype(np.float64), chunk != 0
                rows = (wide.sum(0), wide.multiply(wide).sum(0), fired.sum(0))
                total += torch.from_numpy(np.stack([np.asarray(row, dtype=np.float64).ravel() for row in rows]))
        return total[0], total[1], total[2]

    @cached_property
    def mean_and_deviation(self) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"]]:
        """Mean, and standard deviation; infinite where a latent is constant up to rounding: its correlations are 0."""
        total, squares, _ = self.sums
        mean = total / self.samples.samples
        second = squares / self.samples.samples
        variance = second - mean.square()
        varies = variance > 1e-12 * second
        return mean, torch.where(varies, variance.clamp(min=0).sqrt(), torch.inf)


def correlations(
    a: Codes, b: Codes, rows: slice = slice(None), dtype: torch.dtype = torch.float64
) -> Float[Tensor, "some latents_b"]:
    """Pearson's r of some latents of `a` with each of `b` over the same rows of activations, in one pass.

    Memory: the matrix and a few chunks. Between sparse codes the work grows with the pairs of latents that are active
    together.
    """
    shape = (len(range(a.latents)[rows]), b.latents)
    products = torch.zeros(shape, dtype=dtype)
    for whole, other in zip(a.chunks(), b.chunks(), strict=True):
        one = whole[:, rows]
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            left, right = (side.to(a.device, dtype) for side in (one.T, other))
            if left.is_cuda:
                products += (left @ right).cpu()
            else:
                products.addmm_(left, right)
        else:
            product = (_sparse(one).T @ _sparse(other)).tocoo()
            place = torch.from_numpy(product.row.astype(np.int64) * shape[1] + product.col)
            products.view(-1).index_add_(0, place, torch.from_numpy(product.data).to(dtype))
    (mean_a, deviation_a), (mean_b, deviation_b) = a.mean_and_deviation, b.mean_and_deviation
    products /= a.samples.samples
    products.addr_(mean_a[rows].to(dtype), mean_b.to(dtype), alpha=-1)
    return products.div_(deviation_a[rows].to(dtype)[:, None]).div_(deviation_b.to(dtype)).clamp_(-1, 1)


def paired(
    a: Codes, b: Codes, index: Int[Tensor, " latents_a"]
) -> tuple[Float[Tensor, " latents_a"], Float[Tensor, " latents_a"]]:
    """Pearson's r, and the Jaccard index of the rows they fire on, of latent i of `a` with latent ``index[i]`` of `b`.

    NaN where ``index[i]`` is -1. The work grows with rows x latents.
    """
    chosen = index.clamp(min=0)
    product, both = (torch.zeros(len(index), dtype=torch.float64) for _ in range(2))
    for one, other in zip(a.chunks(), b.chunks(), strict=True):
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            beside = other[:, chosen]
            product += (one.double() * beside).sum(0)
            both += ((one != 0) & (beside != 0)).sum(0)
        else:
            together = _sparse(one).multiply(_sparse(other).tocsc()[:, chosen.numpy()].tocsr())
            product += torch.from_numpy(np.asarray(together.sum(0, dtype=np.float64)).ravel())
            both += torch.from_numpy(np.asarray((together != 0).sum(0), dtype=np.float64).ravel())
    (mean_a, deviation_a), (mean_b, deviation_b) = a.mean_and_deviation, b.mean_and_deviation
    pearson = (product / a.samples.samples - mean_a * mean_b[chosen]) / deviation_a / deviation_b[chosen]
    either = a.sums[2] + b.sums[2][chosen] - both
    unmatched = index < 0
    return (
        pearson.clamp(-1, 1).masked_fill(unmatched, torch.nan),
        (both / either.clamp(min=1)).masked_fill(unmatched, torch.nan),
    )


def _sparse(chunk: Chunk) -> Any:
    return sparse.csr_array(chunk.numpy()) if isinstance(chunk, Tensor) else chunk
