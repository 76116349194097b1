"""What was seen of a network's modules in one forward pass, and which hook points does it allow? (Imports no torch.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homolog.networks.points import Point, find

SCRIPTED = "in which hooks don't run: give the module as it was before torch.jit.script or torch.jit.trace."


@dataclass
class Seen:
    """A module in one whole forward pass: its calls, and of the first one what it read and gave, in words.

    `scripted`: it is compiled to TorchScript, itself or as a part.
    """

    name: str
    kind: str
    calls: int = 0
    read: str = ""
    gave: str = ""
    scripted: bool = False


def check_calls(points: Sequence[Point], seen: Mapping[str, Seen]) -> None:
    """Raise ValueError for a module that is called several times where no call is named, and for a call that isn't."""
    for point in points:
        calls = seen[point.module].calls
        if point.call is None and calls > 1:
            raise ValueError(
                f"hook point {point}: the module is called {calls} times in a forward pass, so it isn't clear which "
                f"call is meant: write {point.module}@0 for the first, up to {point.module}@{calls - 1}."
            )
        if point.call is not None and point.call >= calls > 0:
            raise ValueError(f"hook point {point}: the module is called {calls} times; allowed: @0 to @{calls - 1}.")


def reached(glob: str, points: Sequence[Point], seen: Mapping[str, Seen]) -> list[Point]:
    """Those of the hook points that a glob means whose modules are called: containers aren't.

    Raises ValueError where none is, for modules within TorchScript, and where it isn't clear which call is meant.
    """
    scripted = [point.module for point in points if seen[point.module].scripted]
    if scripted:
        raise ValueError(f"hook point {glob!r} means {', '.join(scripted[:3])}, a ScriptModule, {SCRIPTED}")
    found = [point for point in points if seen[point.module].calls]
    if not found:
        names = ", ".join(point.module for point in points[:3]) + (", ..." if len(points) > 3 else "")
        raise ValueError(
            f"hook point {glob!r} means {names}, and none is called in a forward pass on such inputs: choose among "
            "those that `python -m homolog hook-points` lists with a shape."
        )
    check_calls(found, seen)
    return found


def one_point(text: str, seen: Mapping[str, Seen]) -> Point:
    """The hook point that a name, or a glob, means in a network of which all modules were seen.

    Raises ValueError where it means none or several, and for a call that isn't there or isn't named.
    """
    found = find(text, seen)
    if len(found) > 1:
        names = ", ".join(map(str, found[:4])) + (", ..." if len(found) > 4 else "")
        raise ValueError(f"hook point {text!r} means {len(found)} ({names}), and one is needed here: name one of them.")
    check_calls(found, seen)
    return found[0]
