"""Matryoshka sparse autoencoders (Bussmann et al., 2025): every prefix of the dictionary reconstructs by itself."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import SELECTING, Losses, Parameters, Stack, k_at, pre_activations
from homolog.decompositions.sae.batch_topk import BatchTopK, largest_of_batch, remember_threshold, smallest_code


class Matryoshka(BatchTopK):
    """BatchTopK of which the first F / 2^(levels - 1), ..., F / 2, F latents each reconstruct the input.

    One selection over the whole dictionary; loss: the mean of the prefixes' FVU, plus AuxK on what all latents leave.
    """

    name = "Matryoshka"
    decoders = SELECTING

    def check(self, options: dict[str, Any]) -> None:
        super().check(options)
        if options["n_latents"] < 2 ** (options["levels"] - 1):
            raise ValueError(
                f"Matryoshka: {options['levels']} levels need at least {2 ** (options['levels'] - 1)} latents, but "
                f"n_latents = {options['n_latents']}: lower levels."
            )

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options = stack.options
        pre = pre_activations(p, x)
        codes = largest_of_batch(pre, k_at(options, stack.step))
        remember_threshold(stack, smallest_code(codes))
        reconstruction, start, unexplained = p["bias"][:, None].expand_as(x), 0, []
        for end in prefixes(options["n_latents"], options["levels"]):
            reconstruction = reconstruction + torch.bmm(codes[..., start:end], p["decoder"][:, start:end])
            unexplained.append(stack.fvu(x - reconstruction))
            start = end
        residual = x - reconstruction
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        nested = torch.stack(unexplained).mean(0)
        total = nested + options["aux_coefficient"] * auxiliary
        terms = {"fvu": unexplained[-1], "nested_fvu": nested, "auxiliary": auxiliary}
        return Losses.of(total, terms, codes, residual)

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.matryoshka import FastMatryoshka

        return None if self.weighs(options) else FastMatryoshka

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.matryoshka import StackedMatryoshka

        return None if self.weighs(options) else StackedMatryoshka


def prefixes(n_latents: int, levels: int) -> list[int]:
    """Ends of the nested prefixes, each half as long as the next."""
    return [n_latents // 2**level for level in reversed(range(levels))]
