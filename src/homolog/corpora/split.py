"""Which documents are for training, which for testing, and in which half: drawn so that no text is on two sides."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, Int8

from homolog.streams import stream
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN

LEFT_OUT = -1
# In the order in which a draw fills them, and inputs stand.
PARTS = ((TRAIN, HALF_A), (TRAIN, HALF_B), (TEST, HALF_A), (TEST, HALF_B))


def draw_split(
    identity: Int[np.ndarray, " documents"],
    amount: Int[np.ndarray, " documents"],
    test_fraction: float,
    name: str,
    most: int | None = None,
) -> Int8[np.ndarray, " documents"]:
    """The part of each document, an index of `PARTS`; `LEFT_OUT` behind the first `most` (of `amount`) that are drawn.

    Documents of equal `identity` (numbers by first appearance) fall on the same side. A document belongs to the part in
    which its middle lies when all stand in a random order that depends on the number of different ones alone, so that
    parts have their share of the whole amount, not of the number of documents. `name` is for messages.

    Raises ValueError where a part stays empty.
    """
    different, which = np.unique(identity, return_inverse=True)
    whole = np.bincount(which, weights=amount)
    order = torch.randperm(len(different), generator=stream("split", "corpus")).numpy()
    ends = np.cumsum(whole[order])
    starts = ends - whole[order]
    drawn = starts < (np.inf if most is None else most)
    train = 1 - test_fraction
    bounds = np.array([train / 2, train, train + test_fraction / 2]) * ends[drawn][-1]
    part = np.full(len(different), LEFT_OUT, np.int8)
    part[order] = np.where(drawn, np.searchsorted(bounds, (starts + ends) / 2, side="right"), LEFT_OUT)
    missing = [index for index in range(len(PARTS)) if not (part == index).any()]
    if missing:
        largest = whole[order][drawn].max() / ends[drawn][-1]
        raise ValueError(
            f"{name}: {int(drawn.sum())} different documents (or inputs), the largest with {largest:.0%} of all, can't "
            f"be shared out over training and test rows ({test_fraction:g} of all) and two halves of each: give more, "
            "or shorter documents (`separator`, `characters`), or another `test_fraction`."
        )
    return part[which]
