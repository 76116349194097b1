"""Which directions are suggested to an autoencoder as fixed latents, and what shows that it took them up?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine
from homolog.analyses.recovered import live
from homolog.decompositions.sae.initial import square_root_of_covariance, unit
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.worlds.trials import Trial

KINDS = ("true", "perturbed", "duplicate", "covariance", "random")
"""True features; others, turned away; half as many others, twice each; normal with the rows' covariance; uniform."""
EVIDENCE = ("rate", "mass", "bias")
"""How often a latent is active; its share of the sum of all codes; the percentile of its bias in its dictionary."""
# A latent counts as switched off below this share of the median rate of live free ones.
OFF = 0.1


def suggest(
    truth: Float[Tensor, "truths units"], rows: Float[Tensor, "samples units"], each: int, near: float,
    generator: torch.Generator,
) -> Float[Tensor, "suggested units"]:  # fmt: skip
    """`each` directions of each of `KINDS`, in this order, the first three of them from different rows of `truth`."""
    twice = -(-each // 2)
    if len(truth) < 2 * each + twice:
        raise ValueError(
            f"fixed_features: each = {each} needs {2 * each + twice} true directions, but there are {len(truth)}: "
            "lower each."
        )
    chosen = unit(truth[torch.randperm(len(truth), generator=generator)])
    true, others, doubled = chosen[:each], chosen[each : 2 * each], chosen[2 * each : 2 * each + twice]
    across = torch.randn(others.shape, generator=generator)
    across = unit(across - (across * others).sum(1, keepdim=True) * others)
    perturbed = near * others + (1 - near**2) ** 0.5 * across
    drawn = torch.randn(2, each, rows.shape[1], generator=generator)
    covariance = unit(drawn[0] @ square_root_of_covariance(InMemory(rows)).to(drawn))
    return torch.cat([true, perturbed, doubled.repeat(2, 1)[:each], covariance, unit(drawn[1])])


def truth_for(trial: Trial, free: list[Dictionary], number: int, count: int) -> Float[Tensor, "truths units"]:
    """The world's features; where none are known, those live latents of a dictionary that other seeds find best."""
    if len(trial.world.features):
        return trial.world.features
    alive = [one.directions[live(one, trial.test)] for one in free]
    own, others = alive[number], alive[:number] + alive[number + 1 :]
    if not others:
        raise ValueError("fixed_features: no feature of the world is known, so two seeds are needed: add one to seeds.")
    near = [cosine(own, other) for other in others]
    found = torch.stack([match(one, one, "hungarian").per_latent.nan_to_num(0.0) for one in near]).mean(0)
    return own[found.argsort(descending=True)[:count]]


def evidence(dictionary: Dictionary, rows: Float[Tensor, "samples units"]) -> Float[Tensor, "evidence latents"]:
    """`EVIDENCE` of each latent, on rows that it wasn't fitted to."""
    codes, bias = dictionary.codes(rows).double(), dictionary.encoder_bias.double()
    total = codes.sum().clamp_min(torch.finfo(codes.dtype).tiny)
    below = (bias[:, None] > bias).double().mean(1) + (bias[:, None] == bias).double().mean(1) / 2
    return torch.stack([(codes != 0).double().mean(0), codes.sum(0) / total, below])
