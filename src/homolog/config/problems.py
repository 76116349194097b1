"""How is a mistake in config.yaml told: where, what was seen, what is allowed, and the way out?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where in the file: keys and list indices from the top."""
Problem: TypeAlias = tuple[Path, str]
"""Where, and ``<what was seen>; <what is allowed>; <the way out>``."""

_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_LONGEST = 60


class ConfigError(ValueError):
    """All mistakes of a configuration at once, one line each in `problems`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))

    def report(self) -> str:
        """The lines to show on stderr: ``homolog: error: ...``, one per mistake."""
        return "\n".join(f"homolog: error: {problem}" for problem in self.problems)


@dataclass(frozen=True)
class Names:
    """What a section of the file defines, readable or not."""

    section: str
    known: list[str]
    complete: bool = True
    """False where the section itself can't be read, so that any name may be right."""

    def problem(self, name: str) -> str | None:
        """What is wrong with a reference to `name`, if anything."""
        if name in self.known or not self.complete:
            return None
        way_out = nearest(name, self.known, f"take one of these or add it to {self.section}")
        return f"{shortened(name)} isn't defined; defined in {self.section}: {listed(self.known)}; {way_out}"


def dotted(path: Iterable[str | int]) -> str:
    """``models.digits_mlp.architecture.widths[1]``; a key that isn't a plain word stands in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{shortened(part)}]"
        else:
            text += f"{'.' if text else ''}{part if _PLAIN.fullmatch(part) else shortened(part)}"
    return text


def listed(names: Iterable[Any]) -> str:
    """Names one after the other; ``none`` if there are none."""
    texts = map(str, names)
    return ", ".join(text if text.isprintable() else shortened(text) for text in texts) or "none"


def nearest(name: Any, names: Iterable[str], otherwise: str = "take one of these") -> str:
    """The way out of a misspelt name."""
    close = get_close_matches(str(name), list(names), n=1) if isinstance(name, str) else []
    return f"did you mean {close[0]}?" if close else otherwise


def seen(value: Any) -> str:
    """A value as the reader of a YAML file would call it, on one line and never long."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shortened(value)}"
    if isinstance(value, Mapping):
        return f"the mapping {shortened(value)}" if value else "an empty mapping"
    if isinstance(value, list | tuple | set):
        return f"the list {shortened(value)}" if value else "an empty list"
    return shortened(value)


def shortened(value: Any) -> str:
    """``repr(value)`` on one line, cut in the middle where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes out neither 4,300 digits nor brackets without end.
        return "something too long to show"
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"
