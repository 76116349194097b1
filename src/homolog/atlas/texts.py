"""How are tokens shown: each as a text that one can see, within the sequence in which networks read it?"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from homolog.atlas.shown import Shown
from homolog.corpora.text import Text
from homolog.corpora.tokenizers import Tokenizer
from homolog.store.activations import Rows
from homolog.tasks.base import UNKNOWN

# Tokens of a page of data, of at least one sequence.
PER_PAGE = 2048
# Tokens before and behind the one shown whose codes are told.
BEFORE, BEHIND = 96, 32
_SIGNS = {"\n": "↵", "\t": "⇥", "\r": "␍"}
# Controls, invisible formats (among them those that turn the direction of writing), separators, what has no meaning.
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs")


class Texts(Shown):
    """Tokens in their sequences, special ones among them; what stands behind the last row of a sequence is left out."""

    kind, noun = "text", "tokens"
    reach = BEFORE, BEHIND

    def __init__(self, rows: Rows, index: Int[np.ndarray, " held_out"], corpus: Text) -> None:
        super().__init__(rows, index, corpus.positions)
        self.per_page = max(1, PER_PAGE // corpus.positions)
        self._corpus, self.vocabulary = corpus, texts_of(corpus.tokenizer)
        self._end = np.zeros(len(self.numbers), np.int64)
        np.maximum.at(self._end, self.unit, self.place + 1)

    def told(self, units: Int[np.ndarray, " units"]) -> list[Any]:
        """Number in the corpus, tokens, and by place where a document begins, which one."""
        numbers = self.numbers[units]
        named = self._corpus.named(torch.from_numpy(numbers))
        found = []
        for line, unit in enumerate(units.tolist()):
            end = self._end[unit]
            tokens = [self.vocabulary[token] for token in named["token_id"][line, :end].tolist()]
            found.append([int(numbers[line]), tokens, _begins(named["document"][line, :end].tolist())])
        return found

    def words(self) -> list[str | None]:
        """The token of each row."""
        return [self.vocabulary[one] for one in self.rows.named("token_id")[torch.from_numpy(self.index)].tolist()]

    def logit_name(self, number: int) -> str | None:
        """A token: of a text, logits are those of the next one."""
        return self.vocabulary[number] if number < len(self.vocabulary) else None

    def facts(self, folder: Path, used: Int[np.ndarray, " used"]) -> dict[str, Any]:
        return {"before": BEFORE, "behind": BEHIND}


def _begins(documents: list[int]) -> list[list[int]]:
    """Place and number of each document, special tokens around sequences left out."""
    found: list[list[int]] = []
    for place, document in enumerate(documents):
        if document != UNKNOWN and (not found or found[-1][1] != document):
            found.append([place, document])
    return found


def texts_of(tokenizer: Tokenizer) -> list[str]:
    """By token id, what is shown of it."""
    marks = tokenizer.marks()
    return [marks.get(token) or visible(piece) or f"⟨{token}⟩" for token, piece in enumerate(tokenizer.pieces())]


def visible(piece: bytes) -> str:
    """A piece of text as one can see it: signs for the ends of lines and tabs, ⟨codes⟩ for what can't be seen.

    Bytes that are no whole character stand as ⟨c3⟩. A mark that would stand on the character before has a circle of
    its own.
    """
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return "".join(f"⟨{byte:02x}⟩" for byte in piece)
    shown = "".join(map(_visible, text))
    return f"◌{shown}" if text and unicodedata.category(text[0]) in ("Mn", "Me", "Mc") else shown


def _visible(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    unseen = character != " " and unicodedata.category(character) in _UNSEEN
    return f"⟨{ord(character):x}⟩" if unseen else character
