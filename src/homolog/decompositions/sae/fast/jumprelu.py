"""What do the thresholds of JumpReLU add to a fast step?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.kernels.thresholds import jump, to_threshold
from homolog.decompositions.sae.fast.lists import Chosen
from homolog.decompositions.sae.fast.penalised import FastPenalised
from homolog.decompositions.sae.jumprelu import JumpReLU


class FastJumpReLU(FastPenalised):
    """All above their thresholds, and for the thresholds' gradients all that are near."""

    recipe: JumpReLU

    def threshold(self) -> Array:
        """Of each latent."""
        return self.array["threshold"]

    def cut(self) -> Array:
        return self.threshold() - np.float32(self.stack.options["bandwidth"] / 2)

    def choose(self) -> list[Chosen]:
        chosen, width, dense = super().choose(), self.stack.options["bandwidth"], self.stack.options["dense"]
        self.near = [np.empty(len(c.codes), bool) for c in chosen]
        counted = [
            jump(*c.arrays(), self.threshold(), width, dense, near) for c, near in zip(chosen, self.near, strict=True)
        ]
        self.l0 = sum(counted) / self.batch
        return chosen

    def own_gradients(self, chosen: list[Chosen], scale: float) -> None:
        options, l0 = self.stack.options, torch.tensor(self.l0, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.factor() * self.recipe.penalty(l0, options), l0)
        penalty = np.full(self.latents, float(slope) / self.batch, np.float32)
        penalty[: options["dense"]] = 0
        of_threshold = self.gradient["threshold"]
        of_threshold[:] = 0
        for c, near in zip(chosen, self.near, strict=True):
            to_threshold(c.index, near, c.towards, scale, self.threshold(), options["bandwidth"], penalty, of_threshold)

    def terms(self, squares: Array, spread: float, batch: int) -> dict[str, float]:
        return super().terms(squares, spread, batch) | {"penalty": self.l0}

    def total_of(self, terms: dict[str, float], spread: float, batch: int) -> float:
        penalty = float(self.recipe.penalty(torch.tensor(self.l0), self.stack.options))
        return terms["fvu"] * spread / batch + self.factor() * penalty
