"""What did a job take, by the file that Snakemake measured it into?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and of the processor, and megabytes at its peak; NaN where a job was over too soon."""

    seconds: float = math.nan
    processor: float = math.nan
    megabytes: float = math.nan


def read_benchmark(path: str | Path) -> Took:
    """The last measurement in a benchmark file; all NaN where there is none."""
    try:
        header, *repeats = (line.split("\t") for line in Path(path).read_text().splitlines())
        known = dict(zip(header, repeats[-1], strict=True))
        return Took(*(_number(known.get(name, "-")) for name in ("s", "cpu_time", "max_rss")))
    except (OSError, ValueError, IndexError):
        return Took()


def all_in_words(paths: Sequence[str | Path]) -> str:
    """What some jobs took one after the other, such as ``12 min in 84 jobs``; those of unknown times count as none."""
    seconds = [read_benchmark(path).seconds for path in paths]
    return f"{in_words(sum(one for one in seconds if not math.isnan(one)))} in {len(seconds)} jobs"


def in_words(seconds: float) -> str:
    """A duration as one would say it: ``0.8 s``, ``40 s``, ``12 min``, ``3.5 h``; ``unknown`` for NaN."""
    if math.isnan(seconds):
        return "unknown"
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _number(text: str) -> float:
    """What Snakemake couldn't measure is a dash, or NA."""
    return math.nan if text in ("-", "NA") else float(text)
