"""How do recipes step whose number of active latents is free: sparsely, or plainly while too many are active?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack, warmup
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import Chosen
from homolog.decompositions.sae.fast.kernels import Array
from homolog.decompositions.sae.fast.threshold import NEVER, FastThreshold, bits_of
from homolog.decompositions.sae.optimiser import plain_step


class FastPenalised(FastThreshold):
    """Recipes without a fixed number of active latents: while too many are active, steps are the plain ones."""

    # Share of active latents from which on a dense step is the faster one.
    DENSE = 0.15

    @torch.no_grad()
    def __call__(self, recipe: SparseAutoencoder, stack: Stack, x: Float[Tensor, "members batch units"]) -> Losses:
        cut = self.cut()
        self.centre(x)
        shift = max(0.0, -float(cut.min()))
        self.proposer.update(self.array["encoder"], self.array["encoder_bias"], self.norm, shift)
        bits = bits_of(np.maximum(cut + np.float32(shift), 0)) - kernels.SLACK
        lowest = self.proposer.padded(np.maximum(1, bits).astype(np.int16), NEVER)
        proposed = self.propose()
        if sum(kernels.count_reaching(s, lowest) for s in proposed) > self.DENSE * self.latents * x.shape[1]:
            with torch.enable_grad():
                return plain_step(recipe, stack, x)
        self.prepared = proposed, lowest, cut
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
