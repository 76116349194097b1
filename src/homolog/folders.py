"""Can results be written where they belong? (Asked before the first job; imports nothing else.)"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def check_folders(paths: Iterable[str | Path]) -> list[str]:
    """One problem for each folder or file that keeps some of `paths` from being written; none where all can be.

    Paths are relative to the working folder. A folder is named only if the one above it can be written to.
    """
    found = {}
    for folder in {_lowest_existing(Path(path).parent) for path in paths}:
        if not folder.is_dir():
            found[folder] = f"{folder} is a file where a folder is needed: move that file away"
        elif not _is_writable(folder):
            while folder != folder.parent and not _is_writable(folder.parent):
                folder = folder.parent
            found[folder] = (
                f"the folder {folder.absolute()} can't be written to: change its permissions, "
                "or choose another with `snakemake --directory`"
            )
    return [found[folder] for folder in sorted(found)]


def _lowest_existing(folder: Path) -> Path:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
