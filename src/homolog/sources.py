"""Which code do jobs run?"""

from __future__ import annotations

import os
from pathlib import Path


def show_to_jobs(source_root: Path) -> None:
    """Let the Python of every job find the package in `source_root` first: what runs is what is fingerprinted."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(source_root), *([inherited] if inherited else [])])
