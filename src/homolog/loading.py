"""Where does a name from a registry lead: imports ``"package.module:Name"`` when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(target: str) -> Any:
    """The object that ``"package.module:Name"`` names; without ``:Name`` the module itself."""
    module, _, name = target.partition(":")
    loaded = import_module(module)
    return getattr(loaded, name) if name else loaded


def build(options: dict[str, Any]) -> Any:
    """The object that a spec describes: its ``target`` called with the other keys as arguments."""
    arguments = dict(options)
    return load(arguments.pop("target"))(**arguments)
