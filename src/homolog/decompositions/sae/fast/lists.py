"""Which latents are active: lists by sample, by latent, and how those of the k largest come about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from homolog.decompositions.sae.fast.kernels import going_back
from homolog.decompositions.sae.fast.kernels.choosing import evaluate, keep_largest
from homolog.decompositions.sae.fast.kernels.compiled import LANES, Array, empty
from homolog.decompositions.sae.fast.kernels.proposing import list_largest
from homolog.decompositions.sae.fast.proposer import Proposer

# Bytes of proposals that are made and used at a time, so that they stay in the second-level cache.
CACHE = 2**20

# One active latent of one sample; side by side, since they are written in no order.
ENTRY = np.dtype([("sample", np.int32), ("weight", np.float32), ("derivative", np.float32)])


@dataclass
class Chosen:
    """Latents of some samples: which, their codes, and where in these lists each sample's begin (and the last ends).

    `towards`: the derivative of half the squared error by each code, negative, once it is known.
    """

    index: Array
    code: Array
    start: Array
    towards: Array

    @classmethod
    def room(cls, samples: int, places: int) -> Chosen:
        """Room for so many latents, the last few of which are left free."""
        start = np.zeros(samples + 1, np.int64)
        return cls(np.zeros(places + LANES, np.int32), empty(places + LANES), start, empty(places + LANES))

    def arrays(self) -> tuple[Array, Array, Array]:
        """As the kernels take them."""
        return self.index, self.code, self.start

    @property
    def codes(self) -> Array:
        """Those that are listed."""
        return self.code[: self.start[-1]]

    @property
    def latents(self) -> Array:
        """Those that are listed."""
        return self.index[: self.start[-1]]


class Largest:
    """Chooses the k largest of each sample, of one shard; holds the room for it, `most` of each sample."""

    def __init__(self, proposer: Proposer, samples: int, most: int) -> None:
        self.proposer = proposer
        width = len(proposer.encoder)
        # So many that their proposals stay in the second-level cache.
        self.rows = min(samples, max(256, CACHE // (2 * width)))
        self.proposals = proposer.outputs(self.rows)
        self.listed = Chosen.room(samples, samples * min(2 * most + 16, width) + width)
        self.chosen = Chosen.room(samples, samples * most)

    def __call__(self, half: Tensor, x: Array, before: int, encoder: Array, encoder_bias: Array, k: int) -> Chosen:
        """From inputs less the bias, in bfloat16 and in float32; there the shard begins after `before` samples."""
        listed, samples, done, last = self.listed, len(half), 0, 0

        def decide() -> None:
            lists = listed.index, listed.code, listed.start[: last - done + 1]
            evaluate(x, before + done, encoder, encoder_bias, *lists)
            keep_largest(k, *lists, self.chosen.index, self.chosen.code, self.chosen.start[done : last + 1])

        for first in range(0, samples, self.rows):
            proposed = self.proposer(half[first : first + self.rows], self.proposals)
            at = 0
            while at < len(proposed):
                reached = list_largest(proposed, k, self.proposer.error, listed.index, listed.start, at, last - done)
                at, last = reached, last + reached - at
                if at < len(proposed):
                    decide()
                    done = last
        decide()
        return self.chosen


class ByLatent:
    """The active latents of all shards, latent by latent: in which samples, with which code and derivative."""

    def __init__(self, latents: int, shards: int) -> None:
        self.begin, self.place = np.zeros(latents + 1, np.int32), np.zeros((shards, latents), np.int32)
        self.entry = np.empty(0, ENTRY)

    def places(self) -> None:
        """Room for what has been counted."""
        going_back.places(self.place, self.begin)
        count = int(self.begin[-1])
        if count > len(self.entry):
            self.entry = np.empty(2 * count, ENTRY)

    def lists(self) -> tuple[Array, Array, Array, Array]:
        """As the kernels take them."""
        return self.begin, self.entry["sample"], self.entry["weight"], self.entry["derivative"]
