"""Where does a name from a registry lead: imports ``"homolog.module:Name"`` when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(target: str) -> Any:
    """The object that ``"homolog.module:Name"`` names; without ``:Name`` the module itself.

    Specs stand in files of results too, which may come from anybody: a ValueError for what isn't homolog's own.
    """
    module, _, name = target.partition(":")
    if module.split(".")[0] == __package__:
        loaded = import_module(module)
        found = getattr(loaded, name, None) if name else loaded
        if found is not None and (not name or getattr(found, "__module__", None) == module):
            return found
    raise ValueError(
        f"a spec names {target!r}, which isn't a part of homolog, so it isn't run: delete the file that holds this "
        "spec, and build it again."
    )


def build(options: dict[str, Any]) -> Any:
    """The object that a spec describes: its ``target`` called with the other keys as arguments."""
    arguments = dict(options)
    return load(arguments.pop("target"))(**arguments)
