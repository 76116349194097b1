"""Can results be written where they belong, and told from older ones? (Asked before the first job.)"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile


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


def check_clock(folders: Iterable[str | Path]) -> list[str]:
    """One problem where files below `folders` are from the future: nobody can tell then what is newer."""
    ahead = from_future(folders)
    if not ahead:
        return []
    path, last = max(ahead.items(), key=lambda item: item[1])
    return [
        f"{len(ahead)} files were written in the future (the last one, {path}, on {datetime.fromtimestamp(last):%c}; a "
        f"file written now is of {datetime.fromtimestamp(_now(path.parent)):%c}): set the clock if it is wrong; if it "
        "was, run `python -m homolog adopt`, which goes by what files hold, and then the same command again"
    ]


def from_future(folders: Iterable[str | Path]) -> dict[Path, float]:
    """The files below `folders` whose time of writing lies more than a minute ahead, by the clock of their disk."""
    ahead: dict[Path, float] = {}
    for folder in filter(os.path.isdir, folders):
        latest = _now(Path(folder)) + 60
        for where, _, names in os.walk(folder):
            times = {Path(where, name): os.lstat(os.path.join(where, name)).st_mtime for name in names}
            ahead |= {path: written for path, written in times.items() if written > latest}
    return ahead


def _now(folder: Path) -> float:
    """The time that a file in `folder` gets which is written now: a server's clock may be another one."""
    try:
        with TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _lowest_existing(folder: Path) -> Path:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
