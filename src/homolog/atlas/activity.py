"""On which inputs is each latent of a dictionary active: the strongest, some at random, and how often how strongly?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

TOP = 8
# Random active inputs, over which effects and maps are averaged; the first of them are shown.
SAMPLE, SHOWN = 32, 8
# On either side of 0.
BINS = 32
# Codes that are held at once: 64 MiB of float32.
CODES = 2**24
# Those that aren't 0, of which so many are kept for a second reading: 320 MiB.
REMEMBERED = 2**24


@dataclass(frozen=True)
class Kept:
    """The rows that were kept of each latent, best first, with their codes; -1 and 0 behind the last."""

    row: Int[np.ndarray, "latents kept"]
    code: Float[np.ndarray, "latents kept"]


@dataclass(frozen=True)
class Activity:
    """What some rows say of each latent. Rows are numbered as they were read."""

    rows: int
    active: Int[np.ndarray, " latents"]
    """Rows with a code that isn't 0."""
    top: Kept
    """Those of the largest codes, by size."""
    sample: Kept
    """Active rows drawn at random, without replacement."""
    histogram: Int[np.ndarray, "latents bins"]
    """Counts of codes that aren't 0, in 2 x 32 bins of equal width from -2**exponent to 2**exponent."""
    exponent: Int[np.ndarray, " latents"]

    @property
    def rate(self) -> Float[np.ndarray, " latents"]:
        """Share of the rows on which each latent is active."""
        return self.active / max(1, self.rows)


class Active(NamedTuple):
    """Codes that aren't 0: latent, row and code of each, rows ascending."""

    latent: Int[np.ndarray, " pairs"]
    row: Int[np.ndarray, " pairs"]
    code: Float[np.ndarray, " pairs"]


