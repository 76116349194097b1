"""Does an autoencoder of large images learn faster around one of small images, B - A - B within C - B - A - B - C?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import trained_by
from homolog.tasks.base import TEST, TRAIN
from homolog.tasks.digits import Digits
from homolog.toys.training import Parameters

SIDE, BLOCK = 8, 2
LARGE, SMALL = SIDE**2, (SIDE // BLOCK) ** 2
"""Pixels of C and of B."""


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First digits averaged over blocks of 2 x 2 pixels (B: 16) through `codes` units of ReLU (A); then all 64 pixels
    (C) through linear maps to and from B, and the same autoencoder between them.

    Score: share of the variance of test images that is reconstructed, over that of as many principal components of C as
    A has units (no linear map through A does better on what it is fitted to). Units of A are compared on test images.
    """
    data = Digits().data()
    # Centred, so that at the start each unit of A is on for half of the images.
    mean = data.inputs[data.rows(TRAIN)].mean(0)
    large = {split: data.inputs[data.rows(split)] - mean for split in (TRAIN, TEST)}
    small = {split: avg_pool2d(one.reshape(-1, 1, SIDE, SIDE), BLOCK).flatten(1) for split, one in large.items()}
    codes = options["codes"]

    def drawn(generator: torch.Generator, *shape: int) -> Tensor:
        weights: Tensor = torch.randn(members, *shape, generator=generator) * shape[0] ** -0.5
        return weights

    def begun(generator: torch.Generator) -> Parameters:
        return {
            "encode": drawn(generator, SMALL, codes),
            "encode_bias": torch.zeros(members, 1, codes),
            "decode": drawn(generator, codes, SMALL),
            "decode_bias": torch.zeros(members, 1, SMALL),
        }

    def around(generator: torch.Generator) -> Parameters:
        outer = {"shrink": drawn(generator, LARGE, SMALL), "grow": drawn(generator, SMALL, LARGE)}
        return begun(generator) | outer | {"grow_bias": torch.zeros(members, 1, LARGE)}

    def whole(parameters: Parameters, rows: Tensor) -> Tensor:
        inner = decoded(parameters, encoded(parameters, rows @ parameters["shrink"]))
        return inner @ parameters["grow"] + parameters["grow_bias"]

    def inner(parameters: Parameters, rows: Tensor) -> Tensor:
        return decoded(parameters, encoded(parameters, rows))

    def stage(start: Any, read: Any, rows: Mapping[int, Tensor], latents: Any) -> Stage:
        ceiling = principal_share(rows[TRAIN], rows[TEST], codes)
        return Stage(
            start=start,
            losses=lambda now: ((read(now, rows[TRAIN]) - rows[TRAIN]) ** 2).mean((1, 2)) / rows[TRAIN].var(0).mean(),
            score=lambda now: explained(read(now, rows[TEST]), rows[TEST]) / ceiling,
            latents=latents,
            **trained_by(options),
        )

    first = stage(begun, inner, small, lambda now: encoded(now, small[TEST]))
    second = stage(around, whole, large, lambda now: encoded(now, large[TEST] @ now["shrink"]))
    core = ("encode", "encode_bias", "decode", "decode_bias")
    return ReusePair(replace(first, steps=options["first_steps"]), second, core, 0.0, options["learned"])


def encoded(parameters: Parameters, rows: Float[Tensor, "*members rows small"]) -> Float[Tensor, "members rows codes"]:
    """Units of A."""
    return (rows @ parameters["encode"] + parameters["encode_bias"]).relu()


def decoded(parameters: Parameters, codes: Float[Tensor, "members rows codes"]) -> Float[Tensor, "members rows small"]:
    """What A says of B."""
    return codes @ parameters["decode"] + parameters["decode_bias"]


def explained(
    found: Float[Tensor, "*members rows units"], rows: Float[Tensor, "rows units"]
) -> Float[Tensor, "*members"]:
    """Share of the variance that is reconstructed."""
    return 1 - ((found - rows) ** 2).sum((-2, -1)) / ((rows - rows.mean(0)) ** 2).sum()


def principal_share(
    train: Float[Tensor, "rows units"], test: Float[Tensor, "other_rows units"], components: int
) -> float:
    """What so many principal components of the training rows explain of others (Eckart & Young, 1936)."""
    mean = train.mean(0)
    axes = torch.linalg.svd(train - mean, full_matrices=False).Vh[:components]
    return float(explained(mean + (test - mean) @ axes.T @ axes, test))
