"""ReLU sparse autoencoders with a penalty on their codes: L1, or a concave one that shrinks large codes less."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import (
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    pre_activations,
    sum_of_squares,
    warmup,
)
from homolog.dictionary import Dictionary

# Keeps the slope of z^p finite at 0.
LP_OFFSET = 1e-4


class ReLU(SparseAutoencoder):
    """``z = relu(W_enc (x - b_dec) + b_enc)``; loss: mean over samples of |x - x^|^2 + coefficient * sum of penalties.

    `penalty`: ``l1`` z (Bricken et al., 2023), which shrinks a code t to t - coefficient / 2; ``lp`` z^p with p falling
    from 1 to `p_end` over training (Karvonen et al., 2024); ``sqrt`` z^(1/2); ``tanh`` tanh z (Jermyn et al., 2024).
    With a free decoder each code counts times the norm of its direction (Conerly et al., 2024). Dense latents aren't
    penalised.
    """

    name = "ReLU"
    default_lr = 1e-3

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options, batch = stack.options, x.shape[1]
        pre = pre_activations(p, x)
        codes = pre.relu()
        residual = x - decode(codes, p["decoder"], p["bias"])
        penalty = self.penalty(codes[..., options["dense"] :], stack).sum((1, 2)) / batch
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        factor = options["coefficient"] * warmup(stack.step, options["steps"], options["penalty_warmup"])
        total = sum_of_squares(residual) / batch + factor * penalty + options["aux_coefficient"] * auxiliary
        terms = {"fvu": stack.fvu(residual), "penalty": penalty, "auxiliary": auxiliary}
        return Losses.of(total, terms, codes, residual)

    def penalty(self, codes: Float[Tensor, "*codes"], stack: Stack) -> Tensor:
        """The penalty on each code, its coefficient left out."""
        options = stack.options
        if options["penalty"] == "l1":
            return codes
        if options["penalty"] == "tanh":
            return codes.tanh()
        p = 0.5
        if options["penalty"] == "lp":
            p = 1 - (1 - options["p_end"]) * stack.step / max(1, options["steps"] - 1)
        return (codes + LP_OFFSET) ** p - LP_OFFSET**p

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.relu import FastReLU

        return None if self.weighs(options) else FastReLU

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.relu import StackedReLU

        return None if self.weighs(options) else StackedReLU

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="relu")
