"""What is a network fed of a text: sequences of tokens cut from one long stream, each within one part of the split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from homolog.corpora.base import Batch, Corpus
from homolog.corpora.split import PARTS
from homolog.corpora.tokenizers import Tokenizer
from homolog.tasks.base import UNKNOWN

Feed = Literal["keywords", "tokens"]


@dataclass(frozen=True)
class Stream:
    """Documents as tokens, one behind the other, and the pieces of it that become inputs."""

    tokens: Int[np.ndarray, " tokens"]
    ends: Int[np.ndarray, " documents"]
    """Where each document ends in the stream."""
    documents: Int[np.ndarray, " documents"]
    """Number of each document in its source."""
    first: Int[np.ndarray, " inputs"]
    last: Int[np.ndarray, " inputs"]
    """The first token of each input, and the first one behind it."""
    part: Int[np.ndarray, " inputs"]
    """Index of `PARTS`."""


class Text(Corpus):
    """Sequences of `positions` tokens: prefix, a piece of the stream, suffix, and padding where the piece is shorter.

    `prefix` and `suffix` stand around each sequence; those around documents are in the stream already. `feed`:
    ``keywords`` (``input_ids`` and ``attention_mask``), or ``tokens``: token ids, alone.
    """

    positions: int

    def __init__(
        self,
        stream: Stream,
        tokenizer: Tokenizer,
        length: int,
        prefix: tuple[int, ...],
        suffix: tuple[int, ...],
        feed: Feed,
    ) -> None:
        self.stream, self.tokenizer, self.positions, self.feed = stream, tokenizer, length, feed
        parts = torch.tensor(PARTS, dtype=torch.int8)[torch.from_numpy(stream.part).long()]
        self.split, self.half = parts.unbind(1)
        self.label = torch.full((len(parts),), UNKNOWN)
        self._prefix, self._suffix = torch.tensor(prefix, dtype=torch.int64), torch.tensor(suffix, dtype=torch.int64)
        self._special = torch.zeros(tokenizer.vocabulary, dtype=torch.bool)
        self._special[list(tokenizer.special)] = True
        padded = bool((stream.last - stream.first < length - len(prefix) - len(suffix)).any())
        self.vocabulary = 1 + max(
            [int(stream.tokens.max()), *prefix, *suffix, *([tokenizer.padding] if padded else ())]
        )

    def batches(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        tokens = self._tokens(inputs)
        if self.feed == "tokens":
            return tokens
        return {"input_ids": tokens, "attention_mask": self._seen(inputs).long()}

    def keep(self, inputs: Int[Tensor, " inputs"]) -> Bool[Tensor, "inputs positions"]:
        """Neither padding nor special tokens."""
        return self._seen(inputs) & ~self._special[self._tokens(inputs)]

    def named(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Int[Tensor, "inputs positions"]]:
        """``token_id``, and ``document``: its number in the source, `UNKNOWN` outside the text."""
        places, text = self._places(inputs)
        document = np.searchsorted(self.stream.ends, places.numpy(), side="right")
        number = torch.from_numpy(self.stream.documents[document]).long()
        return {"token_id": self._tokens(inputs), "document": torch.where(text, number, UNKNOWN)}

    def _places(
        self, inputs: Int[Tensor, " inputs"]
    ) -> tuple[Int[Tensor, "inputs positions"], Bool[Tensor, "inputs positions"]]:
        """Where in the stream each position is (anywhere, where it is not), and whether it is there."""
        first, last = (
            torch.from_numpy(ends[inputs.numpy()])[:, None] for ends in (self.stream.first, self.stream.last)
        )
        places = first + torch.arange(self.positions) - len(self._prefix)
        text = (places >= first) & (places < last)
        return torch.where(text, places, first), text

    def _sizes(self, inputs: Int[Tensor, " inputs"]) -> Int[Tensor, " inputs"]:
        numbers = inputs.numpy()
        return torch.from_numpy(self.stream.last[numbers] - self.stream.first[numbers])

    def _seen(self, inputs: Int[Tensor, " inputs"]) -> Bool[Tensor, "inputs positions"]:
        """All but padding."""
        return torch.arange(self.positions) < (len(self._prefix) + self._sizes(inputs) + len(self._suffix))[:, None]

    def _tokens(self, inputs: Int[Tensor, " inputs"]) -> Int[Tensor, "inputs positions"]:
        places, text = self._places(inputs)
        tokens = torch.from_numpy(self.stream.tokens[places.numpy()]).long()
        tokens = torch.where(text, tokens, self.tokenizer.padding)
        tokens[:, : len(self._prefix)] = self._prefix
        behind = len(self._prefix) + self._sizes(inputs)[:, None] + torch.arange(len(self._suffix))
        return tokens.scatter_(1, behind, self._suffix.expand(behind.shape))
