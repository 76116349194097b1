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
    mean_l0,
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
    `decoder`: ``unit_norm``, or ``norm_weighted``, where each penalty counts times the norm of its direction, which is
    free (Conerly et al., 2024). Dense latents aren't penalised.
    """

    name = "ReLU"
    default_lr = 1e-3

    def losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options, batch = stack.options, x.shape[1]
        pre = pre_activations(p, x)
        codes = pre.relu()
        residual = x - decode(codes, p["decoder"], p["bias"])
        # With free norms the penalty acts on what the code would be with a direction of unit norm.
        weighted = codes * p["decoder"].norm(dim=2)[:, None] if options["decoder"] == "norm_weighted" else codes
        penalty = self.penalty(weighted[..., options["dense"] :], stack).sum((1, 2)) / batch
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        factor = options["coefficient"] * warmup(stack.step, options["steps"], options["penalty_warmup"])
        total = sum_of_squares(residual) / batch + factor * penalty + options["aux_coefficient"] * auxiliary
        terms = {"fvu": sum_of_squares(residual) / stack.total_variance(x), "penalty": penalty, "auxiliary": auxiliary}
        return Losses(total, terms | {"l0": mean_l0(codes)}, (codes > 0).any(1), residual)

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

    def on_sphere(self, options: dict[str, Any]) -> bool:
        return bool(options["decoder"] == "unit_norm")

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.relu import FastReLU

        return None if options["decoder"] != "unit_norm" else FastReLU

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.relu import StackedReLU

        return None if options["decoder"] != "unit_norm" else StackedReLU

    def dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        if self.on_sphere(stack.options):  # Where even a division by 1 would round.
            return as_dictionary(p, p["decoder"], activation="relu")
        norms = p["decoder"].norm(dim=2).clamp_min(1e-12)
        scaled = p | {"encoder": p["encoder"] * norms[..., None], "encoder_bias": p["encoder_bias"] * norms}
        return as_dictionary(scaled, p["decoder"] / norms[..., None], activation="relu")
