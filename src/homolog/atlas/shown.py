"""How is an input shown: as an image, as text with a colour for each token, or as the numbers that name it?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from homolog.atlas.pages import write_pages
from homolog.atlas.sheets import PER_SHEET, write_sheets
from homolog.store.activations import Rows
from homolog.tasks.base import UNKNOWN

# Tokens on either side of the one that is shown.
AROUND = 8


class Shown(ABC):
    """The held-out rows of an experiment, which all its runs have read in one order.

    `context`: rows whose codes are shown beside that of a row itself, its own place in the middle; -1 where there is
    none, and no columns where a row stands for itself.
    """

    kind: str
    context: Int[np.ndarray, "rows places"]

    def __init__(self, rows: Rows, index: Int[np.ndarray, " held_out"]) -> None:
        self.rows, self.index = rows, index
        self.context = np.empty((len(index), 0), np.int64)

    def write(self, folder: Path) -> dict[str, Any]:
        """Write what pages ask for, into `folder`; gives what the script must know of it."""
        names, labels = self.rows.input_id.numpy()[self.index], self.rows.label.numpy()[self.index]
        told = [
            [name, None if label == UNKNOWN else label, *self.more(row)]
            for row, (name, label) in enumerate(zip(names.tolist(), labels.tolist(), strict=True))
        ]
        return {"kind": self.kind, "per_page": write_pages(folder, "inputs", told, 256), **self.facts(folder)}

    @abstractmethod
    def more(self, row: int) -> list[Any]:
        """What is told of a row besides its name and its class."""

    def facts(self, folder: Path) -> dict[str, Any]:
        """What the script must know further."""
        return {}


class Numbers(Shown):
    """Rows that others recorded: nothing is known of an input but what the file says along `sample`."""

    kind = "numbers"

    def more(self, row: int) -> list[Any]:
        at = int(self.index[row])
        return [[[name, int(values[at])] for name, values in sorted(self.rows.more.items())]]


class Images(Shown):
    """Grey images of one size, `values` (samples, height x width) in [0, 1], on sheets of which pages show places."""

    kind = "images"

    def __init__(
        self,
        rows: Rows,
        index: Int[np.ndarray, " held_out"],
        values: Float[np.ndarray, "samples pixels"],
        shape: tuple[int, int],
    ) -> None:
        super().__init__(rows, index)
        self._values, self._shape = values, shape

    def more(self, row: int) -> list[Any]:
        return []

    def facts(self, folder: Path) -> dict[str, Any]:
        images = self._values[self.index].reshape(-1, *self._shape)
        write_sheets(folder / "images", images, PER_SHEET, "gray", (0.0, 1.0))
        return {"shape": list(self._shape), "per_sheet": PER_SHEET}


class Text(Shown):
    """Tokens in their documents: a row is shown between its neighbours, as far as these are held out too.

    `vocabulary` gives the text of each token id; the rows need whole numbers named token_id, document and position.
    Raises ValueError where the vocabulary is too small.
    """

    kind = "text"

    def __init__(self, rows: Rows, index: Int[np.ndarray, " held_out"], vocabulary: list[str]) -> None:
        super().__init__(rows, index)
        token, document, position = (rows.named(name).numpy()[index] for name in ("token_id", "document", "position"))
        if len(token) and not 0 <= token.min() <= token.max() < len(vocabulary):
            raise ValueError(
                f"token_id goes from {token.min()} to {token.max()}, but the vocabulary has {len(vocabulary)} tokens: "
                "give that of the tokenizer by which the rows were made."
            )
        self._token, self._vocabulary = token, vocabulary
        self.context = neighbouring(document, position)

    def more(self, row: int) -> list[Any]:
        around = self.context[row]
        return [["" if one < 0 else self._vocabulary[self._token[one]] for one in around.tolist()]]


def neighbouring(
    document: Int[np.ndarray, " rows"], position: Int[np.ndarray, " rows"], around: int = AROUND
) -> Int[np.ndarray, "rows places"]:
    """By row: the rows of its document from `around` positions before it to as many behind it; -1 for none."""
    # Wide enough that no position of one document, moved, is a position of the next.
    width = int(position.max(initial=0)) + 2 * around + 1
    place = document.astype(np.int64) * width + position + around
    order = np.argsort(place, kind="stable")
    ascending = np.append(place[order], -1)
    wanted = place[:, None] + np.arange(-around, around + 1)
    at = np.searchsorted(ascending[:-1], wanted)
    return np.where(ascending[at] == wanted, order[np.minimum(at, len(order) - 1)], -1)
