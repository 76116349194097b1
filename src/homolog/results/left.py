"""What is left of a build that runs, by rule, and about how long will that take?"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

from homolog.results.benchmarks import in_words, read_benchmark

# Below Snakemake's own line ("3 of 30 steps (10%) done"), not more often than that.
SECONDS_BETWEEN = 10.0
# Jobs of one rule that are enough to know what its jobs take.
ENOUGH = 20


class Left(logging.Handler):
    """Follows Snakemake's messages: where one tells the progress, `say` is told what is left.

    `dag` is Snakemake's. What a job takes is the median of its rule's that ended, in this build or an earlier one.
    """

    def __init__(self, dag: Any, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._dag, self._say, self._clock = dag, say, clock
        self._began, self._said = clock(), -math.inf
        self._ended: set[int] = set()
        self._seconds = _measured(dag.jobs)

    def emit(self, record: logging.LogRecord) -> None:
        """Note a job that has ended; say what is left, unless that was done a moment ago or nothing is."""
        event = getattr(record, "event", None)
        if event == "job_finished":
            self._ended.add(record.job_id)  # type: ignore[attr-defined]  # Snakemake's own
        elif event == "progress" and self._clock() - self._said >= SECONDS_BETWEEN:
            try:
                self._tell()
            except Exception:
                self.handleError(record)

    def _tell(self) -> None:
        jobs = {self._dag.jobid(job): job for job in self._dag.needrun_jobs(exclude_finished=False) if job.output}
        ended = [job for number, job in jobs.items() if number in self._ended]
        left = Counter(job.rule.name for number, job in jobs.items() if number not in self._ended)
        if left:
            self._said = self._clock()
            seconds = self._seconds | _measured(ended)
            self._say(told(left, Counter(job.rule.name for job in ended), seconds, self._said - self._began))


def told(left: Mapping[str, int], ended: Mapping[str, int], seconds: Mapping[str, float], elapsed: float) -> str:
    """One line: jobs by rule, the most first, and the time that they take at the pace of those that have ended.

    `seconds` are those of one job of a rule. The pace is what the ended jobs take one after the other, by the time that
    has `elapsed`: it holds how many run at a time, and what goes by between them.
    """
    listed = ", ".join(f"{count} {rule}" for rule, count in sorted(left.items(), key=lambda item: -item[1]))
    done, ahead = (sum(count * seconds.get(rule, 0) for rule, count in jobs.items()) for jobs in (ended, left))
    if not done or not ahead:
        return f"left: {listed}"
    least = "" if set(left) <= set(seconds) else "at least "
    return f"left: {listed}; {least}about {in_words(elapsed * ahead / done)}"


def _measured(jobs: Iterable[Any]) -> dict[str, float]:
    """Median seconds of a rule's jobs, of some whose time is known."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.benchmark and len(found[job.rule.name]) < ENOUGH:
            seconds = read_benchmark(job.benchmark).seconds
            if not math.isnan(seconds):
                found[job.rule.name].append(seconds)
    return {rule: median(known) for rule, known in found.items() if known}
