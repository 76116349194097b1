"""What do the thresholds of JumpReLU add to a step on a GPU?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, sum_of_squares
from homolog.decompositions.sae.gpu.numbers import Rule, penalty_factor
from homolog.decompositions.sae.gpu.step import StackedStep


class StackedJumpReLU(StackedStep):
    """All above their thresholds t. To t flow, where |pre - t| < width / 2, ``-t / width dL/dz`` and ``-1 / width
    dP/dL0 / B``: the straight-through rectangle of the plain step."""

    varying: ClassVar[set[str]] = StackedStep.varying | {
        "coefficient", "target_l0", "target_coefficient", "bandwidth", "penalty_warmup"
    }  # fmt: skip

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        own = self.numbers.own
        self.coefficient, self.width = own("coefficient"), own("bandwidth")[:, None, None]
        self.target, self.target_coefficient = own("target_l0"), own("target_coefficient")

    @classmethod
    def kind(cls, options: dict[str, Any]) -> Any:
        return options["target_l0"] is None

    def rules(self) -> dict[str, Rule]:
        return {"factor": penalty_factor}

    def penalty(self, l0: Float[Tensor, " members"]) -> tuple[Tensor, Tensor]:
        """On the mean number of active latents, and its slope."""
        if self.options["target_l0"] is None:
            return self.coefficient * l0, self.coefficient
        off = l0 / self.target - 1
        return self.target_coefficient * off.square(), 2 * self.target_coefficient * off / self.target

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        threshold, dense = self.stack.parameters["threshold"][:, None], self.options["dense"]
        codes = torch.where(pre > threshold, pre, 0)
        active = (pre > threshold)[..., dense:].sum((1, 2)) / self.batch
        factor = self.numbers.now("factor")
        penalty, slope = self.penalty(active)
        residual, by_code = self.densely(codes, torch.full_like(factor, -2 / self.batch))
        counted = torch.arange(self.latents, device=self.device) >= dense
        by_step = (factor * slope / self.batch)[:, None, None] * counted
        near = (pre - threshold).abs() < self.width / 2
        pulled = torch.where(near, threshold * by_code + by_step, 0).sum(1)
        self.gradient["threshold"] = -pulled / self.width[:, 0]
        squares = sum_of_squares(residual)
        terms = {"fvu": squares / self.spread, "penalty": active}
        return Losses.of(squares / self.batch + factor * penalty, terms, codes, residual)