class ActiveCodes:
    """A dictionary's codes on some rows, as far as they aren't 0, in blocks; never more than 16 M codes are in memory.

    They are computed when they are first gone through; few enough are remembered, so that they are computed once.
    """

    def __init__(self, dictionary: Dictionary, samples: Samples) -> None:
        self._dictionary, self._samples = dictionary, samples
        self.latents, self.rows = len(dictionary.directions), samples.samples
        self._remembered: list[Active] | None = None

    def __iter__(self) -> Iterator[Active]:
        if self._remembered is not None:
            yield from self._remembered
            return
        found: list[Active] = []
        count = 0
        for block in self._computed():
            count += len(block.row)
            if count <= REMEMBERED:
                found.append(block)
            else:
                found.clear()
            yield block
        self._remembered = found if count <= REMEMBERED else None

    def _computed(self) -> Iterator[Active]:
        at_once = max(1, CODES // max(1, self.latents))
        start = 0
        for block in self._samples.blocks():
            for part in torch.split(block, at_once):
                codes = self._dictionary.codes(part).cpu()
                row, latent = codes.nonzero(as_tuple=True)
                yield Active(latent.numpy(), row.numpy() + start, codes[row, latent].numpy())
                start += len(part)


def observe(
    codes: ActiveCodes,
    priority: Int[np.ndarray, " samples"],
    unit: Int[np.ndarray, " samples"] | None = None,
) -> Activity:
    """Go through all codes once and keep of each latent what is shown.

    `priority` is a permutation of the rows: of a latent's active rows those that stand first in it are its random
    sample. So a draw doesn't depend on how the rows are blocked, and runs that share a feature tend to show one input.
    `unit` says to which input (sequence, picture) each row belongs, where several do: then of each input only the
    strongest row is among the strongest, since its neighbours show nothing new.
    """
    latents = codes.latents
    top, sample = _Keeper(latents, TOP, unit), _Keeper(latents, SAMPLE)
    counts, active = _Histogram(latents), np.zeros(latents, np.int64)
    for latent, row, code in codes:
        top.add(latent, row, code, np.abs(code))
        sample.add(latent, row, code, -priority[row].astype(np.float64))
        counts.add(latent, code)
        active += np.bincount(latent, minlength=latents)
    return Activity(codes.rows, active, top.kept(), sample.kept(), counts.counts, counts.exponent)


class _Keeper:
    """Keeps of each latent the rows of the largest keys, as rows come in; of equal keys the earlier row.

    With `unit`, by row, at most one row of each.
    """

    def __init__(self, latents: int, most: int, unit: Int[np.ndarray, " samples"] | None = None) -> None:
        self.most, self._unit = most, unit
        self._row = np.full((latents, most), -1)
        self._code = np.zeros((latents, most), np.float32)
        self._key = np.full((latents, most), -np.inf)

    def add(
        self,
        latent: Int[np.ndarray, " pairs"],
        row: Int[np.ndarray, " pairs"],
        code: Float[np.ndarray, " pairs"],
        key: Float[np.ndarray, " pairs"],
    ) -> None:
        """Take in pairs of a latent and a row that is later than all before."""
        better = key > self._key[latent, -1]
        latent, row, code, key = latent[better], row[better], code[better], key[better]
        order = self._candidates(latent, row, key)
        latent = latent[order]
        first = np.searchsorted(latent, latent)
        place = np.arange(len(latent)) - first
        order, latent, place = order[place < self.most], latent[place < self.most], place[place < self.most]
        touched, position = np.unique(latent, return_inverse=True)
        new = {"_row": (row, -1), "_code": (code, 0), "_key": (key, -np.inf)}
        joined = {}
        for name, (values, empty) in new.items():
            kept = getattr(self, name)
            beside = np.full((len(touched), self.most), empty, kept.dtype)
            beside[position, place] = values[order]
            joined[name] = np.concatenate([kept[touched], beside], axis=1)
        for name, values in self._best(joined).items():
            getattr(self, name)[touched] = values

    def kept(self) -> Kept:
        return Kept(self._row, self._code)

    def _candidates(
        self, latent: Int[np.ndarray, " pairs"], row: Int[np.ndarray, " pairs"], key: Float[np.ndarray, " pairs"]
    ) -> Int[np.ndarray, " candidates"]:
        """By latent, best first; the best of each unit alone, where there are units."""
        order = np.lexsort((row, -key, latent))
        if self._unit is None:
            return order
        pair = latent[order] * (int(self._unit.max(initial=0)) + 1) + self._unit[row[order]]
        _, best = np.unique(pair, return_index=True)
        return order[np.sort(best)]

    def _best(self, joined: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """By latent the best of what was kept and what came, which stand side by side."""
        joined = _by_key(joined)
        if self._unit is not None:
            unit = np.where(joined["_row"] >= 0, self._unit[joined["_row"]], -1)
            again = np.tril(unit[:, :, None] == unit[:, None, :], -1).any(2)
            for name, empty in (("_row", -1), ("_code", 0), ("_key", -np.inf)):
                joined[name][again] = empty
            joined = _by_key(joined)
        return {name: values[:, : self.most] for name, values in joined.items()}


def _by_key(joined: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    # Stable: what was kept stands first, so of equal keys the earlier row stays.
    best = np.argsort(-joined["_key"], axis=1, kind="stable")
    return {name: np.take_along_axis(values, best, axis=1) for name, values in joined.items()}


@dataclass
class _Histogram:
    """Counts of codes by latent over a range that doubles when a code doesn't fit: two bins become one."""

    latents: int
    counts: Int[np.ndarray, "latents bins"] = field(init=False)
    exponent: Int[np.ndarray, " latents"] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.latents, 2 * BINS), np.int64)
        # The least that float32 has: whatever comes first sets the range.
        self.exponent = np.full(self.latents, -150)

    def add(self, latent: Int[np.ndarray, " pairs"], code: Float[np.ndarray, " pairs"]) -> None:
        needed = self.exponent.copy()
        # |code| < 2**exponent, strictly.
        np.maximum.at(needed, latent, np.frexp(code)[1])
        self._widen(needed)
        place = np.floor(np.ldexp(code.astype(np.float64), -self.exponent[latent]) * BINS).astype(np.int64) + BINS
        flat = np.bincount(latent * 2 * BINS + place, minlength=self.counts.size)
        self.counts += flat.reshape(self.counts.shape)

    def _widen(self, exponent: Int[np.ndarray, " latents"]) -> None:
        grown = np.flatnonzero(exponent > self.exponent)
        doublings = np.minimum(exponent[grown] - self.exponent[grown], 62)
        # floor(x / 2) of a bin's floor is the floor in the range that is twice as wide.
        place = ((np.arange(2 * BINS) - BINS) >> doublings[:, None]) + BINS
        wider = np.zeros((len(grown), 2 * BINS), np.int64)
        np.add.at(wider, (np.arange(len(grown))[:, None], place), self.counts[grown])
        self.counts[grown], self.exponent[grown] = wider, exponent[grown]
