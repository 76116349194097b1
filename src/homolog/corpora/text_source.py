"""How do documents become sequences: counted, split, tokenised, packed, one at a time, whatever they come from?"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int, Int8, UInt8

from homolog.corpora.split import PARTS, draw_split
from homolog.corpora.spool import Spool
from homolog.corpora.text import Feed, Stream, Text
from homolog.corpora.tokenizers import Tokenizer, tokenizer_of
from homolog.tasks.base import TRAIN

# Characters that are tokenised at once, so that a tokenizer with threads has something to share out.
AT_ONCE = 1_000_000
SpecialTokens = Literal["documents", "sequences", "none"]


@dataclass(frozen=True)
class Texts:
    """The documents of a source, in UTF-8, one behind the other."""

    encoded: UInt8[np.ndarray, " bytes"]
    ends: Int[np.ndarray, " documents"]
    identity: Int[np.ndarray, " documents"]
    """A number that equal documents share."""
    characters: Int[np.ndarray, " documents"]

    def read(self, wanted: Bool[np.ndarray, " documents"]) -> Iterator[tuple[int, str]]:
        """Number and text of each document that is wanted."""
        for number in np.nonzero(wanted)[0].tolist():
            begin = self.ends[number - 1] if number else 0
            yield number, self.encoded[begin : self.ends[number]].tobytes().decode()


@dataclass(frozen=True, kw_only=True)
class TextSource(ABC):
    """Documents, and how they are tokenised and cut into sequences of `length` tokens.

    Inputs stand by part (training half a, half b, test half a, half b), in each in the order of the source. Packed: the
    documents of a part one behind the other, what is left at its end (less than one sequence) is dropped. Not packed:
    each sequence holds one document, or a piece of one that is longer, and is filled up with padding. No part shares
    a sequence with another, so that a network's context never reaches over.

    The source is read once; text and tokens are kept in temporary files, and memory holds a few numbers for each
    document and each sequence.
    """

    name: ClassVar[str]
    tokenizer: str = "bytes"
    vocabulary: int | None = None
    length: int = 128
    packed: bool = True
    special_tokens: SpecialTokens = "documents"
    end_of_document: str | None = None
    feed: Feed = "keywords"
    test_fraction: float = 0.2
    characters: int | None = None

    @abstractmethod
    def documents(self) -> Iterator[str]:
        """The documents, in a fixed order."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where the documents come from, for messages."""

    def corpus(self) -> Text:
        """Read, split, tokenise and pack. Raises ValueError for no text, too little of it, and unfit options."""
        texts = self._texts()
        part = draw_split(texts.identity, texts.characters, self.test_fraction, self.name, self.characters)
        training = np.isin(part, [index for index, (split, _) in enumerate(PARTS) if split == TRAIN])
        tokenizer = tokenizer_of(
            self.tokenizer, self.vocabulary, self.end_of_document, lambda: (text for _, text in texts.read(training))
        )
        if self.special_tokens != "none" and not (tokenizer.prefix or tokenizer.suffix):
            raise ValueError(
                f"tokenizer {self.tokenizer} puts no special tokens around a text, and special_tokens is "
                f"{self.special_tokens}: name one with `end_of_document`, such as <|endoftext|>, or set it to none."
            )
        around = (tokenizer.prefix, tokenizer.suffix) if self.special_tokens == "sequences" else ((), ())
        room = self.length - len(around[0]) - len(around[1])
        if room < 1:
            raise ValueError(f"length: {self.length}, of which special tokens leave {room} for text: set a larger one.")
        return Text(self._stream(texts, tokenizer, part, room), tokenizer, self.length, *around, self.feed)

    def _texts(self) -> Texts:
        """The documents that hold any text, without the white space around it."""
        spool, seen = Spool(np.uint8), dict[bytes, int]()
        ends, identity, characters = [], [], []
        for document in self.documents():
            if text := document.strip():
                encoded = text.encode()
                spool.append(np.frombuffer(encoded, np.uint8))
                ends.append(spool.rows)
                identity.append(seen.setdefault(hashlib.blake2b(encoded, digest_size=16).digest(), len(seen)))
                characters.append(len(text))
        if not ends:
            raise ValueError(f"{self.name}: no text in {self.origin}: give files that hold some.")
        return Texts(spool.array(), np.array(ends), np.array(identity), np.array(characters))

    def _stream(self, texts: Texts, tokenizer: Tokenizer, part: Int8[np.ndarray, " documents"], room: int) -> Stream:
        tokens = Spool(np.int32)
        ends, documents, pieces = [], [], []
        for index in range(len(PARTS)):
            starts, begin = [], tokens.rows
            for number, ids in self._encoded(tokenizer, texts.read(part == index)):
                starts.append(tokens.rows)
                tokens.append(ids)
                ends.append(tokens.rows)
                documents.append(number)
            if self.packed:
                bounds = _pieces(np.array([begin]), np.array([tokens.rows]), room, whole=True)
            else:
                bounds = _pieces(np.array(starts), np.array(ends[-len(starts) :]), room, whole=False)
            if not len(bounds):
                raise ValueError(
                    f"{self.name}: {tokens.rows - begin} tokens in one of four parts ({self.origin}), less than one "
                    f"sequence of length {self.length}: give more text, or set a smaller `length` or packed: false."
                )
            pieces.append(np.column_stack([bounds, np.full(len(bounds), index)]))
        first, last, which = np.concatenate(pieces).T
        return Stream(tokens.array(), np.array(ends), np.array(documents), first, last, which)

    def _encoded(
        self, tokenizer: Tokenizer, texts: Iterator[tuple[int, str]]
    ) -> Iterator[tuple[int, Int[np.ndarray, " tokens"]]]:
        """Number and tokens of each document; with what stands around a document, where that is asked for."""
        around = (tokenizer.prefix, tokenizer.suffix) if self.special_tokens == "documents" else ((), ())
        before, behind = (np.array(ids, np.int32) for ids in around)
        for block in _blocks(texts):
            encoded = tokenizer.encode([text for _, text in block])
            for (number, _), ids in zip(block, encoded, strict=True):
                yield number, np.concatenate([before, ids, behind])


def _blocks(texts: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    characters = 0
    for number, text in texts:
        block.append((number, text))
        characters += len(text)
        if characters >= AT_ONCE:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _pieces(
    starts: Int[np.ndarray, " spans"], ends: Int[np.ndarray, " spans"], room: int, whole: bool
) -> Int[np.ndarray, "pieces 2"]:
    """Spans cut into pieces of `room`, the shorter one at the end of each left out if only `whole` ones are wanted."""
    sizes = ends - starts
    counts = sizes // room if whole else -(-sizes // room)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.repeat(starts, counts) + within * room
    return np.column_stack([first, np.minimum(first + room, np.repeat(ends, counts))])
