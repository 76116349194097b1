"""Which files of results/ does no experiment want?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from homolog.atlas.templating import FIRST_PAGE
from homolog.export.header import CARD
from homolog.results.planned import PlannedJob

# What the workflow writes to; whatever else lies in results/ is somebody's.
FOLDERS = ("models", "experiments", "figures", "atlas", "export")


def unwanted(jobs: Iterable[PlannedJob], results: Path = Path("results")) -> list[Path]:
    """Files that no planned job makes; a hidden file beside one that is made (a saved state) is part of it.

    So is all that lies in the folder of an atlas, of which the first page is what is planned, or of an export, of which
    the card is.
    """
    wanted = {Path(path) for job in jobs for path in (*job.outputs, *job.beside)}
    found = sorted(path for name in FOLDERS for path in (results / name).rglob("*") if path.is_file())
    return [
        path
        for path in found
        if path not in wanted and not _is_beside(path, wanted) and not _is_of_site(path, results, wanted)
    ]


def _is_of_site(path: Path, results: Path, wanted: set[Path]) -> bool:
    """Whether a file lies in a folder that has a wanted first page, or card."""
    folders = [folder for folder in path.parents if folder.is_relative_to(results)]
    return any(folder / name in wanted for folder in folders for name in (FIRST_PAGE, CARD))


def _is_beside(path: Path, wanted: set[Path]) -> bool:
    """Whether a hidden file belongs to a wanted one: ``.x.h5.training`` to ``x.h5``."""
    parts = path.name[1:].split(".") if path.name.startswith(".") else []
    return any(path.with_name(".".join(parts[:i])) in wanted for i in range(1, len(parts)))


def remove(paths: Iterable[Path], results: Path = Path("results")) -> None:
    """Remove files, and folders that they leave empty."""
    for path in paths:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == results or not folder.is_relative_to(results) or any(folder.iterdir()):
                break
            folder.rmdir()
