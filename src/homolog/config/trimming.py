"""Which part of a configuration with mistakes can still be read, so that what it says is checked in the same breath?"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import TypeAdapter, ValidationError

from homolog.config.decompositions import Decomposition
from homolog.config.experiments import Experiment
from homolog.config.explain import Node, locate
from homolog.config.models import Model
from homolog.config.problems import Path
from homolog.config.root import Config

# What an entry of each section is.
SECTIONS: dict[str, Any] = {"models": Model, "decompositions": Decomposition, "experiments": Experiment}
# Needed keys of which no check asks more than that they are there: any valid value lets the rest be read.
_STAND_INS: dict[str, dict[Any, Any]] = {
    "models": {"training": {"steps": 1, "batch_size": 1}},
    "decompositions": {"coefficient": 1.0},
    "experiments": {"analysis": {"name": "stability"}, "figure": "stability"},
}
# Sizes follow from these: without a part of them, the model would be another one, and messages about it wrong.
_DECISIVE = frozenset({"task", "architecture", "widen", "network", "data"})


def readable_part(mapping: dict[Any, Any], schema: Node) -> Config:
    """The configuration without all that has a mistake of its own; unchecked as a whole, and maybe empty."""
    sections: dict[str, Any] = {
        section: _readable_entries(section, mapping.get(section), schema) for section in SECTIONS
    }
    return Config.model_construct(None, **sections)


def _readable_entries(section: str, entries: Any, schema: Node) -> dict[str, Any]:
    """Take away what is wrong until every entry can be read; each round takes something away, so that it ends."""
    adapter: TypeAdapter[Any] = TypeAdapter(SECTIONS[section])
    readable: dict[str, Any] = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        rest = {name: deepcopy(entry)} if isinstance(name, str) else {}
        # Each stand-in once: where it is wrong too (a figure that an analysis can't have), the entry goes.
        stand_ins = dict(_STAND_INS[section])
        while name in rest and name not in readable:
            try:
                readable[name] = adapter.validate_python(rest[name])
            except ValidationError as error:
                # One at a time: what is taken away may hold further mistakes.
                loc = (section, name, *error.errors(include_url=False)[0]["loc"])
                _take_away(rest, _spare(loc, schema), stand_ins)
    return readable


def _spare(loc: tuple[str | int, ...], schema: Node) -> Path:
    """What to take away so that the mistake at `loc` is gone, without making another model of a model."""
    place = locate(loc[:-2] if loc[-1] == "[key]" else loc, schema)
    section, _, *keys = place.path
    if keys and keys[0] in _STAND_INS[str(section)]:
        return place.path[:3]
    return place.path[:2] if keys and keys[0] in _DECISIVE else place.spare


def _take_away(rest: dict[str, Any], path: Path, stand_ins: dict[Any, Any]) -> None:
    """Remove what stands at `path` in the section, or put its stand-in there; the entry itself if it isn't found."""
    _, name, *way = path
    below = rest.get(str(name))
    for part in way[:-1]:
        below = below.get(part) if isinstance(below, dict) else None
    if not way or not isinstance(below, dict):
        rest.clear()
    elif len(way) == 1 and way[0] in stand_ins and below.get(way[0]) != stand_ins[way[0]]:
        below[way[0]] = stand_ins.pop(way[0])
    elif way[-1] in below:
        del below[way[-1]]
    else:
        rest.clear()
