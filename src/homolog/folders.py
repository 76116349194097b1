"""Can results be written where they belong? Asked before the first job, so it imports nothing that takes time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def check_folders(paths: Iterable[str | Path]) -> list[str]:
    """One problem for each folder or file that keeps some of `paths` from being written; none where all can be."""
    found = {}
    for path in paths:
        folder = Path(path).parent
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            found[folder] = f"{folder} is a file where a folder is needed: move that file away"
        elif not os.access(folder, os.W_OK | os.X_OK):
            found[folder] = (
                f"the folder {folder.absolute()} can't be written to: change its permissions, "
                "or choose another with `snakemake --directory`"
            )
    return list(found.values())
