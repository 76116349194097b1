"""Which latents of one dictionary can hardly be told apart: neighbours in rank, or those that fire together?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from homolog.alignment.blocks import block_labels, compare_blocks
from homolog.comparing.codes import correlations
from homolog.comparing.likeness import OfCodes
from homolog.comparing.views import Scored, Side

# Two latents whose codes correlate more are taken for one thing that was cut in two.
TOGETHER = 0.9
# Of the largest eigenvalue of a matrix of correlations: below it there is rounding.
ROUNDING = 1e-10


def blocks(side: Side) -> Int[Tensor, " latents"]:
    """The block of each latent, numbered by its first latent; most are blocks of one. -1 where it isn't live.

    Of an ordered dictionary (SVD, PCA) these are ranks whose importances are nearly equal (`block_labels`): any basis
    of their span would do as well. Of others, latents linked by correlations of their codes above 0.9 in absolute
    value, on the half of the rows where pairs are chosen. Which one of a block is matched is arbitrary: take the block
    as the unit.
    """
    label = ranks_of(side) if side.dictionary.ordered else _together(side)
    first = torch.full((side.latents,), side.latents).scatter_reduce(0, label, torch.arange(side.latents), "amin")
    return torch.where(side.live, first[label], -1)


def _together(side: Side) -> Int[Tensor, " latents"]:
    codes = side.codes["match"]
    links = [np.empty((2, 0), np.int64)]
    for part, block in OfCodes(codes, codes, signed=False).blocks():
        row, column = (block > TOGETHER).nonzero(as_tuple=True)
        links.append(np.stack([row.numpy() + part.start, column.numpy()]))
    row, column = np.concatenate(links, 1)
    linked = sparse.coo_array((np.ones(len(row), bool), (row, column)), shape=(side.latents, side.latents))
    return torch.from_numpy(connected_components(linked, directed=False)[1]).long()


def ranks_of(side: Side) -> Int[Tensor, " latents"]:
    """The block of ranks of each latent of an ordered dictionary, counted from 0.

    By its importances, or where it has none by the deviations of its codes. Measured on other rows than it was fitted
    to, near-degenerate ones may rise: each counts as no more than the one before.
    """
    importance = side.dictionary.importance.double()
    if not bool(importance.isfinite().all()):
        deviation = side.codes["match"].mean_and_deviation[1]
        importance = torch.where(deviation.isfinite(), deviation, 0)
    return block_labels(importance.clamp(min=0).cummin(0).values)


def compare_subspaces(a: Side, b: Side) -> tuple[Scored, Scored]:
    """Blocks of ranks of two ordered dictionaries as subspaces of codes, each latent with its namesake in rank.

    The similarity of all latents of a block is tr(P Q) / k of the projectors onto the spans of its k centred codes, the
    mean of their squared canonical correlations (Hotelling 1936), on the half of the rows that scores. A block ends
    where both dictionaries end one (`alignment.blocks.compare_blocks`).
    """
    codes = (a.codes["score"], b.codes["score"])
    gram = torch.cat([torch.cat([correlations(one, other) for other in codes], 1) for one in codes])
    # Rows with these inner products: all that the overlap of subspaces takes.
    values, vectors = torch.linalg.eigh((gram + gram.T) / 2)
    rows = vectors * torch.where(values > ROUNDING * values[-1], values, 0).sqrt()
    found = compare_blocks(rows[: a.latents], rows[a.latents :], ranks_of(a), ranks_of(b))
    return _of_ranks(a, b, found.overlap[found.label]), _of_ranks(b, a, found.overlap[found.label])


def _of_ranks(one: Side, other: Side, overlap: Float[Tensor, " ranks"]) -> Scored:
    ranks = len(overlap)
    index = torch.full((one.latents,), -1)
    index[:ranks] = torch.arange(ranks)
    both = one.live.clone()
    both[:ranks] &= other.live[:ranks]
    both[ranks:] = False
    similarity = torch.full((one.latents,), torch.nan, dtype=torch.float64)
    similarity[:ranks] = overlap.to(similarity)
    return Scored(torch.where(both, index, -1), similarity.masked_fill(~both, torch.nan), both)
