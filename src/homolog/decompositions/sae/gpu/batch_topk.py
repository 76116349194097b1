"""How does BatchTopK step on a GPU: by the bound that as many of the batch reach as may be active?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, k_at, sum_of_squares
from homolog.decompositions.sae.gpu import operations
from homolog.decompositions.sae.gpu.numbers import Rule
from homolog.decompositions.sae.gpu.step import StackedStep


class StackedBatchTopK(StackedStep):
    """The k times B largest of the batch; all of those that equal the last one."""

    varying: ClassVar[set[str]] = StackedStep.varying | {"k", "k_start", "k_warmup", "threshold_momentum"}

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.momentum = self.numbers.own("threshold_momentum")

    def rules(self) -> dict[str, Rule]:
        return {"k": k_at, "settled": lambda options, step: k_at(options, step) == options["k"]}

    def chosen(self, pre: Float[Tensor, "members batch latents"]) -> Float[Tensor, "members batch latents"]:
        """Codes; their smallest is taken into the running threshold, in place."""
        smallest = operations.cut(pre, self.numbers.count("k").long() * self.batch)
        threshold = self.stack.memory["threshold"]
        new = torch.where(threshold < 0, smallest, self.momentum * threshold + (1 - self.momentum) * smallest)
        known = torch.isfinite(new) & (self.numbers.now("settled") > 0)
        threshold.copy_(torch.where(known, new, threshold))
        # So asked that what isn't a number stays.
        return torch.where(pre < smallest[:, None, None], 0, pre)

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        codes = self.chosen(pre)
        residual, _ = self.densely(codes, -2 / self.spread)
        fvu = sum_of_squares(residual) / self.spread
        return Losses.of(fvu, {"fvu": fvu}, codes, residual)
