"""What does the penalty of ReLU add to a fast step?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.lists import Chosen
from homolog.decompositions.sae.fast.penalised import FastPenalised
from homolog.decompositions.sae.relu import ReLU


class FastReLU(FastPenalised):
    """All that are positive; the penalty's slope on each."""

    recipe: ReLU

    def cut(self) -> Array:
        return np.zeros(self.latents, np.float32)

    def penalty(self, chosen: Chosen) -> tuple[float, Array]:
        """Sum of the penalties and the slope of each."""
        if self.stack.options["penalty"] == "l1":
            slope = (chosen.latents >= self.stack.options["dense"]).astype(np.float32)
            return float(chosen.codes @ slope), slope
        with torch.enable_grad():
            codes = torch.from_numpy(chosen.codes).requires_grad_()
            outside = torch.from_numpy(chosen.latents < self.stack.options["dense"])
            total = self.recipe.penalty(codes, self.stack).masked_fill(outside, 0).sum()
            slope = torch.autograd.grad(total, codes)[0].numpy()
        return float(total), slope

    def slopes(self, chosen: list[Chosen], batch: int) -> list[Array]:
        penalties = [self.penalty(c) for c in chosen]
        self.penalised = sum(total for total, _ in penalties) / batch
        factor = np.float32(self.stack.options["coefficient"] * self.factor() / batch)
        return [slope * factor for _, slope in penalties]

    def terms(self, squares: Array, spread: float, batch: int) -> dict[str, float]:
        return super().terms(squares, spread, batch) | {"penalty": self.penalised}

    def total_of(self, terms: dict[str, float], spread: float, batch: int) -> float:
        return terms["fvu"] * spread / batch + self.stack.options["coefficient"] * self.factor() * terms["penalty"]
