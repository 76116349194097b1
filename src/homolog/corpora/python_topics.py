"""Documents that every Python brings along: the topics of ``help()``, half a million characters of its reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from homolog.corpora.text_source import TextSource


@dataclass(frozen=True, kw_only=True)
class PythonTopics(TextSource):
    """A document for each topic, by name. The text is another one in another version of Python."""

    name: ClassVar[str] = "python_topics"

    @property
    def origin(self) -> str:
        return "pydoc_data.topics"

    def documents(self) -> Iterator[str]:
        try:
            from pydoc_data.topics import topics
        except ModuleNotFoundError:
            raise ValueError(
                "python_topics: this Python has no pydoc_data.topics: install its standard library whole, or choose "
                "another text."
            ) from None
        return (str(topics[name]) for name in sorted(topics))
