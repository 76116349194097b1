"""How are inputs shown that are pictures, and which part of a picture is a row that is a place of it?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.atlas.sheets import PER_SHEET, write_sheet
from homolog.atlas.shown import Shown
from homolog.corpora.base import Corpus
from homolog.store.activations import Rows

# Longest side of what is shown: larger pictures are made smaller, so that an atlas of photographs can be handed on.
LARGEST = 112
# How far the sides of a grid of places may be from those of the picture: convolutions lose some of the border.
UNEVEN = 1.25

Pixels = Callable[[Int[Tensor, " inputs"]], Float[Tensor, "inputs channels height width"]]


class Pictures(Shown):
    """Grey or coloured pictures of one size in [0, 1], on sheets of which pages show places.

    `pixels` gives those of some inputs by number, `size` is their height and width. With several `places` a row is a
    place in the grid that the picture is divided into, as convolutions and patches have it.
    """

    kind = "images"

    def __init__(
        self,
        rows: Rows,
        index: Int[np.ndarray, " held_out"],
        pixels: Pixels,
        size: tuple[int, int],
        places: int = 1,
        folders: list[str] | None = None,
    ) -> None:
        super().__init__(rows, index, places)
        self.noun = "inputs" if places == 1 else "places"
        self._pixels, self._size, self._names = pixels, size, folders

    def told(self, units: Int[np.ndarray, " units"]) -> list[Any]:
        return [[int(self.numbers[one]), self.class_name(self.label[one])] for one in units.tolist()]

    def class_name(self, number: int | None) -> str | None:
        name = None if number is None else self.logit_name(number)
        return super().class_name(number) if name is None else f"{number} ({name})"

    def logit_name(self, number: int) -> str | None:
        return self._names[number] if self._names is not None and number < len(self._names) else None

    def facts(self, folder: Path, used: Int[np.ndarray, " used"]) -> dict[str, Any]:
        shape = shrunk(self._size)
        for sheet, start in enumerate(range(0, len(used), PER_SHEET)):
            numbers = torch.from_numpy(self.numbers[used[start : start + PER_SHEET]])
            seen = self._pixels(numbers).clamp(0, 1)
            if shape != self._size:
                seen = functional.interpolate(seen, shape, mode="bilinear", antialias=True)
            write_sheet(folder / "images" / f"{sheet}.png", seen.permute(0, 2, 3, 1).numpy(), "gray", (0.0, 1.0))
        return {"shape": list(shape), "per_sheet": PER_SHEET, "grid": grid_of(self.places, self._size)}


def pixels_of(corpus: Corpus, options: dict[str, Any]) -> Pixels:
    """Pictures of a corpus of images as they were before `options` took their mean off and divided them."""
    mean, std = (options.get(name) for name in ("mean", "std"))

    def pixels(inputs: Int[Tensor, " inputs"]) -> Float[Tensor, "inputs channels height width"]:
        fed = corpus.batches(inputs)
        seen = fed if isinstance(fed, Tensor) else next(iter(fed.values()))
        for values, undo in ((std, torch.mul), (mean, torch.add)):
            if values is not None:
                seen = undo(seen, torch.tensor(values)[:, None, None])
        return seen

    return pixels


def shrunk(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width brought down, in proportion, to at most `LARGEST`."""
    share = min(1.0, LARGEST / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def grid_of(places: int, size: tuple[int, int]) -> list[int] | None:
    """Rows and columns of a grid of so many places, and how many stand before it; None where there is no likely one.

    A file numbers places line by line and doesn't say how long a line is: the grid is that whose sides are most like
    those of the picture. Vision transformers have further places before it, the first of them that of the class; up to
    eight of these are tried where all places make no grid.
    """
    for before in range(min(9, places)):
        count = places - before
        if count < 4:
            break
        sides = [(height, count // height) for height in range(1, count + 1) if count % height == 0]
        unevenness = [max(h * size[1] / (w * size[0]), w * size[0] / (h * size[1])) for h, w in sides]
        best = int(np.argmin(unevenness))
        if unevenness[best] <= UNEVEN:
            return [*sides[best], before]
    return None
