"""Documents from text files: one a file, or several of a file with a separator between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from homolog.corpora.paths import TEXT_SUFFIXES, files_of
from homolog.corpora.text_source import TextSource

# Characters that are read at once where a separator ends documents.
AT_ONCE = 2**24


@dataclass(frozen=True, kw_only=True)
class TextFiles(TextSource):
    """UTF-8 files by name: one, those of a glob, or all .txt files below a folder. `separator` may be "\\n\\n".

    A byte order mark is left out.
    """

    name: ClassVar[str] = "text_files"
    path: str
    separator: str | None = None

    @property
    def origin(self) -> str:
        return self.path

    def documents(self) -> Iterator[str]:
        files = files_of(self.path, TEXT_SUFFIXES)
        if not files:
            raise ValueError(f"text_files: no file at {self.path}: give a file, a glob, or a folder of .txt files.")
        for file in files:
            try:
                yield from self._documents(file)
            except UnicodeDecodeError as error:
                raise ValueError(f"{file} isn't UTF-8 ({error.reason} at byte {error.start}): convert it.") from error

    def _documents(self, file: Path) -> Iterator[str]:
        with file.open(encoding="utf-8-sig") as opened:
            if self.separator is None:
                yield opened.read()
                return
            rest = ""
            while read := opened.read(AT_ONCE):
                *done, rest = (rest + read).split(self.separator)
                yield from done
            yield rest
