"""Where does a name lead, a registry's (``"homolog.module:Name"``) or a user's? Imported when it is asked for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def raised_here(error: BaseException) -> bool:
    """Whether homolog raised it on purpose, rather than something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parent)


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


def load_from_outside(target: str) -> Callable[..., Any]:
    """The function that ``"package.module:function"`` names in a config: installed, or in the working folder.

    Raises ValueError, one line, for what isn't there.
    """
    name, _, attribute = target.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # Behind all others, so that no file there takes the place of a library.
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        what = "there is no such module" if absent else f"it needs {error.name}"
        raise ValueError(
            f"{target}: {what}, neither installed nor in {here}: correct the name, or install what is missing."
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        own = [one for one, value in vars(module).items() if callable(value) and value.__module__ == name]
        raise ValueError(
            f"{target}: {name} has no function {attribute!r}; it has {', '.join(own) or 'none'}: write "
            "package.module:function."
        )
    return function  # type: ignore[no-any-return]
