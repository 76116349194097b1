"""What does the name of a hook point say: which module, which of its calls, what it reads or gives, which element?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_FORM = re.compile(r"(?P<module>[^@:\[\]]*)(?:@(?P<call>\d+))?(?::(?P<side>in|out))?(?P<path>(?:\[[^\[\]]+\])*)")
# In nnsight a list's element is told by brackets, and what a module reads or gives like a module within it.
_ELEMENT_OF_LIST = re.compile(r"\[(\d+)\](?=\.)")
_WILDCARD, _WILDCARD_KEPT = re.compile(r"\*\*|\*|\?"), re.compile(r"(\*\*|\*|\?)")
_SIDES = {".output": "out", ".input": "in"}
FORM = "`module`, then if needed `@call`, `:in` or `:out`, and `[element]`, as in `transformer.h.0:out[0]`"


@dataclass(frozen=True)
class Point:
    """A hook point: what the `call`-th call (from 0; None: the only one) of a module reads (`in`) or gives (`out`).

    `path` leads to a tensor within it: places in tuples, keys of dicts.
    """

    module: str
    side: str = "out"
    call: int | None = None
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        call = "" if self.call is None else f"@{self.call}"
        # The network itself has an empty name.
        side = f":{self.side}" if self.side == "in" or not self.module else ""
        return f"{self.module}{call}{side}{''.join(f'[{element}]' for element in self.path)}"


def parse(text: str) -> Point:
    """What a name says, whichever modules there are; a ValueError where it isn't of the form of one."""
    found = _FORM.fullmatch(_ELEMENT_OF_LIST.sub(r".\1", text.strip()))
    if not found:
        raise ValueError(f"hook point {text!r}; allowed: {FORM}; correct it.")
    path = tuple(re.findall(r"\[([^\[\]]+)\]", found["path"]))
    call = None if found["call"] is None else int(found["call"])
    return Point(found["module"], found["side"] or "out", call, path)


def find(text: str, modules: Iterable[str]) -> list[Point]:
    """The hook points that a name or a glob means among named modules, in their order.

    In a glob ``*`` stands for one part of a name between dots or for some of it, ``**`` for any number of parts. Names
    as TransformerLens and nnsight have them are understood: ``blocks.0.hook_resid_post``, ``.transformer.h.0.output``,
    ``transformer.h[0].input``. Raises ValueError when nothing is meant, with the nearest names.
    """
    return [point for point, _ in matched(text, modules)]


def matched(text: str, modules: Iterable[str]) -> list[tuple[Point, tuple[str, ...]]]:
    """The same, each with what the wildcards stand for in it."""
    known, asked = list(modules), parse(text)
    for one in _readings(asked):
        pattern = re.compile(_expression(one.module))
        # No glob means the network as a whole.
        named = filter(None, known) if is_glob(one.module) else known
        if found := [(name, match) for name in named if (match := pattern.fullmatch(name))]:
            return [(replace(one, module=name), match.groups()) for name, match in found]
    within = [name for name in known if name.endswith(f".{asked.module}")]
    near = within[:3] or difflib.get_close_matches(asked.module, known, n=3, cutoff=0.4)
    way_out = f"did you mean {' or '.join(near)}?" if near else f"its modules begin with {', '.join(known[1:6])}."
    what = "matches no module" if "*" in asked.module else "isn't a module"
    raise ValueError(f"hook point {text!r} {what} of the network; `python -m homolog hook-points` lists all; {way_out}")


def _readings(asked: Point) -> Iterable[Point]:
    """What a name may mean, the plainest first: BERT has modules of the name ``output``."""
    plain = asked.module.removeprefix(".").removeprefix("model.")
    for module in dict.fromkeys((asked.module, asked.module.removeprefix("."), plain)):
        yield replace(asked, module=module)
        for ending, side in _SIDES.items():
            if module.endswith(ending):
                yield replace(asked, module=module.removesuffix(ending), side=side)


def is_glob(text: str) -> bool:
    """Whether it may mean several."""
    return bool(_WILDCARD.search(text))


def chosen(glob: str, names: Iterable[str]) -> list[str]:
    """Those of plain names that a glob means, in their order."""
    pattern = re.compile(_expression(glob))
    return [name for name in names if pattern.fullmatch(name)]


def filled_in(glob: str, parts: Sequence[str]) -> str:
    """A glob with its wildcards replaced, one after the other. Raises ValueError unless there are as many parts."""
    found = _WILDCARD.findall(glob)
    if len(found) != len(parts):
        raise ValueError(f"{glob!r} has {len(found)} wildcards, and {len(parts)} are needed.")
    rest = iter(parts)
    return _WILDCARD.sub(lambda _: next(rest), glob)


def wildcards(glob: str) -> int:
    """How many there are."""
    return len(_WILDCARD.findall(glob))


def _expression(glob: str) -> str:
    """The regular expression of a glob, with a group for each wildcard."""
    parts = {"**": "(.*)", "*": r"([^.]*)", "?": r"([^.])"}
    return "".join(parts.get(part) or re.escape(part) for part in _WILDCARD_KEPT.split(glob))
