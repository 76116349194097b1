"""X: a red square or a blue triangle; Y: a red triangle or a blue square, told apart by what the two in X differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.antilearning.base import Examples, Recipe, Task, TaskPair
from homolog.antilearning.convnet import ConvNet
from homolog.streams import stream

RED, BLUE = 0, 1
SQUARE, TRIANGLE = 0, 1
COLOURS = 2
"""Channels: red and blue."""


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """In X colour and shape go together, so that either tells the two classes; in Y they are crossed.

    Y is labelled `by` colour or by shape: whichever of the two a network has read comes along, and the other one is
    answered the wrong way round (example of Armstrong & Gorman's Concept Extrapolation, 2022).
    """
    tables = {
        name: drawn(options, rows, name.startswith("y"), members, *key, name)
        for name, rows in (
            ("x.train", options["rows"]), ("x.test", options["test_rows"]),
            ("y.train", options["rows"]), ("y.test", options["test_rows"]),
        )
    }  # fmt: skip
    return TaskPair(
        name="red_square",
        network=ConvNet(COLOURS, options["size"], tuple(options["channels"]), 2),
        classes=2,
        x=Task(tables["x.train"], tables["x.test"]),
        y=Task(tables["y.train"], tables["y.test"]),
        recipe=Recipe(options["steps"], options["lr"], options["weight_decay"], options["batch"]),
        facts={"by": options["by"]},
    )


def drawn(options: Mapping[str, Any], rows: int, crossed: bool, members: int, *key: str | int) -> Examples:
    """So many pictures of one shape each: where, how large, how bright and how noisy is drawn."""
    generator = stream(*key)
    shape = torch.randint(2, (members * rows,), generator=generator)
    colour = 1 - shape if crossed else shape
    inside = _inside(options["size"], shape, generator)
    bright = 0.6 + 0.4 * torch.rand(members * rows, generator=generator)
    images = torch.zeros(members * rows, COLOURS, options["size"], options["size"])
    images[torch.arange(members * rows), colour] = inside * bright[:, None, None]
    images += options["noise"] * torch.randn(images.shape, generator=generator)
    labels = colour if options["by"] == "colour" else shape
    return Examples(images.reshape(members, rows, *images.shape[1:]), labels.reshape(members, rows))


def _inside(size: int, shape: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows height width"]:
    """1 inside a square or an upright triangle of like area, 0 outside."""
    rows = len(shape)
    half = (0.2 + 0.06 * torch.rand(rows, generator=generator)) * size
    where = (0.3 + 0.4 * torch.rand(2, rows, generator=generator)) * size
    places = torch.arange(size) + 0.5
    down = places[None, :, None] - where[0][:, None, None]
    across = (places[None, None, :] - where[1][:, None, None]).abs()
    square: Bool[Tensor, "rows height width"] = (down.abs() <= half[:, None, None]) & (across <= half[:, None, None])
    # An isosceles triangle of height and base 2 * sqrt(2) * half has the square's area.
    tall = 2**0.5 * half[:, None, None]
    triangle = (down.abs() <= tall) & (across <= (down + tall) / 2)
    return torch.where((shape == TRIANGLE)[:, None, None], triangle, square).float()
