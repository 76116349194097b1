"""Which latents fire on which rows, in a thousand repetitions at once, and in every draw of their null?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.analyses.traps.stack import Stack
from homolog.comparing.chance import RATED
from homolog.decompositions.samples import InMemory
from homolog.decompositions.split import halves_of


@dataclass(frozen=True)
class Codes:
    """Codes of stacked dictionaries on both halves, latents before rows, their inverse deviations, and who is live."""

    values: dict[str, Float[Tensor, "repetitions latents rows"]]
    rates: Float[Tensor, "repetitions latents"]
    live: Bool[Tensor, "repetitions latents"]
    scale: dict[str, Float[Tensor, "repetitions latents"]]


def halves(rows: int) -> dict[str, Int[Tensor, " half"]]:
    """Which rows `compare` chooses pairs on, and on which it scores them."""
    cut = halves_of(InMemory(torch.arange(rows).float()[:, None]))
    return {"match": cut["a"].read(0, rows).long()[:, 0], "score": cut["b"].read(0, rows).long()[:, 0]}


def codes_of(stack: Stack, rows: Float[Tensor, "repetitions rows units"]) -> Codes:
    pre = {fold: stack.pre_activations(rows[:, index]) for fold, index in halves(rows.shape[1]).items()}
    return _coded(stack, pre)


def _coded(stack: Stack, pre: dict[str, Tensor]) -> Codes:
    values, scale, rates = {}, {}, []
    for fold, given in pre.items():
        codes = values[fold] = stack.activate(given)
        rates.append((codes != 0).sum(-1).double() / codes.shape[-1])
        second = codes.square().sum(-1)
        variation = second - codes.sum(-1).square() / codes.shape[-1]
        # A latent that is constant up to rounding correlates with nothing.
        scale[fold] = torch.where(variation > 1e-6 * second, variation, torch.inf).rsqrt()
    both = torch.stack(rates)
    return Codes(values, both.mean(0), (both > 0).all(0), scale)


def turn_stack(
    stack: Stack, rates: Float[Tensor, "few latents"] | None, rows: Tensor, turn: Float[Tensor, "few draws units units"]
) -> tuple[Stack, Codes]:
    """Every draw's dictionary, one after the other, and its codes: with `rates`, biases moved so that latents fire as
    often."""
    turned = stack.turned(turn)
    pre = {fold: turned.pre_activations(rows[:, index]) for fold, index in halves(rows.shape[1]).items()}
    if stack.activation == "relu" and rates is not None:
        rated = pre["match"][..., :RATED]
        place = ((1 - rates) * (rated.shape[-1] - 1)).round().long().clamp(0, rated.shape[-1] - 1)
        # NumPy sorts short rows several times as fast as torch.
        level = torch.from_numpy(np.sort(rated.numpy())).gather(-1, place.repeat(1, turn.shape[1])[..., None])
        pre = {fold: values.sub_(level) for fold, values in pre.items()}
    return turned, _coded(turned, pre)
