"""JumpReLU sparse autoencoders (Rajamanoharan et al., 2024b): a learned threshold per latent, and a penalty on L0."""

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


class JumpReLU(SparseAutoencoder):
    """``z = pre 1[pre > t]`` with a threshold t of each latent; loss: mean of |x - x^|^2 + coefficient * L0.

    With `target_l0` the penalty is ``target_coefficient * (L0 / target_l0 - 1)^2`` instead. A threshold has no
    derivative but at the jump, so its gradient is taken through a rectangle of width `bandwidth` around it, on the
    pre-activation (ibid., equations 11 and 12). The threshold itself is trained, not its logarithm: Adam would move
    that by the learning rate at most, and so a threshold by a factor, and short trainings would end where they began.
    Dense latents aren't counted in L0. With a free decoder thresholds are of pre-activations times the norm, and so is
    the kernel's width. AuxK takes pre-activations above 0, which may be below their thresholds.
    """

    name = "JumpReLU"
    default_lr = 1e-3

    def check(self, options: dict[str, Any]) -> None:
        super().check(options)
        if (options["coefficient"] is None) == (options["target_l0"] is None):
            raise ValueError(
                f"JumpReLU: coefficient = {options['coefficient']} and target_l0 = {options['target_l0']}, but exactly "
                "one of them is needed: set the other to null."
            )

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        return common | {"threshold": torch.full_like(common["encoder_bias"], options["threshold_init"])}

    def constrain(self, p: Parameters) -> None:
        p["threshold"].clamp_(min=0)

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options, batch = stack.options, x.shape[1]
        pre, threshold = pre_activations(p, x), p["threshold"][:, None]
        codes = _Jump.apply(pre, threshold, options["bandwidth"])  # type: ignore[no-untyped-call]
        steps = _Step.apply(pre, threshold, options["bandwidth"])  # type: ignore[no-untyped-call]
        active = steps[..., options["dense"] :].sum((1, 2)) / batch
        residual = x - decode(codes, p["decoder"], p["bias"])
        factor = warmup(stack.step, options["steps"], options["penalty_warmup"])
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        total = sum_of_squares(residual) / batch + factor * self.penalty(active, options)
        total = total + options["aux_coefficient"] * auxiliary
        terms = {"fvu": stack.fvu(residual), "penalty": active, "auxiliary": auxiliary}
        return Losses.of(total, terms, codes, residual)

    def penalty(self, l0: Tensor, options: dict[str, Any]) -> Tensor:
        """The part of the loss that depends on the mean number of active latents."""
        if options["target_l0"] is None:
            return options["coefficient"] * l0
        return options["target_coefficient"] * (l0 / options["target_l0"] - 1).square()

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.jumprelu import FastJumpReLU

        return None if self.weighs(options) else FastJumpReLU

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.jumprelu import StackedJumpReLU

        return None if self.weighs(options) else StackedJumpReLU

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="jumprelu", threshold=p["threshold"][0])


class _Jump(torch.autograd.Function):
    """``pre 1[pre > t]``; to t flows ``-t / width`` where |pre - t| < width / 2."""

    @staticmethod
    def forward(context: Any, pre: Tensor, threshold: Tensor, width: float) -> Tensor:
        context.save_for_backward(pre, threshold)
        context.width = width
        return torch.where(pre > threshold, pre, 0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (pre, threshold) = gradients, context.saved_tensors
        near = ((pre - threshold).abs() < context.width / 2).to(pre)
        to_threshold = -(threshold / context.width * near * gradient).sum(1, keepdim=True)
        return torch.where(pre > threshold, gradient, 0), to_threshold, None


class _Step(torch.autograd.Function):
    """``1[pre > t]``; to t flows ``-1 / width`` where |pre - t| < width / 2, to the pre-activation nothing."""

    @staticmethod
    def forward(context: Any, pre: Tensor, threshold: Tensor, width: float) -> Tensor:
        context.save_for_backward(pre, threshold)
        context.width = width
        return (pre > threshold).to(pre)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (pre, threshold) = gradients, context.saved_tensors
        near = ((pre - threshold).abs() < context.width / 2).to(pre)
        return None, -(near * gradient / context.width).sum(1, keepdim=True), None
