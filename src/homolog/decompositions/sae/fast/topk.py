"""How does TopK choose in a fast step: the k largest of each sample?"""

from __future__ import annotations

from functools import partial

from homolog.decompositions.sae.base import SparseAutoencoder, Stack, k_at
from homolog.decompositions.sae.fast.base import FastStep, Run
from homolog.decompositions.sae.fast.lists import Chosen, Largest


class FastTopK(FastStep):
    """Each sample's k largest."""

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        super().__init__(recipe, stack, batch, run)
        most = k_at(stack.options, 0)
        self.largest = [Largest(self.proposer, s.stop - s.start, most) for s in self.shards]

    def choose(self) -> list[Chosen]:
        k = k_at(self.stack.options, self.stack.step)
        encoder, encoder_bias = self.blocks["encoder"], self.array["encoder_bias"]

        def of(s: int) -> None:
            rows = self.shards[s]
            self.largest[s](self.half[rows], self.x, rows.start, encoder, encoder_bias, k)

        self.run([partial(of, s) for s in range(len(self.shards))])
        return [largest.chosen for largest in self.largest]
