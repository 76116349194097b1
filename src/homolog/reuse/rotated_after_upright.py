"""Does a network that reads upright digits use the same features for rotated ones?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_images import CORE, Labelled, image_stage
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN
from homolog.tasks.digits import Digits
from homolog.toys.curves import ANGLES, turned

SIDE = 8


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First upright digits, then the same digits turned by 90 to 270 degrees, in steps of 15.

    Both layers of convolutions are handed on. Units are compared at rotated test images.
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

    def stage(shown: Mapping[str, Tensor]) -> Stage:
        seen, held_out = (Labelled(shown[name], data.labels[rows]) for name, rows in (("train", train), ("test", test)))
        return image_stage(seen, held_out, data.n_classes, common, options)

    return ReusePair(
        first=stage(upright),
        second=stage(rotated),
        core=CORE,
        chance=float(data.labels[data.rows(TEST)].bincount().max() / len(data.rows(TEST))),
        learned=options["learned"],
    )


def _some(rows: Int[Tensor, " rows"], count: int, *key: str | int) -> Int[Tensor, " chosen"]:
    return rows[torch.randperm(len(rows), generator=stream(*key, "images"))[:count]]
