"""How do recipes step whose number of active latents is free: sparsely, or plainly while too many are active?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack, warmup
from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.kernels.proposing import count_reaching
from homolog.decompositions.sae.fast.lists import Chosen
from homolog.decompositions.sae.fast.threshold import FastThreshold
from homolog.decompositions.sae.optimiser import plain_step


class FastPenalised(FastThreshold):
    """Recipes without a fixed number of active latents: while too many are active, steps are the plain ones."""

    # Share of active latents from which on a dense step is the faster one.
    DENSE = 0.35

    @torch.no_grad()
    def __call__(self, recipe: SparseAutoencoder, stack: Stack, x: Float[Tensor, "members batch units"]) -> Losses:
        cut = self.cut()
        # What exceeds its cut is proposed as positive: the cut goes off the bias, and what proposals may err by on it.
        self.prepare(x, self.array["encoder_bias"] - cut)
        proposed = self.propose()
        counts = [count_reaching(p, 1) for p in proposed]
        if sum(counts) > self.DENSE * self.latents * x.shape[1]:
            with torch.enable_grad():
                return plain_step(recipe, stack, x)
        self.prepared = proposed, 1, counts, cut
        return self.sparse_step(x.shape[1])

    def cut(self) -> Array:
        """Pre-activation from which on a latent matters."""
        raise NotImplementedError

    def choose(self) -> list[Chosen]:
        return self.above(*self.prepared)

    def scale(self, batch: int, spread: float) -> float:
        return 2 / batch

    def factor(self) -> float:
        """How far the penalty has warmed up."""
        return warmup(self.stack.step, self.stack.options["steps"], self.stack.options["penalty_warmup"])
