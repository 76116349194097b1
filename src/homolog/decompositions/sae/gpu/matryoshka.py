"""How does Matryoshka step on a GPU: by an error for each prefix?"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Losses, sum_of_squares
from homolog.decompositions.sae.gpu.batch_topk import StackedBatchTopK
from homolog.decompositions.sae.gpu.operations import product
from homolog.decompositions.sae.matryoshka import prefixes


class StackedMatryoshka(StackedBatchTopK):
    """BatchTopK's choice. With g_n the derivative by the n-th prefix's reconstruction, a latent that counts from prefix
    n on is pulled by the sum of g_n, g_n+1, ..."""

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        codes = self.chosen(pre)
        half, residual = codes.to(self.half), self.x
        levels = list(pairwise([0, *prefixes(self.latents, self.options["levels"])]))
        pulls, unexplained = [], []
        factor = (-2 / (len(levels) * self.spread))[:, None, None]
        for start, end in levels:
            residual = residual - product(half[..., start:end], self.decoder[:, start:end])
            pulls.append(factor * residual)
            unexplained.append(sum_of_squares(residual) / self.spread)
        found, pull = [], torch.zeros_like(residual)
        for (start, end), more in zip(reversed(levels), reversed(pulls), strict=True):
            pull = pull + more
            rounded = pull.to(self.half)
            by_code = product(rounded, self.decoder[:, start:end].mT)
            by_pre = torch.where(codes[..., start:end] > 0, by_code, 0).to(self.half)
            found.append(self.by_rows(half[..., start:end], rounded, by_pre))
        self.gradient = {name: torch.cat([level[name] for level in reversed(found)], 1) for name in found[0]}
        self.pull_sum = pull.sum(1)
        nested = torch.stack(unexplained).mean(0)
        return Losses.of(nested, {"fvu": unexplained[-1], "nested_fvu": nested}, codes, residual)
