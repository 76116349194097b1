"""Which code do jobs run, and is all of it Python? (Asked before anything else of the package is imported.)"""

from __future__ import annotations

import os
from pathlib import Path

from homolog.provenance import imported_files


def show_to_jobs(source_root: Path) -> None:
    """Let the Python of every job find the package in `source_root` first: what runs is what is fingerprinted."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(source_root), *([inherited] if inherited else [])])


def check_sources(source_root: Path, scripts: Path) -> list[str]:
    """One problem for each module of the package and each script that can't be read as Python; none where all can."""
    found = []
    for path in [*sorted(source_root.rglob("*.py")), *sorted(scripts.glob("*.py"))]:
        try:
            # Fingerprints ask for the same later, and it is remembered until then.
            imported_files(path, source_root)
        except (ValueError, OSError) as error:
            found.append(str(error))
    return found
