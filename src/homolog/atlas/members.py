"""What do pages tell of one latent of one run: its numbers, and the rows that show it with its codes around them?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from homolog.atlas.activity import SHOWN
from homolog.atlas.around import Around
from homolog.atlas.network_effects import Added
from homolog.atlas.pages import short
from homolog.atlas.reading import Looked


@dataclass(frozen=True)
class RowsToTell:
    """How pages name held-out rows, which places of their inputs they are, and how far around them codes are told."""

    address: Int[np.ndarray, " held_out"]
    place: Int[np.ndarray, " held_out"]
    reach: tuple[int, int] | None


@dataclass(frozen=True)
class Members:
    """What is told of the latents of one dictionary, rounded."""

    whole: dict[str, np.ndarray]
    rows: dict[str, _Rows]
    around: _Places | None

    @classmethod
    def of(cls, one: Looked, rows: RowsToTell) -> Members:
        activity, half = one.activity, one.activity.histogram.shape[1] // 2
        counts = activity.histogram if activity.histogram[:, :half].any() else activity.histogram[:, half:]
        whole = {"active": activity.active, "exponent": activity.exponent, "histogram": counts}
        if one.effects is not None:
            whole |= _effects(one.effects)
        kept = {
            name: _Rows.of(found.row[:, :SHOWN], found.code[:, :SHOWN], rows)
            for name, found in {"top": activity.top, "sample": activity.sample}.items()
        }
        return cls(whole, kept, None if one.around is None else _Places(one.around, short(one.around.code), rows.reach))

    def latent(self, latent: int) -> dict[str, Any]:
        """Of one latent, as lists; a row by its address and its code, and the places around it with their codes."""
        told = {name: values[latent].tolist() for name, values in self.whole.items()}
        first = 0
        for name, kept in self.rows.items():
            count = int(kept.count[latent])
            found = [kept.address[latent, :count].tolist(), kept.code[latent, :count].tolist()]
            if self.around is not None:
                found += self.around.of(latent, first, kept.place[latent, :count].tolist())
                first += SHOWN
            told[name] = [list(row) for row in zip(*found, strict=True)]
        return told


def _effects(added: Added) -> dict[str, np.ndarray]:
    """What latents add to each class, beside the null; of many classes, those that they raise and lower most."""
    if added.own is not None and added.null is not None:
        return {"effect": short(added.own), "null": short(added.null)}
    told = np.stack([added.strongest.which, short(added.strongest.change), short(added.by_chance)], axis=2)
    half = told.shape[1] // 2
    chance = added.null_strongest.change
    largest = np.take_along_axis(chance, np.abs(np.nan_to_num(chance)).argmax(1)[:, None], axis=1)[:, 0]
    return {"raised": told[:, :half], "lowered": told[:, half:], "chance": short(np.abs(largest))}


@dataclass(frozen=True)
class _Rows:
    """Rows that are shown of each latent: their addresses, codes and places, and how many there are."""

    address: Int[np.ndarray, "latents shown"]
    code: Float[np.ndarray, "latents shown"]
    place: Int[np.ndarray, "latents shown"]
    count: Int[np.ndarray, " latents"]

    @classmethod
    def of(
        cls, row: Int[np.ndarray, "latents shown"], code: Float[np.ndarray, "latents shown"], rows: RowsToTell
    ) -> _Rows:
        return cls(rows.address[row], short(code), rows.place[row], (row >= 0).sum(1))


@dataclass(frozen=True)
class _Places:
    around: Around
    code: Float[np.ndarray, " codes"]
    reach: tuple[int, int] | None

    def of(self, latent: int, first: int, own: list[int]) -> list[list[list[Any]]]:
        """Of each shown row, from the `first` on, the places around it and their codes; `own` are their own places."""
        if not own:
            return [[], []]
        part = slice(first, first + len(own))
        starts, stops = (ends[latent, part].tolist() for ends in (self.around.start, self.around.stop))
        # Inputs of a latent stand one behind the other: lists of these alone are made.
        begin = min(starts)
        whole = slice(begin, max(stops))
        places, codes = self.around.place[whole].tolist(), self.code[whole].tolist()
        spans = [(start - begin, stop - begin) for start, stop in zip(starts, stops, strict=True)]
        if self.reach is not None:
            before, behind = self.reach
            spans = [
                (bisect_left(places, at - before, *span), bisect_left(places, at + behind + 1, *span))
                for at, span in zip(own, spans, strict=True)
            ]
        return [[values[start:stop] for start, stop in spans] for values in (places, codes)]
