"""How is the tutorial followed literally: its files written, its commands run, one after the other?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workspace import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
# The last name in backticks before a block is that of a file, if it ends so.
_FILE = re.compile(r"`([\w.]+\.(?:py|yaml))`[^`]*$")
_SECTION = re.compile(r"`(models|experiments)`")


@dataclass(frozen=True)
class Step:
    """A block of the page: its language, its text, and the words between it and the one before."""

    language: str
    text: str
    before: str

    @property
    def file(self) -> str | None:
        """The file that it is to be put into."""
        found = _FILE.search(self.before) if self.language in ("python", "yaml") else None
        return found[1] if found else None


def steps() -> list[Step]:
    """All blocks, in order."""
    found, last = [], 0
    page = PAGE.read_text()
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        found.append(Step(match[1], match[2], page[last : match.start()]))
        last = match.end()
    return found


def write(step: Step, folder: Path) -> None:
    """Do what the page says with a block of a file: write it, or add it to a section of config.yaml."""
    section = _SECTION.search(step.before)
    if step.language == "yaml" and section:
        path = folder / "config.yaml"
        path.write_text(path.read_text().replace(f"{section[1]}:\n", f"{section[1]}:\n{step.text}"))
    elif step.file:
        (folder / step.file).write_text(step.text)
