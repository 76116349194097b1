"""How does BatchTopK choose in a fast step: the k times B largest of the batch?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.base import k_at
from homolog.decompositions.sae.batch_topk import remember_threshold
from homolog.decompositions.sae.fast.kernels.choosing import keep_above, kth_largest
from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.kernels.proposing import NEVER, SLACK, count_reaching
from homolog.decompositions.sae.fast.lists import Chosen
from homolog.decompositions.sae.fast.proposer import bits_of, value_of
from homolog.decompositions.sae.fast.threshold import FastThreshold


class FastBatchTopK(FastThreshold):
    """The k times B largest of the batch: a bound found by counting proposals, then the exact one among the float32."""

    # A bfloat16 from which the next bound is sought; it changes how long the search takes, not what it finds.
    guess = 0

    def choose(self) -> list[Chosen]:
        wanted, proposed = k_at(self.stack.options, self.stack.step) * self.batch, self.propose()
        bound = self.guess = self.bound(proposed, wanted)
        # The bound and what reaches it may both err.
        reached = max(1, bits_of(max(0.0, value_of(bound) - 2 * self.proposer.error)) - SLACK)
        counts = [count_reaching(p, reached) for p in proposed]
        chosen = self.above(proposed, reached, counts, np.zeros(self.latents, np.float32))
        codes = np.concatenate([c.codes for c in chosen])
        smallest = codes.min(initial=np.inf)
        if len(codes) > wanted:
            value = np.int32(kth_largest(codes.view(np.int32), 0, len(codes), wanted)).view(np.float32)
            cut = np.full(self.latents, np.nextafter(value, np.float32(0)))
            for c in chosen:
                keep_above(*c.arrays(), cut)
            smallest = min(c.codes.min(initial=np.inf) for c in chosen)
        remember_threshold(self.stack, torch.tensor([float(smallest)]))
        return chosen

    def bound(self, proposed: list[Array], wanted: int) -> int:
        """A bound that `wanted` proposals reach and hardly more, sought from the last one on."""
        low, high, step = 1, NEVER, 2
        middle = self.guess or (low + high) // 2
        while high - low > 1:
            count = sum(count_reaching(p, middle) for p in proposed)
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
