"""How are latents chosen by a bound: those above it, proposed and then decided?"""

from __future__ import annotations

from functools import partial

import numpy as np

from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import NOTHING, Chosen, FastStep
from homolog.decompositions.sae.fast.kernels import Array

# As bfloat16, what no proposal reaches.
NEVER = 32767


class FastThreshold(FastStep):
    """All latents above a bound of their own."""

    def propose(self) -> list[Array]:
        """Proposals of each shard."""
        proposed: list[Array] = [NOTHING] * len(self.shards)

        def of(s: int) -> None:
            proposed[s] = self.proposer(self.half[self.shards[s]], self.room[s])

        self.run([partial(of, s) for s in range(len(proposed))])
        return proposed

    def above(self, proposed: list[Array], lowest: Array, cut: Array) -> list[Chosen]:
        """The latents above their cuts among those whose proposals reach `lowest`."""
        chosen = [Chosen.room(len(p), kernels.count_reaching(p, lowest) + 1) for p in proposed]

        def of(s: int) -> None:
            c, encoder, encoder_bias = chosen[s], self.array["encoder"], self.array["encoder_bias"]
            rows = self.x[self.shards[s]]
            found = kernels.choose_above(proposed[s], rows, encoder, encoder_bias, lowest, cut, *c.arrays())
            c.index, c.code = c.index[:found], c.code[:found]

        self.run([partial(of, s) for s in range(len(chosen))])
        return chosen


def bits_of(values: Array) -> Array:
    """Positive numbers as bfloat16 (cut off, not rounded) in an integer."""
    bits: Array = (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.int64)
    return bits


def value_of(bits: int) -> np.float32:
    """The bfloat16 of some bits."""
    return np.uint32(bits << 16).view(np.float32)
