"""Can what stands on the command lines of a queue's jobs be put there, whatever a shell makes of it?"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

# Snakemake puts a text on a command line as Python writes it, and queues put that between double quotes: what ends
# these, or is read within them, could hide commands. Single quotes are safe with both.
READ_BY_SHELLS = frozenset('"`$\\')


def check_command_lines(folder: str, checkout: str, python: str, options: Iterable[str] = ()) -> list[str]:
    """One problem for each path, or option of ``--config``, with which jobs can't be submitted.

    Nothing else that users write stands there but names of config.yaml, which are letters, digits and underscores.
    """
    texts = [(f"the folder {folder!r}", folder, "rename it")]
    texts += [(f"the option --config {one!r}", one, "write it to a file, for --configfile") for one in options]
    found = [
        f"{what} can't stand on the command line of a job that is submitted; allowed: no double quotes, backquotes, "
        f"dollars, backslashes or control characters; {way_out}"
        for what, text, way_out in texts
        if READ_BY_SHELLS & set(text) or not text.isprintable()
    ]
    # Nothing quotes the Python, nor the commands in a profile of the checkout.
    programs = {"Python": (python, "make the environment elsewhere"), "checkout": (checkout, "move it")}
    return found + [
        f"the {what} {path!r} can't stand on the command line of a job that is submitted; allowed: a path of letters "
        f"(without accents), digits and _ @ % + = : , . / -; {way_out}"
        for what, (path, way_out) in programs.items()
        if shlex.quote(path) != path
    ]


def check_checkout(folder: str) -> list[str]:
    """One problem if Snakemake would take a part of the path of every script for a wildcard."""
    if not {"{", "}"} & set(folder):
        return []
    return [f"the folder {folder!r} of the checkout holds braces, which Snakemake takes for wildcards; rename it"]
