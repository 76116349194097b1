"""Where does training start: directions, encoder, biases and the scale of inputs, drawn by each member for itself?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.moments import moments
from homolog.decompositions.sae.base import Parameters, SparseAutoencoder, Stack
from homolog.decompositions.samples import Samples
from homolog.streams import stream

# Options that must not change what is drawn: the order of the data, what is logged, and who computes.
WITHOUT_DRAWS = {"order_seed", "log_points", "engine", "encoder_norm"}
# Options that came after the first results, and what they are when they change nothing: then draws are as they were.
# So is `decoder`, except for ReLU (the one with a `penalty`), which has always had it.
LATER = {"k_start": None, "k_warmup": 0.5}


def initialise(recipe: SparseAutoencoder, members: list[Member]) -> Stack:
    """Members of equal shape and options before their first step."""
    options, device = members[0].options, members[0].activations.device
    scale = torch.tensor([input_scale(m.activations, m.options["input_scale"]) for m in members], device=device)
    directions = torch.stack([initial_directions(m) for m in members]).to(device)
    encoder, free = directions.clone(), options["n_latents"] - options["fixed"]
    if options["encoder_init"] == "independent":
        drawn = [
            torch.randn(d.shape, generator=own_stream("encoder", m)) for d, m in zip(directions, members, strict=True)
        ]
        encoder[:, :free] = unit(torch.stack(drawn)).to(device)[:, :free]
    encoder[:, :free] *= options["encoder_norm"]
    bias = torch.stack([initial_bias(m.activations, options["bias_init"]) for m in members]).to(scale) * scale[:, None]
    common = {
        "encoder": encoder,
        "encoder_bias": torch.zeros(directions.shape[:2], device=device),
        "decoder": directions,
        "bias": bias,
    }
    memory = recipe.memory(members, scale)
    parameters = recipe.own_parameters(common, memory, options)
    stack = Stack(
        members=members,
        scale=scale,
        variance=torch.tensor([variance(m.activations) for m in members], device=device).to(scale) * scale**2,
        parameters=parameters,
        first={name: torch.zeros_like(p) for name, p in parameters.items()},
        second={name: torch.zeros_like(p) for name, p in parameters.items()},
        silent=torch.zeros(directions.shape[:2], dtype=torch.int64, device=device),
        memory=memory,
        held=held_latents(options, len(members), device),
        start=directions.clone(),
        diverged=torch.full((len(members),), -1),
    )
    if "decoder" not in parameters:
        stack.start = torch.cat([recipe.dictionary(*member_of(stack, i)).directions[None] for i in range(len(members))])
    return stack


def member_of(stack: Stack, i: int) -> tuple[Parameters, Stack]:
    """Parameters of one member alone, and the stack with no other."""
    memory = {name: value[i : i + 1] for name, value in stack.memory.items()}
    parameters = {name: p[i : i + 1].detach() for name, p in stack.parameters.items()}
    return parameters, replace(stack, members=stack.members[i : i + 1], memory=memory, parameters=parameters)


def own_stream(purpose: str, member: Member, *more: int) -> torch.Generator:
    """A stream that no other grid point shares: options are part of the key, but for those that change no draw."""
    later = LATER if "penalty" in member.options else LATER | {"decoder": "unit_norm"}
    options = {
        name: value
        for name, value in member.options.items()
        if name not in WITHOUT_DRAWS and (name not in later or value != later[name])
    }
    return stream(purpose, *member.key, member.seed, member.rows, json.dumps(options, sort_keys=True), *more)


def initial_directions(member: Member) -> Float[Tensor, "latents units"]:
    """Directions of unit norm: the member's `start`, or drawn by `directions_init` and, if fixed, `fixed_source`."""
    if member.start is not None:
        return unit(member.start.cpu().float())
    latents, fixed = member.options["n_latents"], member.options["fixed"]
    drawn = _draw(member, member.options["directions_init"], latents)
    if fixed:
        drawn[latents - fixed :] = _draw(member, member.options["fixed_source"], latents)[latents - fixed :]
    return drawn


def _draw(member: Member, source: str, latents: int) -> Float[Tensor, "latents units"]:
    samples = member.activations
    if source == "data":
        return unit((random_rows(samples, latents, own_stream("init", member)) - samples.mean).float())
    drawn = torch.randn(latents, samples.units, generator=own_stream("init", member))
    if source == "covariance":
        drawn = drawn @ square_root_of_covariance(samples).to(drawn)
    return unit(drawn)


def unit(rows: Float[Tensor, "... units"]) -> Float[Tensor, "... units"]:
    """Rows of unit norm."""
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def random_rows(samples: Samples, count: int, generator: torch.Generator) -> Float[Tensor, "count units"]:
    """Rows drawn without replacement where there are enough of them, in random order."""
    order = torch.randperm(samples.samples, generator=generator)
    if count > len(order):
        order = torch.cat([order, torch.randint(len(order), (count - len(order),), generator=generator)])
    return samples.take(order[:count])


def square_root_of_covariance(samples: Samples) -> Float[Tensor, "units units"]:
    """Symmetric square root of the covariance in float64, so that drawn directions spread as the data do."""
    deviations, directions = moments(samples).principal
    return (directions.T * deviations) @ directions


def input_scale(samples: Samples, option: str) -> float:
    """The factor that brings the inputs' mean square norm to 1, or to the number of units; or 1."""
    if option == "none":
        return 1.0
    to_one: float = (samples.samples / samples.sum_of_squares) ** 0.5
    return to_one * samples.units**0.5 if option == "sqrt_units" else to_one


def variance(samples: Samples) -> float:
    """Mean square distance from the mean."""
    return samples.sum_of_squares / samples.samples - float(samples.mean.square().sum())


def initial_bias(samples: Samples, option: str) -> Float[Tensor, " units"]:
    """Geometric median (of the first 8,192 rows), mean, or zero."""
    if option == "zero":
        return torch.zeros(samples.units, device=samples.device)
    if option == "mean":
        return samples.mean
    return samples.median


def held_latents(options: dict[str, Any], members: int, device: torch.device) -> Bool[Tensor, "members latents"] | None:
    """The last `fixed` latents, of which the direction and the encoder row are held."""
    latents, fixed = options["n_latents"], options["fixed"]
    if not fixed:
        return None
    return (torch.arange(latents, device=device) >= latents - fixed).expand(members, -1)
