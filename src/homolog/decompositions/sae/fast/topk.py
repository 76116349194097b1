"""How does TopK choose in a fast step: the k largest of each sample?"""

from __future__ import annotations

from functools import partial

from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import CACHE, Chosen, FastStep


class FastTopK(FastStep):
    """Each sample's k largest."""

    def rows_at_once(self) -> int:
        """So many that their proposals stay in the second-level cache."""
        return min(super().rows_at_once(), max(256, CACHE // (2 * self.latents)))

    def choose(self) -> list[Chosen]:
        k, encoder, encoder_bias = self.stack.options["k"], self.array["encoder"], self.array["encoder_bias"]
        self.proposer.update(encoder, encoder_bias, self.norm)
        chosen = [Chosen.room(s.stop - s.start, (s.stop - s.start) * k, k) for s in self.shards]
        rows = self.rows_at_once()

        def of(s: int) -> None:
            shard, out = self.shards[s], chosen[s]
            for first in range(shard.start, shard.stop, rows):
                part = slice(first, min(first + rows, shard.stop))
                here = slice(part.start - shard.start, part.stop - shard.start)
                kernels.choose_largest(
                    self.proposer(self.half[part], self.room[s]), self.proposer.error, self.x[part], encoder,
                    encoder_bias, k,
                    out.index, out.code, out.start[here], out.count[here],
                )  # fmt: skip

        self.run([partial(of, s) for s in range(len(chosen))])
        return chosen
