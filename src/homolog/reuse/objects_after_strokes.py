"""Does a network that tells edges and curves apart use their detectors for objects made of them?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import ReusePair
from homolog.reuse.pairs_of_images import CORE, Labelled, image_stage
from homolog.streams import stream
from homolog.toys.curves import curve

CELL = 6
"""Pixels of a quarter of an image, along each side: one stroke."""
LINES = {"|": 0.0, "\\": 0.75, "-": 0.5, "/": 0.25}
ARCS = {"down right": 0.25, "down left": 0.75, "up left": 1.25, "up right": 1.75}
"""Angles in half turns: lines by what stands across them, arcs by where they are bent to, rows counted downwards."""
STROKES = (*LINES, *ARCS)
EMPTY = len(STROKES)
OBJECTS = {
    "circle": ("down right", "down left", "up right", "up left"),
    "star": ("up left", "up right", "down left", "down right"),
    "diamond": ("/", "\\", "\\", "/"),
    "cross": ("\\", "/", "/", "\\"),
    "heart": ("down right", "down left", "\\", "/"),
    "drop": ("/", "\\", "up right", "up left"),
    "table": ("-", "-", "|", "|"),
    "gate": ("|", "|", "-", "-"),
}
"""Strokes of the quarters: above left and right, below left and right."""
# Turns of a stroke in half turns, and places of the picture's corner: each stroke looks a little different each time.
TURNS, SHIFTS = (-0.06, 0.0, 0.06), (0, 1, 2)


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First which stroke an image shows, in any quarter; then which object, of four strokes each, under noise.

    Both layers of convolutions are handed on. Units are compared at images of objects.
    """
    parts = torch.tensor([[STROKES.index(one) for one in strokes] for strokes in OBJECTS.values()])

    def strokes(count: int, *of: str) -> Labelled:
        generator = stream(*key, "strokes", *of)
        labels = torch.randint(len(STROKES), (members, count), generator=generator)
        places = torch.randint(4, (members, count), generator=generator)
        shown = torch.where(torch.arange(4) == places[..., None], labels[..., None], EMPTY)
        return Labelled(pictured(shown, options["noise"], generator), labels)

    def objects(count: int, *of: str) -> Labelled:
        generator = stream(*key, "objects", *of)
        labels = torch.randint(len(OBJECTS), (members, count), generator=generator)
        return Labelled(pictured(parts[labels], options["noise"], generator), labels)

    test = objects(options["test_images"], "test")
    common = test.images[:1].expand(members, -1, -1, -1)
    first = image_stage(
        strokes(options["first_images"], "train"),
        strokes(options["test_images"], "test"),
        len(STROKES),
        common,
        options,
    )
    second = image_stage(objects(options["images"], "train"), test, len(OBJECTS), common, options)
    return ReusePair(
        first=replace(first, steps=options["first_steps"]),
        second=second,
        core=CORE,
        chance=1 / len(OBJECTS),
        learned=options["learned"],
    )


def pictured(
    strokes: Int[Tensor, "members rows 4"], noise: float, generator: torch.Generator
) -> Float[Tensor, "members rows size size"]:
    """Images of four strokes each (`EMPTY`: none), at random among their looks, under Gaussian noise."""
    looks = stroke_looks()
    cells = looks[strokes, torch.randint(looks.shape[1], strokes.shape, generator=generator)]
    grid = cells.reshape(*strokes.shape[:2], 2, 2, CELL, CELL).transpose(3, 4)
    images = grid.reshape(*strokes.shape[:2], 2 * CELL, 2 * CELL)
    noisy: Tensor = images + noise * torch.randn(images.shape, generator=generator)
    return noisy


def stroke_looks() -> Float[Tensor, "strokes looks cell cell"]:
    """Each stroke, a little turned and moved in all ways; the last one is empty."""
    kinds = [(angle, 0.0) for angle in LINES.values()] + [(angle, 1 / 3) for angle in ARCS.values()]
    found = [
        torch.stack([_cut(curve(CELL + 2, math.pi * (angle + turn), bent, 1.2), *at) for turn, *at in _ways()])
        for angle, bent in kinds
    ]
    return torch.stack([*found, torch.zeros_like(found[0])])


def _ways() -> list[tuple[Any, ...]]:
    return list(product(TURNS, SHIFTS, SHIFTS))


def _cut(picture: Float[Tensor, "side side"], down: int, right: int) -> Float[Tensor, "cell cell"]:
    return picture[down : down + CELL, right : right + CELL]
