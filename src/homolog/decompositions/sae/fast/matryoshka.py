"""How does Matryoshka go back in a fast step: by an error for each prefix?"""

from __future__ import annotations

import numpy as np

from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import Chosen, Run
from homolog.decompositions.sae.fast.batch_topk import FastBatchTopK
from homolog.decompositions.sae.fast.kernels import Array
from homolog.decompositions.sae.matryoshka import prefixes


class FastMatryoshka(FastBatchTopK):
    """BatchTopK's choice, with an error for each prefix."""

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        super().__init__(recipe, stack, batch, run)
        self.ends = np.asarray(prefixes(self.latents, stack.options["levels"]))
        self.level = np.searchsorted(self.ends, np.arange(self.latents), side="right").astype(np.int32)

    def scale(self, batch: int, spread: float) -> float:
        return super().scale(batch, spread) / len(self.ends)

    def back(self, s: int, chosen: Chosen, scale: float, batch: int) -> Array:
        x, squares = self.x[self.shards[s]], np.zeros(len(self.ends))
        kernels.go_back_nested(
            x, x, self.array["decoder"], *chosen.arrays(), self.level, scale, *self.buffers(s),
            self.residual[self.shards[s]], squares,
        )  # fmt: skip
        return squares

    def terms(self, chosen: list[Chosen], squares: list[Array], spread: float, batch: int) -> dict[str, float]:
        fvu = np.sum(squares, axis=0) / spread
        return {"fvu": float(fvu[-1]), "nested_fvu": float(fvu.mean())}

    def total(self, terms: dict[str, float], spread: float, batch: int) -> float:
        return terms["nested_fvu"]
