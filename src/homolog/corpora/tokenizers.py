"""Which numbers stand for a text: bytes, the words that are frequent in it, or the tokens of a given tokenizer?"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Int32

from homolog.corpora.paths import BUILT_IN_TOKENIZERS, tokenizer_file

BUILT_IN = ("bytes", "words")
# A word, number or sign with the space before it; any other character alone. Together they are the whole text.
_WORD = re.compile(r" ?(?:[^\W\d_]+|\d+|[^\w\s])|.", re.DOTALL)
_END = 256
# Ids of frequent words, the bytes and the end.
VOCABULARY = 4096


class Tokenizer(ABC):
    """Texts to token ids. `prefix` and `suffix` are put around a text; `special` ids stand for none of it."""

    vocabulary: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    special: frozenset[int]
    padding: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[Int32[np.ndarray, " tokens"]]:
        """The tokens of each text, without prefix and suffix."""

    @abstractmethod
    def pieces(self) -> list[bytes]:
        """The text that each token id stands for behind another one, in UTF-8; empty for special ones."""

    @abstractmethod
    def marks(self) -> dict[int, str]:
        """What special tokens are called, by their ids."""


class Words(Tokenizer):
    """Frequent words, each with the space before it, are a token; all else is spelt in bytes, so nothing is lost.

    Ids: 0 to 255 bytes, 256 the end of a document, then `words`, most frequent first. Without words: bytes alone.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = list(words)
        self.vocabulary = _END + 1 + len(self.words)
        self.suffix, self.special, self.padding = (_END,), frozenset({_END}), _END
        self._ids = {word: [_END + 1 + index] for index, word in enumerate(self.words)}

    def encode(self, texts: Sequence[str]) -> list[Int32[np.ndarray, " tokens"]]:
        if not self.words:
            return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]
        return [np.fromiter(self._tokens(text), np.int32) for text in texts]

    def _tokens(self, text: str) -> Iterator[int]:
        for piece in _WORD.findall(text):
            yield from self._ids.get(piece) or piece.encode()

    def pieces(self) -> list[bytes]:
        return [*(bytes([byte]) for byte in range(_END)), b"", *(word.encode() for word in self.words)]

    def marks(self) -> dict[int, str]:
        return {_END: "<end>"}

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int) -> Words:
        """The words that are most frequent in `texts`, as many as make `vocabulary` ids; the first one where some tie.

        Raises ValueError where `vocabulary` leaves no id for a word.
        """
        if vocabulary <= _END + 1:
            raise ValueError(
                f"vocabulary: {vocabulary}, but {_END + 1} ids are for bytes and the end: give more, or "
                "tokenizer: bytes."
            )
        counts: Counter[str] = Counter()
        for text in texts:
            # A byte stands for itself already.
            counts.update(piece for piece in _WORD.findall(text) if len(piece.encode()) > 1)
        return cls([word for word, _ in counts.most_common(vocabulary - _END - 1)])


class Given(Tokenizer):
    """A tokenizer.json, read by Hugging Face's `tokenizers`; its truncation and padding are left out."""

    def __init__(self, reference: str, end_of_document: str | None = None) -> None:
        try:
            from tokenizers import Tokenizer as Read
        except ModuleNotFoundError:
            raise ValueError(
                f"tokenizer {reference}: the library `tokenizers` isn't installed: pip install 'homolog[corpora]', or "
                f"choose one of {', '.join(BUILT_IN_TOKENIZERS)}."
            ) from None
        path = tokenizer_file(reference)
        try:
            self._read = Read.from_file(str(path))
        except Exception as error:  # the library raises plain ones
            raise ValueError(f"{path} can't be read as a tokenizer.json ({error}).") from error
        self._read.no_truncation()
        self._read.no_padding()
        ids = self._read.get_vocab(with_added_tokens=True)
        self.vocabulary = max(ids.values()) + 1
        marks = {token for token, added in self._read.get_added_tokens_decoder().items() if added.special}
        self.prefix, self.suffix = self._around()
        if end_of_document is not None:
            if end_of_document not in ids:
                raise ValueError(f"{path} has no token {end_of_document!r}: set `end_of_document` to one that it has.")
            self.suffix = (*self.suffix, ids[end_of_document])
        self.special = frozenset({*marks, *self.prefix, *self.suffix})
        # It is masked, so that any id will do.
        self.padding = ids.get("[PAD]", ids.get("<pad>", 0))

    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        whole = self._read.encode("a")
        text = [place for place, special in enumerate(whole.special_tokens_mask) if not special]
        return tuple(whole.ids[: text[0]]), tuple(whole.ids[text[-1] + 1 :])

    def encode(self, texts: Sequence[str]) -> list[Int32[np.ndarray, " tokens"]]:
        read = self._read.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in read]

    def pieces(self) -> list[bytes]:
        # Behind another token: else the space before a word, and what marks the middle of one, can't be told apart.
        before = self._read.encode("a", add_special_tokens=False).ids
        start = len(self._read.decode(before))
        return [
            b"" if token in self.special else self._read.decode([*before, token])[start:].encode()
            for token in range(self.vocabulary)
        ]

    def marks(self) -> dict[int, str]:
        return {token: self._read.id_to_token(token) or "" for token in sorted(self.special)}


def tokenizer_of(
    reference: str, vocabulary: int | None, end_of_document: str | None, texts: Callable[[], Iterable[str]]
) -> Tokenizer:
    """The tokenizer that `reference` names: ``bytes``, ``words`` (learnt from `texts`), or a tokenizer.json."""
    if reference == "bytes":
        return Words()
    if reference == "words":
        return Words.learn(texts(), VOCABULARY if vocabulary is None else vocabulary)
    return Given(reference, end_of_document)
