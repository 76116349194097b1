"""How are hundreds of small TopK autoencoders trained as one tensor program on a processor?

The project's trainer takes one member after the other on the CPU, and its stacked step is laid out for a GPU. Here a
step of all members is some hundred operations on tensors (member, latent, row), rows last, so that the choice of the
largest latents takes neighbours in memory. Start, loss, schedules and optimiser are the project's own.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.analyses.traps.stack import Stack
from homolog.decompositions.base import Member
from homolog.decompositions.sae import base
from homolog.decompositions.sae.base import SparseAutoencoder, k_at
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import adam, lr_factor
from homolog.decompositions.samples import InMemory
from homolog.loading import load

# Members that are trained together: few enough for a step's tensors to stay near the processor.
AT_ONCE = 128
# What makes more than 1 of any difference between two numbers.
HUGE = 1e30


def train(
    autoencoder: dict[str, Any],
    data: Float[Tensor, "repetitions rows units"],
    seeds: list[int],
    key: tuple[str | int, ...],
    generator: torch.Generator,
) -> list[Stack]:
    """One autoencoder for each seed and each repetition's data, as a stack for each of the `seeds`.

    `autoencoder` holds the `target` of the recipe TopK and its complete `options`. Equal seeds are equal starts.
    Batches are rows drawn with replacement, other ones for each member. Raises ValueError for options that aren't
    covered.
    """
    recipe: SparseAutoencoder = load(autoencoder["target"])()
    options = autoencoder["options"]
    _check(options)
    each = max(1, AT_ONCE // len(seeds))
    parts = []
    for first in range(0, len(data), each):
        rows = data[first : first + each]
        samples = [InMemory(one) for one in rows]
        members = [
            Member(options, seed, "all", one, None, (*key, first + number))
            for seed in seeds
            for number, one in enumerate(samples)
        ]
        stack = initialise(recipe, members)
        _run(recipe, stack, (rows.repeat(len(seeds), 1, 1) * stack.scale[:, None, None]).mT.contiguous(), generator)
        parts.append(_split(stack, len(seeds)))
    return [_joined([part[number] for part in parts]) for number in range(len(seeds))]


def _check(options: dict[str, Any]) -> None:
    """Raise ValueError where another option than those that the step knows isn't at what it is without."""
    plain = {"dead": "none", "decoder": "unit_norm", "dense": 0, "multi": False, "fixed": 0}
    for name, value in plain.items():
        if options[name] != value:
            raise ValueError(f"stacked training knows {name} = {value!r} only, but it is {options[name]!r}.")


def _run(
    recipe: SparseAutoencoder, stack: base.Stack, data: Float[Tensor, "members units rows"], generator: torch.Generator
) -> None:
    """All steps; `data` are in the scale of training."""
    members, units, rows = data.shape
    batch = min(stack.options["batch_size"], rows)
    for _ in range(stack.options["steps"]):
        chosen = torch.randint(rows, (members, 1, batch), generator=generator)
        step(recipe, stack, data.gather(2, chosen.expand(-1, units, -1)))
        stack.step += 1


@torch.no_grad()
def step(recipe: SparseAutoencoder, stack: base.Stack, x: Float[Tensor, "members units batch"]) -> None:
    """One step of Adam on the FVU of each member's batch, in place, by the gradients of `gpu.step`."""
    p, options = stack.parameters, stack.options
    read = x - p["bias"][..., None]
    codes = largest(torch.baddbmm(p["encoder_bias"][..., None], p["encoder"], read), k_at(options, stack.step))
    pull = torch.baddbmm(read, p["decoder"].mT, codes, alpha=-1)
    pull *= (-2 / (x.shape[2] * stack.variance))[:, None, None]
    by_code = torch.bmm(p["decoder"], pull).mul_((codes * HUGE).clamp_(max=1))
    by_bias = by_code.sum(2)
    decoder = torch.bmm(codes, pull.mT)
    gradients = {
        "encoder": torch.bmm(by_code, read.mT),
        "encoder_bias": by_bias,
        "decoder": decoder - (decoder * p["decoder"]).sum(2, keepdim=True) * p["decoder"],
        "bias": pull.sum(2) - torch.bmm(by_bias[:, None], p["encoder"])[:, 0],
    }
    rate = recipe.learning_rate(options) * lr_factor(stack.step, options)
    for name, gradient in gradients.items():
        adam(p[name], gradient, stack.first[name], stack.second[name], rate, stack.step + 1)
    p["decoder"] /= p["decoder"].norm(dim=2, keepdim=True)


def largest(pre: Float[Tensor, "members latents batch"], k: int) -> Float[Tensor, "members latents batch"]:
    """The `k` largest of each row where they are positive, else 0.

    The latents pass one by one through the `k` largest so far, in falling order. There are no masks: on a processor
    torch takes several times as long for them as for arithmetic.
    """
    tops = [pre[:, 0]]
    for latent in pre.unbind(1)[1:]:
        kept = []
        for top in tops:
            kept.append(torch.maximum(top, latent))
            latent = torch.minimum(top, latent)
        tops = [*kept, latent][:k]
    return pre.relu() * _not_negative(pre - tops[-1][:, None])


def _not_negative(x: Tensor) -> Tensor:
    """1 where it is 0 or more, else 0."""
    return (x * HUGE).add_(1).clamp_(0, 1)


def _split(stack: base.Stack, seeds: int) -> list[Stack]:
    """What was trained, in the units of the activations, by seed."""
    p, scale = stack.parameters, stack.scale[:, None]
    moved = 1 - (p["decoder"] * stack.start).sum(2)
    arrays = p["decoder"], p["encoder"], p["encoder_bias"] / scale, p["bias"] / scale, moved
    by_seed = zip(*(array.chunk(seeds) for array in arrays), strict=True)
    k = stack.options["k"]
    return [
        Stack(directions, encoder, encoder_bias, bias, "topk", k, moved=moved)
        for directions, encoder, encoder_bias, bias, moved in by_seed
    ]


def _joined(parts: list[Stack]) -> Stack:
    """Stacks of some repetitions, those of one behind those of the other."""

    def every(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    arrays = every("directions"), every("encoder"), every("encoder_bias"), every("bias")
    return Stack(*arrays, "topk", parts[0].k, moved=every("moved"))


def unexplained(stack: Stack, rows: Float[Tensor, "repetitions rows units"]) -> Float[Tensor, " repetitions"]:
    """FVU of the rows."""
    codes = stack.activate(stack.pre_activations(rows))
    left = rows - stack.bias[:, None] - codes.mT @ stack.directions
    spread = rows - rows.mean(1, keepdim=True)
    return left.square().sum((1, 2)) / spread.square().sum((1, 2))
