"""How does BatchTopK choose in a fast step: the k times B largest of the batch?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.batch_topk import remember_threshold
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import Chosen
from homolog.decompositions.sae.fast.kernels import Array
from homolog.decompositions.sae.fast.threshold import NEVER, FastThreshold, bits_of, value_of


class FastBatchTopK(FastThreshold):
    """The k times B largest of the batch: a bound found by counting proposals, then the exact one among the float32."""

    # A bfloat16 from which the next bound is sought; it changes how long the search takes, not what it finds.
    guess = 0

    def choose(self) -> list[Chosen]:
        self.proposer.update(self.array["encoder"], self.array["encoder_bias"], self.norm)
        wanted, proposed = self.stack.options["k"] * len(self.x), self.propose()
        bound = self.guess = self.bound(proposed, wanted)
        # The bound and what reaches it may both err.
        lowered = np.asarray([max(0.0, float(value_of(bound)) - 2 * self.proposer.error)])
        reached = int(bits_of(lowered)[0]) - kernels.SLACK
        chosen = self.above(proposed, self.lowest(reached), np.zeros(self.latents, np.float32))
        codes = np.concatenate([c.code for c in chosen])
        smallest = codes.min(initial=np.inf)
        if len(codes) > wanted:
            smallest = np.partition(codes, len(codes) - wanted)[len(codes) - wanted]
            for c in chosen:
                kernels.keep_reaching(*c.arrays(), smallest)
        remember_threshold(self.stack, torch.tensor([float(smallest)]))
        return chosen

    def lowest(self, bound: int) -> Array:
        """The same bound for all latents, in the layout of the proposals."""
        return self.proposer.padded(np.full(self.latents, max(1, bound), np.int16), NEVER)

    def bound(self, proposed: list[Array], wanted: int) -> int:
        """A bound that `wanted` proposals reach and hardly more, sought from the last one on."""
        low, high, step = 1, NEVER - 1, 2
        middle = self.guess or (low + high) // 2
        while high - low > 1:
            count = sum(kernels.count_reaching(p, self.lowest(middle)) for p in proposed)
            if count < wanted:
                high, middle = middle, middle - step
            else:
                low, middle = middle, middle + step
                if count <= wanted * 1.25:
                    break
            # Near the guess small steps find it, far from it the middle.
            step *= 2
            if not self.guess or not low < middle < high:
                middle = (low + high) // 2
        return low
