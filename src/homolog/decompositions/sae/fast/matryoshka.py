"""How does Matryoshka go back in a fast step: by an error for each prefix?"""

from __future__ import annotations

from homolog.decompositions.sae.fast.batch_topk import FastBatchTopK
from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.matryoshka import prefixes


class FastMatryoshka(FastBatchTopK):
    """BatchTopK's choice, with an error for each prefix."""

    def levels(self) -> list[int]:
        return prefixes(self.latents, self.stack.options["levels"])

    def terms(self, squares: Array, spread: float, batch: int) -> dict[str, float]:
        return super().terms(squares, spread, batch) | {"nested_fvu": float(squares.mean()) / spread}

    def total_of(self, terms: dict[str, float], spread: float, batch: int) -> float:
        return terms["nested_fvu"]
