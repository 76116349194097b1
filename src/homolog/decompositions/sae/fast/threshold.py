"""How are latents chosen by a bound: those above it, proposed and then decided?"""

from __future__ import annotations

from functools import partial

from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.decompositions.sae.fast.base import NOTHING, FastStep, Run
from homolog.decompositions.sae.fast.kernels.choosing import evaluate, keep_above
from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.kernels.proposing import list_reaching
from homolog.decompositions.sae.fast.lists import Chosen


class FastThreshold(FastStep):
    """All latents above a bound of their own."""

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        super().__init__(recipe, stack, batch, run)
        self.room = [self.proposer.outputs(s.stop - s.start) for s in self.shards]

    def propose(self) -> list[Array]:
        """Proposals of each shard."""
        proposed: list[Array] = [NOTHING] * len(self.shards)

        def of(s: int) -> None:
            proposed[s] = self.proposer(self.half[self.shards[s]], self.room[s])

        self.run([partial(of, s) for s in range(len(proposed))])
        return proposed

    def above(self, proposed: list[Array], bound: int, counts: list[int], cut: Array) -> list[Chosen]:
        """The latents above their cuts among those whose proposals reach a bound, of which there are `counts`."""
        chosen = [Chosen.room(len(p), count) for p, count in zip(proposed, counts, strict=True)]
        encoder, encoder_bias = self.blocks["encoder"], self.array["encoder_bias"]

        def of(s: int) -> None:
            c = chosen[s]
            list_reaching(proposed[s], bound, c.index, c.start)
            evaluate(self.x, self.shards[s].start, encoder, encoder_bias, *c.arrays())
            keep_above(*c.arrays(), cut)

        self.run([partial(of, s) for s in range(len(chosen))])
        return chosen
