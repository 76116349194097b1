"""One step of the plain path: gradients by autograd, Adam on all members of a stack, and what directions may do."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import resample
from homolog.decompositions.sae.base import Losses, Parameters, SparseAutoencoder, Stack, warmup
from homolog.decompositions.sae.initial import unit

# Kingma & Ba (2015).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def plain_step(recipe: SparseAutoencoder, stack: Stack, x: Float[Tensor, "members batch units"]) -> Losses:
    """Take one optimiser step in place and return the losses before it."""
    p = {name: value.detach().requires_grad_() for name, value in stack.parameters.items()}
    losses = recipe.losses(p, x, stack)
    gradients = dict(zip(p, torch.autograd.grad(losses.total.sum(), list(p.values())), strict=True))
    update(recipe, stack, gradients)
    if stack.options["dead"] != "auxk":
        losses.terms.pop("auxiliary", None)
    return losses


@torch.no_grad()
def update(recipe: SparseAutoencoder, stack: Stack, gradients: Parameters) -> None:
    """Adam, with what is held left where it is and directions kept on the sphere."""
    p, options, on_sphere = stack.parameters, stack.options, recipe.on_sphere(stack.options)
    if on_sphere:
        along = (gradients["decoder"] * p["decoder"]).sum(2, keepdim=True)
        gradients["decoder"] = gradients["decoder"] - along * p["decoder"]
    if stack.held is not None:
        frozen = ("encoder", "decoder") if options["fixed_cosine"] == 1 else ()
        for name in frozen:
            if name in gradients:
                gradients[name] = gradients[name].masked_fill(stack.held[..., None], 0)
    rate = recipe.learning_rate(options) * lr_factor(stack.step, options)
    for name, gradient in gradients.items():
        adam(p[name], gradient, stack.first[name], stack.second[name], rate, stack.step + 1)
    recipe.constrain(p)
    if on_sphere:
        norm = p["decoder"].norm(dim=2, keepdim=True)
        if stack.held is not None and options["fixed_cosine"] == 1:
            norm.masked_fill_(stack.held[..., None], 1)  # What is frozen isn't even rounded.
        p["decoder"] /= norm
    if stack.held is not None and options["fixed_cosine"] < 1:
        keep_near(stack, stack.held, options["fixed_cosine"])


def adam(p: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: float, t: int) -> None:
    """One step of Adam on one tensor, in place; `t` counts from 1."""
    first.lerp_(gradient, 1 - BETA_1)
    second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    corrected = (second / (1 - BETA_2**t)).sqrt_().add_(EPSILON)
    p.addcdiv_(first, corrected, value=-rate / (1 - BETA_1**t))


def lr_factor(step: int, options: dict[str, Any]) -> float:
    """Rises over the first `lr_warmup` of all steps, falls to zero over the last `lr_decay`."""
    decay = options["lr_decay"] * options["steps"]
    falling = min(1.0, (options["steps"] - step) / decay) if decay > 0 else 1.0
    return warmup(step, options["steps"], options["lr_warmup"]) * falling


def keep_near(stack: Stack, held: Bool[Tensor, "members latents"], cosine: float) -> None:
    """Turn held directions back until their cosine with their initialisation is at least `cosine` (soft-frozen)."""
    decoder, initial = stack.parameters["decoder"], stack.start
    along = (decoder * initial).sum(2, keepdim=True) / decoder.norm(dim=2, keepdim=True)
    across = unit(decoder - (decoder * initial).sum(2, keepdim=True) * initial)
    nearest = cosine * initial + (1 - cosine**2) ** 0.5 * across
    too_far = held[..., None] & (along < cosine)
    stack.parameters["decoder"].copy_(torch.where(too_far, nearest * decoder.norm(dim=2, keepdim=True), decoder))


@torch.no_grad()
def after_step(stack: Stack, x: Float[Tensor, "members batch units"], losses: Losses) -> None:
    """Count how long latents have been silent, and start dead ones anew where that is asked for."""
    batch = x.shape[1]
    stack.silent = torch.where(losses.fired, 0, stack.silent + batch)
    stack.step += 1
    if resamples(stack, batch):
        resample(stack, x, losses.residual.detach())


def resamples(stack: Stack, batch: int) -> bool:
    """Whether dead latents start anew now, after as many steps as make up `dead_after` samples."""
    options, every = stack.options, max(1, stack.options["dead_after"] // batch)
    return options["dead"] == "resample" and stack.step % every == 0 and stack.step < options["steps"]
