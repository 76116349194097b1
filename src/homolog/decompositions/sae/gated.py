"""Gated sparse autoencoders (Rajamanoharan et al., 2024a): one path says which latents are on, another how strongly."""

from __future__ import annotations

from typing import Any

import torch
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


class Gated(SparseAutoencoder):
    """``z = 1[gate > 0] relu(magnitude)``, gate = W (x - b_dec) + b_enc, magnitude = exp(r) W (x - b_dec) + b_mag.

    Loss: mean of |x - x^|^2 + coefficient * |relu(gate)|_1 + |x - x^(relu(gate))|^2, the last through a decoder that it
    doesn't train (ibid., equation 8). Since the paths share W, what is learned is a JumpReLU (ibid., section 3.2), and
    is stored as one. Dense latents aren't penalised. AuxK takes the magnitudes: a dead latent's gate, below 0 on all
    samples, would pass no gradient, but the weights are shared. With a free decoder both paths are weighted by its
    norms, and so is the penalty.
    """

    name = "Gated"
    default_lr = 1e-3

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        zeros = torch.zeros_like(common["encoder_bias"])
        return common | {"log_rescale": zeros, "magnitude_bias": zeros.clone()}

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options, batch = stack.options, x.shape[1]
        gate = pre_activations(p, x)
        projected = gate - p["encoder_bias"][:, None]
        magnitude = projected * p["log_rescale"].exp()[:, None] + p["magnitude_bias"][:, None]
        codes = torch.where(gate > 0, magnitude.relu(), 0)
        residual = x - decode(codes, p["decoder"], p["bias"])
        penalty = gate.relu()[..., options["dense"] :].sum((1, 2)) / batch
        by_gate = x - decode(gate.relu(), p["decoder"].detach(), p["bias"].detach())
        factor = options["coefficient"] * warmup(stack.step, options["steps"], options["penalty_warmup"])
        auxiliary = auxiliary_loss(magnitude, residual, p["decoder"], stack)
        total = (sum_of_squares(residual) + sum_of_squares(by_gate)) / batch + factor * penalty
        total = total + options["aux_coefficient"] * auxiliary
        terms = {"fvu": stack.fvu(residual), "penalty": penalty, "gate_fvu": stack.fvu(by_gate), "auxiliary": auxiliary}
        return Losses.of(total, terms, codes, residual)

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        # gate > 0 says W (x - b_dec) > -b_enc, so magnitude > b_mag - exp(r) b_enc; and it counts only above 0.
        rescale = p["log_rescale"].exp()
        threshold = (p["magnitude_bias"] - rescale * p["encoder_bias"]).clamp_min(0)
        shared = p | {"encoder": p["encoder"] * rescale[..., None], "encoder_bias": p["magnitude_bias"]}
        return as_dictionary(shared, p["decoder"], activation="jumprelu", threshold=threshold[0])
