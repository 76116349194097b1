"""How is an input shown: as a picture, as text with a colour for each token, or as the numbers that name it?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from homolog.atlas.pages import write_script
from homolog.store.activations import Rows
from homolog.tasks.base import UNKNOWN


class Shown(ABC):
    """The held-out rows of an experiment, which all its runs have read in one order, and the inputs that they are of.

    A row is a place of an input: a token of a sequence, a place of a picture, or all of it. `per_page` inputs stand in
    one file of data.
    """

    kind: str
    noun: str
    """What a row is, in the plural."""
    per_page = 256
    reach: tuple[int, int] | None = None
    """How many places before a row and behind it its latent's codes are told; None for all of its input."""
    unit: Int[np.ndarray, " held_out"]
    """Number of the input of each row, among those that have held-out rows."""
    place: Int[np.ndarray, " held_out"]
    """Which place of it the row is; 0 where it is all of it."""
    places: int
    """How many places an input has at most."""

    def __init__(self, rows: Rows, index: Int[np.ndarray, " held_out"], places: int = 1) -> None:
        self.rows, self.index, self.places = rows, index, places
        name = rows.input_id.numpy()[index]
        number, self.place = np.divmod(name, places)
        self.numbers, first, self.unit = np.unique(number, return_index=True, return_inverse=True)
        label = rows.label.numpy()[index[first]]
        self.label = [None if one == UNKNOWN else one for one in label.tolist()]

    @property
    def grouped(self) -> Int[np.ndarray, " held_out"] | None:
        """The inputs of rows, where several rows are of one input."""
        return self.unit if self.places > 1 else None

    def addresses(self, used: Int[np.ndarray, " used"]) -> Int[np.ndarray, " held_out"]:
        """How pages name rows, where these inputs (ascending) are all that is written: input x places + place."""
        number = np.full(len(self.numbers), -1)
        number[used] = np.arange(len(used))
        return np.asarray(number[self.unit] * self.places + self.place)

    def words(self) -> list[str | None]:
        """By held-out row, in a word what it is: its class here; None where that isn't known."""
        said = [self.class_name(one) for one in self.label]
        return [said[unit] for unit in self.unit.tolist()]

    def class_name(self, number: int | None) -> str | None:
        """What a class is called; its number where it has no name."""
        return None if number is None else str(number)

    def logit_name(self, number: int) -> str | None:
        """What the class is called that a logit is of, where it has a name."""
        return None

    def write(self, folder: Path, used: Int[np.ndarray, " used"]) -> dict[str, Any]:
        """Write what pages ask for of some inputs into `folder`; gives what the script must know of it."""
        for page, start in enumerate(range(0, len(used), self.per_page)):
            write_script(folder, f"inputs/{page}", self.told(used[start : start + self.per_page]))
        told = {"kind": self.kind, "noun": self.noun, "per_page": self.per_page, "places": self.places}
        return told | {"inputs": len(used), **self.facts(folder, used)}

    @abstractmethod
    def told(self, units: Int[np.ndarray, " units"]) -> list[Any]:
        """What is told of some inputs."""

    def facts(self, folder: Path, used: Int[np.ndarray, " used"]) -> dict[str, Any]:
        """What the script must know further."""
        return {}


class Numbers(Shown):
    """Rows of which nothing is known but what the file says along `sample`."""

    kind, noun = "numbers", "inputs"

    def told(self, units: Int[np.ndarray, " units"]) -> list[Any]:
        first = np.searchsorted(np.sort(self.unit), units)
        at = self.index[np.argsort(self.unit, kind="stable")[first]].tolist()
        more = sorted(self.rows.more.items())
        return [
            [
                int(self.numbers[unit]),
                self.class_name(self.label[unit]),
                [[name, int(values[row])] for name, values in more],
            ]
            for unit, row in zip(units.tolist(), at, strict=True)
        ]
