"""Which latent of one dictionary is matched with which of another? (The one place where pairs are chosen.)"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from homolog.alignment.assignment.assign import sparse_assignment
from homolog.alignment.matching import LARGE, match
from homolog.comparing.likeness import Likeness

MATCHINGS = ("mutual", "best", "hungarian")


def choose(
    likeness: Likeness, live_a: Bool[Tensor, " m"], live_b: Bool[Tensor, " n"], matching: str
) -> tuple[tuple[Int[Tensor, " m"], Bool[Tensor, " m"]], tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]]:
    """Match of each latent of a and of b (-1: none), and whether it is mutual.

    `mutual` and `best`: each with its most similar one. `hungarian`: one to one, with the largest sum; from 2,048
    latents on by candidates (`sparse_assignment`), to the same optimum. None of them holds a large matrix.
    """
    index_a, index_b = torch.full((len(live_a),), -1), torch.full((len(live_b),), -1)
    if live_a.any() and live_b.any():
        if matching == "hungarian":
            _one_to_one(likeness, live_a, live_b, index_a, index_b)
        else:
            _nearest(likeness, live_a, live_b, index_a, index_b)
    mutual_a = (index_a >= 0) & (index_b[index_a.clamp(min=0)] == torch.arange(len(index_a)))
    mutual_b = (index_b >= 0) & (index_a[index_b.clamp(min=0)] == torch.arange(len(index_b)))
    if matching == "best":  # Many to one is all that is asked for.
        mutual_a, mutual_b = index_a >= 0, index_b >= 0
    return (index_a, mutual_a), (index_b, mutual_b)


def _one_to_one(likeness: Likeness, live_a: Tensor, live_b: Tensor, index_a: Tensor, index_b: Tensor) -> None:
    rows, columns = live_a.nonzero()[:, 0], live_b.nonzero()[:, 0]
    if min(len(rows), len(columns)) < LARGE:
        among = torch.cat([block.cpu()[live_a[part]][:, columns] for part, block in likeness.blocks()])
        found = match(among, among, "hungarian").index
    else:
        found = sparse_assignment(likeness.pairs(rows, columns)).index
    pairs = rows[found >= 0], columns[found[found >= 0]]
    index_a[pairs[0]], index_b[pairs[1]] = pairs[1], pairs[0]


def _nearest(likeness: Likeness, live_a: Tensor, live_b: Tensor, index_a: Tensor, index_b: Tensor) -> None:
    """The most similar live one of each live latent, of both sides in one pass over the blocks."""
    best: Tensor | None = None
    for part, block in likeness.blocks():
        block[~live_a[part].to(block.device)] = -torch.inf
        block[:, ~live_b.to(block.device)] = -torch.inf
        index_a[part] = block.argmax(1).cpu()
        value, row = (one.cpu() for one in block.max(0))
        # The first of equal ones, as in one matrix.
        better = torch.ones_like(live_b) if best is None else value > best
        best = value if best is None else torch.where(better, value, best)
        index_b[better] = row[better] + part.start
    index_a[~live_a], index_b[~live_b] = -1, -1
