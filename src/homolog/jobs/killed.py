"""Which jobs ended without a word, as where the kernel ends a process because memory has run out?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def killed(jobs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each failed job, given by its rule and its log, whose log says neither why nor that it is done."""
    return [
        f"a job of {rule} was killed before it could say why ({log} breaks off). Most often memory has run out, which "
        "the kernel's or the scheduler's messages tell: run the same command again with fewer --cores, on a cluster "
        "with --retries 2 (each attempt asks for more mem_mb), or lower a batch size or a number of latents."
        for rule, log in jobs
        if _breaks_off(rule, Path(log))
    ]


def _breaks_off(rule: str, log: Path) -> bool:
    if not log.is_file():
        return False
    # As `stage` begins, under a date, and ends.
    text = log.read_text(errors="replace")
    *before, last = re.split(rf"^\S+ \S+ {rule} [0-9a-f]{{16}}\b", text, flags=re.MULTILINE)
    return bool(before) and "homolog: error: " not in last and not last.rstrip().endswith(" done")
