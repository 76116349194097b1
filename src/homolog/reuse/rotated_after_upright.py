"""Does a network that reads upright digits use the same features for rotated ones?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import trained_by
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN
from homolog.tasks.digits import Digits
from homolog.toys import convnets
from homolog.toys.curves import ANGLES, turned
from homolog.toys.training import Parameters, accuracies, cross_entropies

SIDE = 8
CORE = ("first", "first_bias", "second", "second_bias")
"""Both layers of convolutions; the read-out is new."""


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First upright digits, then the same digits turned by 90 to 270 degrees, in steps of 15.

    Both layers of convolutions are handed on. Units are compared at rotated test images, by their sum over places.
    """
    data = Digits().data()
    images = data.inputs.reshape(-1, SIDE, SIDE)
    angles = turned(images)[:, ANGLES // 4 : 3 * ANGLES // 4 + 1]
    train = torch.stack([_some(data.rows(TRAIN), options["images"], *key, member) for member in range(members)])
    test = data.rows(TEST).expand(members, -1)
    which = {name: torch.randint(angles.shape[1], rows.shape, generator=stream(*key, name)) for name, rows in (
        ("train", train), ("test", test)
    )}  # fmt: skip
    upright = {"train": images[train], "test": images[test]}
    rotated = {"train": angles[train, which["train"]], "test": angles[test, which["test"]]}
    common = rotated["test"][:1].expand(members, -1, SIDE, SIDE)

    def begun(generator: torch.Generator) -> Parameters:
        drawn = convnets.start(members, tuple(options["channels"]), data.n_classes, generator)
        # A random read-out would begin with wrong answers, and the surer, the larger the features are that it reads.
        return drawn | {"out": torch.zeros_like(drawn["out"])}

    def units(parameters: Parameters) -> Float[Tensor, "members rows channels"]:
        return convnets.units(parameters, common).mean((-2, -1))

    def stage(shown: Mapping[str, Tensor]) -> Stage:
        return Stage(
            start=begun,
            losses=lambda now: cross_entropies(convnets.outputs(now, shown["train"]), data.labels[train]),
            score=lambda now: accuracies(convnets.outputs(now, shown["test"]), data.labels[test]),
            latents=units,
            **trained_by(options),
        )

    return ReusePair(
        first=stage(upright),
        second=stage(rotated),
        core=CORE,
        chance=float(data.labels[data.rows(TEST)].bincount().max() / len(data.rows(TEST))),
        learned=options["learned"],
    )


def _some(rows: Int[Tensor, " rows"], count: int, *key: str | int) -> Int[Tensor, " chosen"]:
    return rows[torch.randperm(len(rows), generator=stream(*key, "images"))[:count]]
