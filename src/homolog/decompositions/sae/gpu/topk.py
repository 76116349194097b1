"""How does TopK step on a GPU: through lists of the active latents where they are few?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.decompositions.sae.base import Losses, k_at, sum_of_squares
from homolog.decompositions.sae.gpu import operations
from homolog.decompositions.sae.gpu.numbers import Rule
from homolog.decompositions.sae.gpu.step import StackedStep

# Share of active latents up to which lists are used. A list costs three gathers of B k d numbers of 2 bytes, dense
# products 8 B d F flops and passes over B F numbers; at about 6 TB/s from the second-level cache and 800 Tflop/s these
# are equal near 1/64. Counted, not measured.
SPARSE = 1 / 64


class StackedTopK(StackedStep):
    """Each sample's k largest."""

    varying: ClassVar[set[str]] = StackedStep.varying | {"k", "k_start", "k_warmup"}

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.room = max(k_at(member.options, 0) for member in self.stack.members)
        self.sparse = self.kind(self.options)

    @classmethod
    def kind(cls, options: dict[str, Any]) -> Any:
        return k_at(options, 0) <= SPARSE * options["n_latents"]

    def rules(self) -> dict[str, Rule]:
        return {"k": k_at}

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        index, code = operations.largest(pre, self.numbers.count("k"), self.room)
        factor = -2 / self.spread
        if self.sparse:
            residual, fired = self.sparsely(index, code, factor)
        else:
            codes = operations.scattered(index, code, self.latents)
            residual, fired = self.densely(codes, factor)[0], (codes > 0).any(1)
        fvu = sum_of_squares(residual) / self.spread
        l0 = (code != 0).sum((1, 2)) / self.batch
        return Losses(fvu, {"fvu": fvu, "l0": l0}, fired, residual)

    def sparsely(
        self,
        index: Int[Tensor, "members batch room"],
        code: Float[Tensor, "members batch room"],
        factor: Float[Tensor, " members"],
    ) -> tuple[Tensor, Tensor]:
        """As `densely`, from lists: what they leave, and which latents fired."""
        residual, pull, by_code = operations.decode(self.x, self.decoder, index, code, factor)
        found = operations.gradients(self.inputs, pull, index, code, by_code, self.latents)
        self.gradient = dict(zip(("encoder", "encoder_bias", "decoder"), found, strict=True))
        self.pull_sum = pull.sum(1, dtype=torch.float32)
        # Latent 0 stands at the places that aren't used, too, with the code 0.
        where, on = index.flatten(1).long(), (code > 0).flatten(1).to(torch.int64)
        return residual, torch.zeros_like(self.stack.silent).scatter_add_(1, where, on) > 0
