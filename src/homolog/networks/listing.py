"""Which hook points does a network have: names, classes and shapes, seen in one batch?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homolog.networks.points import find
from homolog.networks.seen import Seen

HEADER = ("hook point", "class", "gives", "reads")
UNREACHED = "not reached"


def list_hook_points(seen: Mapping[str, Seen], wanted: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Name, class, and the shapes that it gives and reads, of each module; of those alone that `wanted` names or globs.

    A module that is called several times stands there once for each call. Raises ValueError for names that mean none.
    """
    names = [point.module for text in wanted for point in find(text, seen)] if wanted else list(seen)
    rows: list[tuple[str, ...]] = []
    for one in (seen[name] for name in dict.fromkeys(names)):
        calls = [one.name or ":out"] if one.calls <= 1 else [f"{one.name}@{call}" for call in range(one.calls)]
        rows += [(call, one.kind, one.gave or UNREACHED, one.read) for call in calls]
    return rows


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under their header, in columns."""
    lines = [HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)
