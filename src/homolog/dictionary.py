"""What every fitted decomposition is: directions to write with, an encoder to read with, and the codes they give."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

ARRAYS = ("directions", "encoder", "encoder_bias", "bias", "firing_rate", "importance")


@dataclass(frozen=True)
class Dictionary:
    """Latents of one fitted member.

    ``codes = activation((x - bias) @ encoder.T + encoder_bias)``, ``x^ = codes @ directions + bias``.

    `activation` is ``identity``, or ``topk``: ReLU of the `k` largest of each sample (Gao et al., 2024).
    `ordered`: latents have a canonical order (rank), with `importance` falling. `signed`: a latent's sign means
    something, so that similarities are not taken absolute. `firing_rate` is measured on the rows it was fitted on.
    """

    directions: Float[Tensor, "latents units"]
    encoder: Float[Tensor, "latents units"]
    encoder_bias: Float[Tensor, " latents"]
    bias: Float[Tensor, " units"]
    firing_rate: Float[Tensor, " latents"]
    importance: Float[Tensor, " latents"]
    activation: str = "identity"
    k: int = 0
    ordered: bool = False
    signed: bool = False
    member: dict[str, str | int | float] = field(default_factory=dict)

    def codes(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples latents"]:
        """How active each latent is for each sample."""
        pre = (activations - self.bias) @ self.encoder.T + self.encoder_bias
        if self.activation == "identity":
            return pre
        if self.activation == "topk":
            return top_k(pre, self.k)
        raise ValueError(f"codes: activation {self.activation!r} isn't known; known are 'identity' and 'topk'.")

    def gate(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "samples latents"]:
        """Derivative of each code with respect to its pre-activation: 1 where the latent is on, else 0."""
        return torch.ones_like(codes) if self.activation == "identity" else (codes > 0).to(codes)

    def reconstruct(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "samples units"]:
        """Activations as the dictionary writes them."""
        return codes @ self.directions + self.bias

    def rotated(self, rotation: Float[Tensor, "units units"]) -> Dictionary:
        """The dictionary with every direction and encoder row turned by `rotation`."""
        return replace(self, directions=self.directions @ rotation, encoder=self.encoder @ rotation)

    def to(self, *where: torch.dtype | torch.device | str) -> Dictionary:
        """The dictionary with its arrays in another floating type or on another device."""
        return replace(self, **{name: getattr(self, name).to(*where) for name in ARRAYS})


def top_k(pre: Float[Tensor, "... latents"], k: int) -> Float[Tensor, "... latents"]:
    """Keep the ReLU of the `k` largest of the last axis, zero elsewhere."""
    values, indices = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter_(-1, indices, values.relu())


def fraction_of_variance_unexplained(
    activations: Float[Tensor, "samples units"], reconstruction: Float[Tensor, "samples units"]
) -> float:
    """FVU: sum of squared residuals over sum of squares about the mean."""
    residual = (activations - reconstruction).double().square().sum()
    total = (activations - activations.mean(0)).double().square().sum()
    return float(residual / total)
