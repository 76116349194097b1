"""X: which class is an image turned by some range of degrees; Y: the same, turned by any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from homolog.antilearning.base import Examples, Recipe, Task, TaskPair
from homolog.antilearning.convnet import ConvNet
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN, Data
from homolog.tasks.digits import Digits
from homolog.tasks.fashion_mnist import FashionMNIST

# Ranges of degrees of X that may be learned one after another.
PARTS = 3
# Digits that neither are nearly themselves nor nearly another digit after half a turn.
TOLD_APART = {"digits": (3, 4, 7), "fashion_mnist": tuple(range(10))}


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """Images turned clockwise by [0, `degrees`) are X, by the rest Y; each image in so many `copies`.

    Y's test leaves out turns nearer than `margin` degrees to X, and digits that half a turn makes to themselves or to
    others (0, 1, 2, 5, 6, 8, 9). Raises ValueError where margins leave nothing of Y.
    """
    degrees, margin = options["degrees"], options["margin"]
    if degrees + 2 * margin >= 360:
        raise ValueError(
            f"rotated_images: X is turned by 0 to {degrees:g} degrees; with a margin of {margin:g} on either side Y's "
            "test would overlap X: lower degrees or margin."
        )
    data = (Digits() if options["images"] == "digits" else FashionMNIST()).data()
    each = [_of_member(data, options, stream(*key, member)) for member in range(members)]
    joined = {name: _stacked([one[name] for one in each]) for name in each[0]}
    network = ConvNet(
        1, joined["x.train"].inputs.shape[-1], tuple(options["channels"]), data.n_classes, options["turned"]
    )
    return TaskPair(
        name="rotated_images",
        network=network,
        classes=data.n_classes,
        x=Task(joined["x.train"], joined["x.test"]),
        y=Task(joined["y.train"], joined["y.test"]),
        recipe=Recipe(options["steps"], options["lr"], options["weight_decay"], options["batch"]),
        facts={"images": options["images"], "degrees": degrees, "turned": str(options["turned"])},
    )


def turned(
    images: Float[Tensor, "rows height width"], degrees: Float[Tensor, " rows"]
) -> Float[Tensor, "rows height width"]:
    """Each image turned clockwise about its centre, by linear interpolation; beyond its edges all is 0."""
    angle = degrees.double() * (torch.pi / 180)
    zero = torch.zeros_like(angle)
    # Where each pixel of the result is taken from, in coordinates whose second axis points down.
    rows = [torch.stack([angle.cos(), angle.sin(), zero], -1), torch.stack([-angle.sin(), angle.cos(), zero], -1)]
    grid = affine_grid(torch.stack(rows, 1).float(), [len(images), 1, *images.shape[1:]], align_corners=False)
    return grid_sample(images[:, None], grid, align_corners=False)[:, 0]


Table: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Images, labels and parts of one member."""


def _of_member(data: Data, options: Mapping[str, Any], generator: torch.Generator) -> dict[str, Table]:
    size = options["size"]
    rows = {which: _chosen(data, split, count, generator) for which, split, count in (
        ("train", TRAIN, options["images_train"]), ("test", TEST, options["images_test"])
    )}  # fmt: skip
    apart = torch.isin(data.labels, torch.tensor(TOLD_APART[options["images"]]))
    x, margin, copies = options["degrees"], options["margin"], options["copies"]
    ranges = {
        "x.train": (rows["train"].repeat(copies), 0.0, x),
        "x.test": (rows["test"], 0.0, x),
        "y.train": (rows["train"].repeat(copies), x, 360.0),
        "y.test": (rows["test"][apart[rows["test"]]].repeat(2), x + margin, 360.0 - margin),
    }
    found = {}
    for name, (of, low, high) in ranges.items():
        share = torch.rand(len(of), generator=generator)
        images = turned(_images(data, of, size), low + (high - low) * share)
        found[name] = images, data.labels[of], (share * PARTS).long()
    return found


def _chosen(data: Data, split: int, count: int | None, generator: torch.Generator) -> Int[Tensor, " rows"]:
    """So many of the split's images for a member, or all."""
    rows = data.rows(split)
    if count is None or count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def _images(data: Data, rows: Int[Tensor, " rows"], size: int | None) -> Float[Tensor, "rows height width"]:
    side = round(data.inputs.shape[1] ** 0.5)
    images = data.inputs[rows].reshape(-1, side, side)
    if size is None or size == side:
        return images
    return torch.nn.functional.adaptive_avg_pool2d(images[:, None], size)[:, 0]


def _stacked(each: list[Table]) -> Examples:
    """A table of each member; all have as many rows as the shortest one."""
    rows = min(len(labels) for _, labels, _ in each)
    inputs, labels, part = (torch.stack([one[:rows] for one in tables]) for tables in zip(*each, strict=True))
    return Examples(inputs, labels, part)
