"""BatchTopK sparse autoencoders (Bussmann et al., 2024): k codes a sample on average, as many each as it needs."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import (
    SELECTING,
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    k_at,
    pre_activations,
)
from homolog.dictionary import Dictionary


class BatchTopK(SparseAutoencoder):
    """The k times B largest pre-activations of a batch of B samples are its codes.

    A running mean of the smallest code of each batch is the threshold of inference, where no sample may depend on
    others: ``z = pre 1[pre > threshold]``. Loss: as TopK's.
    """

    name = "BatchTopK"
    decoders = SELECTING

    def memory(self, members: list[Member], scale: Float[Tensor, " members"]) -> dict[str, Tensor]:
        return {"threshold": torch.full_like(scale, -1.0)}

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options = stack.options
        pre = pre_activations(p, x)
        codes = largest_of_batch(pre, k_at(options, stack.step), options["dense"])
        remember_threshold(stack, smallest_code(codes[..., options["dense"] :]))
        residual = x - decode(codes, p["decoder"], p["bias"])
        fvu = stack.fvu(residual)
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        total = fvu + options["aux_coefficient"] * auxiliary
        return Losses.of(total, {"fvu": fvu, "auxiliary": auxiliary}, codes, residual)

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.batch_topk import FastBatchTopK

        return None if options["dense"] or self.weighs(options) else FastBatchTopK

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.batch_topk import StackedBatchTopK

        return None if options["dense"] or self.weighs(options) else StackedBatchTopK

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="jumprelu", threshold=inference_threshold(p, stack))


def largest_of_batch(
    pre: Float[Tensor, "members batch latents"], k: int, dense: int = 0
) -> Float[Tensor, "members batch latents"]:
    """ReLU of the `k` times batch largest values of each member; the first `dense` latents stand apart, always kept."""
    chosen = pre[..., dense:].flatten(1)
    values, indices = chosen.topk(k * pre.shape[1], dim=1, sorted=False)
    kept = torch.zeros_like(chosen).scatter_(1, indices, values.relu()).view_as(pre[..., dense:])
    return torch.cat([pre[..., :dense].relu(), kept], 2) if dense else kept


def smallest_code(codes: Float[Tensor, "members batch latents"]) -> Float[Tensor, " members"]:
    """The smallest of each member's codes that are positive; infinite where there is none."""
    return torch.where(codes > 0, codes, torch.inf).detach().amin((1, 2))


def remember_threshold(stack: Stack, smallest: Float[Tensor, " members"]) -> None:
    """Take the batch's smallest code into the running mean; the first one at k itself starts it."""
    if k_at(stack.options, stack.step) != stack.options["k"]:
        return
    old, momentum = stack.memory["threshold"], stack.options["threshold_momentum"]
    new = torch.where(old < 0, smallest, momentum * old + (1 - momentum) * smallest)
    stack.memory["threshold"] = torch.where(torch.isfinite(new), new, old)


def inference_threshold(p: Parameters, stack: Stack) -> Float[Tensor, " latents"]:
    """The running mean for every latent, and zero for those outside the selection."""
    threshold = stack.memory["threshold"][0].clamp_min(0).expand(p["encoder_bias"].shape[1]).clone()
    threshold[: stack.options["dense"]] = 0
    return threshold.to(p["encoder_bias"])
