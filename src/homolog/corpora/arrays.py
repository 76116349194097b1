"""What is a network fed of arrays: their rows, and what those that aren't fed say of each row?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from homolog.corpora.base import Batch, Corpus
from homolog.corpora.split import PARTS, draw_split
from homolog.tasks.base import UNKNOWN

# Arrays by these names aren't fed: one number for each input, and for `keep` one for each place.
FACTS = ("document", "label", "split", "half", "keep")
# The name of an array that a network gets alone, without a keyword.
ALONE = ""


class Arrays(Corpus):
    """Arrays by keyword, of which the first dim is the input: floats are fed as float32, whole numbers as int64.

    `FACTS` among them aren't fed. With ``input_ids`` (input, position) each token is a row, except where ``keep``, or
    else ``attention_mask``, is 0; without, `positions` says of how many rows an input is, None of one. Inputs are split
    as ``split`` (0 train, 1 test) and ``half`` (0 a, 1 b) say, otherwise at random, by ``document`` if that is there.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], name: str, test_fraction: float, positions: int | None = None
    ) -> None:
        self._name, self._arrays = name, dict(arrays)
        self._fed = [key for key in arrays if key not in FACTS]
        inputs = self._inputs()
        self.positions = positions
        if (tokens := self._arrays.get("input_ids")) is not None:
            if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or tokens.min() < 0:
                raise self._unfit("input_ids", "whole numbers (input, position), none below 0,")
            self.positions, self.vocabulary = tokens.shape[1], int(tokens.max()) + 1
        masks = ("keep", "attention_mask") if tokens is not None else ("keep",)
        self._mask = next((key for key in masks if key in arrays), None)
        if self._mask is not None and self._arrays[self._mask].shape != (inputs, self.positions or 1):
            raise self._unfit(self._mask, f"the shape {(inputs, self.positions or 1)}, a number for each place,")
        self._document = self._whole("document")
        label = self._whole("label")
        self.label = torch.full((inputs,), UNKNOWN) if label is None else torch.from_numpy(label)
        split, half = self._whole("split"), self._whole("half")
        if split is None or half is None:
            one = np.arange(inputs) if self._document is None else self._document
            split, half = np.array(PARTS)[draw_split(one, np.ones(inputs, int), test_fraction, name)].T
        self.split, self.half = (torch.from_numpy(values.astype(np.int8)) for values in (split, half))

    def _inputs(self) -> int:
        counts = {key: len(array) if array.ndim else 0 for key, array in self._arrays.items()}
        if not self._fed or min(counts.values()) != max(counts.values()) or not any(counts.values()):
            told = ", ".join(f"{count} of {key or 'the array'}" for key, count in counts.items()) or "no array"
            raise ValueError(
                f"{self._name}: there is {told}, but at least one array to feed, and as many inputs of each, are "
                f"needed (not fed are {', '.join(FACTS)})."
            )
        return next(iter(counts.values()))

    def _unfit(self, key: str, needed: str) -> ValueError:
        array = self._arrays[key]
        return ValueError(f"{self._name}: {key} is {array.dtype} of shape {array.shape}, but {needed} is needed.")

    def _whole(self, key: str) -> Int[np.ndarray, " inputs"] | None:
        array = self._arrays.get(key)
        if array is None:
            return None
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise self._unfit(key, "a whole number for each input")
        if key in ("split", "half") and not np.isin(array, (0, 1)).all():
            raise ValueError(f"{self._name}: {key} goes from {array.min()} to {array.max()}; allowed: 0 and 1.")
        return np.array(array, np.int64)

    def batches(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        fed = {key: _as_fed(self._arrays[key][inputs.numpy()]) for key in self._fed}
        return fed.get(ALONE, fed)

    def keep(self, inputs: Int[Tensor, " inputs"]) -> Bool[Tensor, "inputs positions"]:
        if self._mask is None:
            return super().keep(inputs)
        return torch.from_numpy(self._arrays[self._mask][inputs.numpy()] != 0)

    def named(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Int[Tensor, "inputs positions"]]:
        """``token_id`` and ``document``, as far as the arrays tell them."""
        found = {}
        if "input_ids" in self._fed:
            found["token_id"] = _as_fed(self._arrays["input_ids"][inputs.numpy()])
        if self._document is not None:
            found["document"] = torch.from_numpy(self._document)[inputs, None].expand(-1, self.positions or 1)
        return found


def _as_fed(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32 if values.dtype.kind == "f" else np.int64))


@dataclass(frozen=True, kw_only=True)
class NumpyArrays:
    """One .npy, mapped rather than read, fed alone or as `keyword`; or an .npz, whose arrays are fed by their names."""

    name: ClassVar[str] = "arrays"
    path: str
    keyword: str | None = None
    positions: int | None = None
    test_fraction: float = 0.2

    def corpus(self) -> Arrays:
        """Raises ValueError, one line, for a file that is absent or unfit."""
        path = Path(self.path)
        try:
            opened: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            several = path.suffix == ".npz"
            arrays = {key: opened[key] for key in opened.files} if several else {self.keyword or ALONE: opened}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"arrays: {path} can't be read as .npy or .npz of numbers ({error}).") from error
        return Arrays(arrays, f"arrays ({path})", self.test_fraction, self.positions)
