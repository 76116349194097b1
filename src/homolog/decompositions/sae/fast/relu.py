"""What does the penalty of ReLU add to a fast step?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.fast.base import Chosen
from homolog.decompositions.sae.fast.kernels import Array
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
            slope = (chosen.index >= self.stack.options["dense"]).astype(np.float32)
            return float(chosen.code @ slope), slope
        with torch.enable_grad():
            codes = torch.from_numpy(chosen.code).requires_grad_()
            outside = torch.from_numpy(chosen.index < self.stack.options["dense"])
            total = self.recipe.penalty(codes, self.stack).masked_fill(outside, 0).sum()
            slope = torch.autograd.grad(total, codes)[0].numpy()
        return float(total), slope

    def slope(self, chosen: Chosen, batch: int) -> Array:
        slope = self.penalty(chosen)[1]
        slope *= np.float32(self.stack.options["coefficient"] * self.factor() / batch)
        return slope

    def terms(self, chosen: list[Chosen], squares: list[float], spread: float, batch: int) -> dict[str, float]:
        return super().terms(chosen, squares, spread, batch) | {
            "penalty": sum(self.penalty(c)[0] for c in chosen) / batch
        }

    def total(self, terms: dict[str, float], spread: float, batch: int) -> float:
        return terms["fvu"] * spread / batch + self.stack.options["coefficient"] * self.factor() * terms["penalty"]
