"""Documents of public-domain text: the chapters of the World English Bible, as Debian packages it for SWORD."""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from homolog.corpora.text_source import TextSource

_WAY_OUT = (
    "install the Debian package sword-text-web (apt-get install sword-text-web), set `path` to the module's folder, "
    "which holds ot.bzs and ot.bzz, or take the text of python_topics, which needs no installation"
)
# Elements whose content isn't the text: footnotes with references, and headings.
_ASIDE = re.compile(r"<(note|title)\b[^>]*(?<!/)>.*?</\1>", re.DOTALL)
_CHAPTER = re.compile(r"<chapter\b[^>]*\bsID=[^>]*>")
_CHAPTER_END = re.compile(r"<chapter\b[^>]*\beID=[^>]*>")
# Where a paragraph begins or ends, or a line of verse: x-p as this module writes it, l and lg in OSIS.
_LINE = re.compile(r'<(?:div\b[^>]*type="x-p"|/?lg?\b)[^>]*>')


@dataclass(frozen=True, kw_only=True)
class WorldEnglishBible(TextSource):
    """A document for each chapter, footnotes and headings left out, a line for each paragraph or line of verse."""

    name: ClassVar[str] = "world_english_bible"
    path: str = "/usr/share/sword/modules/texts/ztext/engWEB2015eb"

    @property
    def origin(self) -> str:
        return self.path

    def documents(self) -> Iterator[str]:
        for testament in ("ot", "nt"):
            for book in _blocks(Path(self.path), testament):
                yield from chapters(book)


def chapters(osis: str) -> Iterator[str]:
    """The plain text of each chapter of some OSIS markup (chapters as milestones, sID where they begin)."""
    for chapter in _CHAPTER.split(osis)[1:]:
        # A space in an aside's place: words around it aren't one word.
        text = _ASIDE.sub(" ", _CHAPTER_END.split(chapter)[0])
        text = html.unescape(re.sub(r"<[^>]*>", "", _LINE.sub("\n", text)))
        lines = (re.sub(r" (?=[,.;:!?”’)])", "", " ".join(line.split())) for line in text.split("\n"))
        yield "\n".join(line for line in lines if line)


def _blocks(folder: Path, testament: str) -> Iterator[str]:
    """The texts that a zText module holds, a book each (format: pysword, docs/module-format.rst).

    ``.bzs`` has for each block three little-endian 32-bit numbers: where it begins in ``.bzz``, its bytes there, and
    its bytes when it is decompressed.
    """
    try:
        index, packed = ((folder / f"{testament}.{kind}").read_bytes() for kind in ("bzs", "bzz"))
    except OSError as error:
        raise ValueError(f"world_english_bible: {error.filename} isn't there: {_WAY_OUT}.") from error
    try:
        for begin, size, _ in struct.iter_unpack("<III", index):
            yield zlib.decompress(packed[begin : begin + size]).decode()
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"world_english_bible: {folder}: {testament}.bzz can't be read as a SWORD zText module ({error}): "
            f"{_WAY_OUT}."
        ) from error
