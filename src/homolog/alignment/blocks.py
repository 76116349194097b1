"""How alike are two ordered dictionaries where the order of neighbours, and so each single latent, is arbitrary?

With nearly equal singular values the singular vectors are any basis of a subspace; the subspace is not arbitrary. So
ranks are taken in blocks, cut where both sides have a clear gap, and each block is compared as a subspace.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Blocks:
    """Two ordered dictionaries compared block by block, as far as both go."""

    label: Int[Tensor, " ranks"]
    """The block of each rank, counted from 0."""
    overlap: Float[Tensor, " blocks"]
    """tr(P Q) / k of the projectors of each block of k ranks: mean squared cosine of principal angles, in [0, 1]."""
    value: float
    """Mean overlap of the ranks: each block by its size."""


def block_labels(importance: Float[Tensor, " latents"], gap: float = 0.1) -> Int[Tensor, " latents"]:
    """Blocks of ranks whose importances fall by less than the share `gap` from each to the next, counted from 0.

    Single linkage: a block may span a slow fall. Raises ValueError unless importances are finite, at least 0 and fall.
    """
    falls = importance[:-1] - importance[1:]
    if not importance.isfinite().all() or (importance < 0).any() or (falls < 0).any():
        raise ValueError(
            "Blocks of ranks need importances that are finite, not negative and in falling order, as ordered methods "
            "have them: sort them, or compare by another matching."
        )
    cut = falls > gap * importance[:-1]
    return torch.cat([cut.new_zeros(min(1, len(importance))), cut]).long().cumsum(0)


def compare_blocks(
    a: Float[Tensor, "m dims"],
    b: Float[Tensor, "n dims"],
    labels_a: Int[Tensor, " m"],
    labels_b: Int[Tensor, " n"],
) -> Blocks:
    """Projector overlap of the blocks of two ordered sets of signatures or directions, by rank.

    A block ends where both sides end one: a gap on one side alone isn't one that both have, and cutting there would
    take a subspace apart. Directions needn't be orthogonal; k are to span k dimensions, else the overlap is below 1.
    Raises ValueError unless there is a label for each latent, and labels are those of runs of ranks.
    """
    for name, rows, labels in (("a", a, labels_a), ("b", b, labels_b)):
        if len(labels) != len(rows) or (labels[1:] < labels[:-1]).any():
            raise ValueError(
                f"Blocks are runs of ranks, but of the {len(labels)} labels of {name}, which has {len(rows)} latents, "
                f"some fall or are missing: give each latent a label that doesn't fall, as block_labels does."
            )
    ranks = min(len(a), len(b))
    if ranks == 0:
        return Blocks(labels_a[:0], a.new_zeros(0).double(), float("nan"))
    ends = (labels_a[1:ranks] != labels_a[: ranks - 1]) & (labels_b[1:ranks] != labels_b[: ranks - 1])
    label = torch.cat([ends.new_zeros(1), ends]).long().cumsum(0)
    overlaps, sizes = [], []
    for block in range(int(label[-1]) + 1):
        here = torch.nonzero(label == block).squeeze(1)
        p, q = (_basis(rows[here].double()) for rows in (a, b))
        overlaps.append((p @ q.T).square().sum() / len(here))
        sizes.append(len(here))
    overlap = torch.stack(overlaps)
    return Blocks(label, overlap, float((overlap * torch.tensor(sizes).to(overlap)).sum() / ranks))


def _basis(rows: Float[Tensor, "k dims"]) -> Float[Tensor, "rank dims"]:
    """Orthonormal rows that span the given ones, after a rank cut."""
    _, singular, vh = torch.linalg.svd(rows, full_matrices=False)
    cut = singular.max() * max(rows.shape) * torch.finfo(rows.dtype).eps
    basis: Tensor = vh[singular > cut]
    return basis
