"""On which inputs is each latent of a dictionary active: the strongest, some at random, and how often how strongly?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

TOP = 8
# Random active inputs, over which effects and maps are averaged; the first of them are shown.
SAMPLE, SHOWN = 32, 8
# On either side of 0.
BINS = 32
# Codes that are held at once: 64 MiB of float32.
CODES = 2**24


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


def observe(dictionary: Dictionary, samples: Samples, priority: Int[np.ndarray, " samples"]) -> Activity:
    """Read all rows once and keep of each latent what is shown; never more than 16 M codes are in memory.

    `priority` is a permutation of the rows: of a latent's active rows those that stand first in it are its random
    sample. So a draw doesn't depend on how the rows are blocked, and runs that share a feature tend to show one input.
    """
    latents = len(dictionary.directions)
    top, sample = _Keeper(latents, TOP), _Keeper(latents, SAMPLE)
    counts, active = _Histogram(latents), np.zeros(latents, np.int64)
    for start, codes in encoded(dictionary, samples):
        row, latent = (index.numpy() for index in codes.nonzero(as_tuple=True))
        code = codes.numpy()[row, latent]
        row = row + start
        top.add(latent, row, code, np.abs(code))
        sample.add(latent, row, code, -priority[row].astype(np.float64))
        counts.add(latent, code)
        active += np.bincount(latent, minlength=latents)
    return Activity(samples.samples, active, top.kept(), sample.kept(), counts.counts, counts.exponent)


def encoded(dictionary: Dictionary, samples: Samples) -> Iterator[tuple[int, Float[Tensor, "rows latents"]]]:
    """Codes of all rows in order, on the CPU: the number of the first row, and so many rows as may be held at once."""
    at_once = max(1, CODES // max(1, len(dictionary.directions)))
    start = 0
    for block in samples.blocks():
        for part in torch.split(block, at_once):
            yield start, dictionary.codes(part).cpu()
            start += len(part)


def codes_at(
    dictionary: Dictionary, samples: Samples, latent: Int[np.ndarray, " pairs"], row: Int[np.ndarray, " pairs"]
) -> Float[np.ndarray, " pairs"]:
    """The codes of given latents on given rows, in one more reading; 0 for row -1."""
    order = np.argsort(row, kind="stable")
    ascending, found = row[order], np.zeros(len(row), np.float32)
    for start, codes in encoded(dictionary, samples):
        here = slice(*np.searchsorted(ascending, [start, start + len(codes)]))
        found[order[here]] = codes.numpy()[ascending[here] - start, latent[order[here]]]
    return found


class _Keeper:
    """Keeps of each latent the rows of the largest keys, as rows come in; of equal keys the earlier row."""

    def __init__(self, latents: int, most: int) -> None:
        self.most = most
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
        order = np.lexsort((row, -key, latent))
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
        # Stable: what was kept stands first, so of equal keys the earlier row stays.
        best = np.argsort(-joined["_key"], axis=1, kind="stable")[:, : self.most]
        for name, values in joined.items():
            getattr(self, name)[touched] = np.take_along_axis(values, best, axis=1)

    def kept(self) -> Kept:
        return Kept(self._row, self._code)


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
