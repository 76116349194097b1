"""What does the penalty of ReLU add to a step on a GPU?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, sum_of_squares
from homolog.decompositions.sae.gpu.numbers import Rule, penalty_factor
from homolog.decompositions.sae.gpu.step import StackedStep
from homolog.decompositions.sae.relu import LP_OFFSET


def exponent(options: dict[str, Any], step: int) -> float:
    """Of the penalty z^p: 1/2, or falling from 1 to `p_end`."""
    if options["penalty"] != "lp":
        return 0.5
    return 1 - (1 - options["p_end"]) * step / max(1, options["steps"] - 1)


class StackedReLU(StackedStep):
    """All that are positive, and a penalty on each."""

    varying: ClassVar[set[str]] = StackedStep.varying | {"coefficient", "penalty_warmup", "p_end"}

    def rules(self) -> dict[str, Rule]:
        return {"coefficient": lambda o, step: o["coefficient"] * penalty_factor(o, step), "exponent": exponent}

    def penalty(self, codes: Float[Tensor, "members batch latents"]) -> tuple[Tensor, Tensor | float]:
        """Of each code, and its slope."""
        if self.options["penalty"] == "l1":
            return codes, 1.0
        if self.options["penalty"] == "tanh":
            squashed = codes.tanh()
            return squashed, 1 - squashed.square()
        p, shifted = self.numbers.now("exponent")[:, None, None], codes + LP_OFFSET
        power = shifted**p
        return power - LP_OFFSET**p, p * power / shifted

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        codes, dense, coefficient = pre.relu(), self.options["dense"], self.numbers.now("coefficient")
        each, slope = self.penalty(codes)
        penalised = torch.arange(self.latents, device=self.device) >= dense
        weight = coefficient[:, None, None] / self.batch * penalised
        factor = torch.full_like(coefficient, -2 / self.batch)
        residual, _ = self.densely(codes, factor, weight * slope)
        penalty = each[..., dense:].sum((1, 2)) / self.batch
        squares = sum_of_squares(residual)
        terms = {"fvu": squares / self.spread, "penalty": penalty}
        return Losses.of(squares / self.batch + coefficient * penalty, terms, codes, residual)
