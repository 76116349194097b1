"""What do the thresholds of JumpReLU add to a fast step?"""

from __future__ import annotations

import numpy as np
import torch

from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import Chosen, Run
from homolog.decompositions.sae.fast.kernels import Array
from homolog.decompositions.sae.fast.penalised import FastPenalised
from homolog.decompositions.sae.jumprelu import JumpReLU


class FastJumpReLU(FastPenalised):
    """All above their thresholds, and for the thresholds' gradients all that are near."""

    recipe: JumpReLU

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        super().__init__(recipe, stack, batch, run)
        self.near: list[Array] = []
        self.by_code: list[Array] = []
        self.chosen: list[Chosen] = []

    def threshold(self) -> Array:
        """Of each latent."""
        return self.array["threshold"]

    def cut(self) -> Array:
        return self.threshold() - np.float32(self.stack.options["bandwidth"] / 2)

    def choose(self) -> list[Chosen]:
        self.chosen = super().choose()
        self.near = [np.zeros(len(c.code), bool) for c in self.chosen]
        self.by_code = [np.zeros_like(c.code) for c in self.chosen]
        for c, near in zip(self.chosen, self.near, strict=True):
            kernels.jump(c.index, c.code, self.threshold(), self.stack.options["bandwidth"], near)
        counted = [(c.code > 0) & (c.index >= self.stack.options["dense"]) for c in self.chosen]
        self.l0 = sum(int(c.sum()) for c in counted) / len(self.x)
        return self.chosen

    def derivatives(self, s: int, chosen: Chosen) -> Array:
        return self.by_code[s]

    def own_gradients(self) -> None:
        batch = sum(len(c.count) for c in self.chosen)
        l0 = torch.tensor(self.l0, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.factor() * self.recipe.penalty(l0, self.stack.options), l0)
        penalty = np.full(self.latents, float(slope) / batch, np.float32)
        penalty[: self.stack.options["dense"]] = 0
        width, threshold = self.stack.options["bandwidth"], self.threshold()
        for c, near, by_code in zip(self.chosen, self.near, self.by_code, strict=True):
            kernels.to_threshold(c.index, near, by_code, threshold, width, penalty, self.gradient["threshold"][0, 0])

    def terms(self, chosen: list[Chosen], squares: list[float], spread: float, batch: int) -> dict[str, float]:
        return super().terms(chosen, squares, spread, batch) | {"penalty": self.l0}

    def total(self, terms: dict[str, float], spread: float, batch: int) -> float:
        penalty = float(self.recipe.penalty(torch.tensor(self.l0), self.stack.options))
        return terms["fvu"] * spread / batch + self.factor() * penalty
