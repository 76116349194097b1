"""Where did the time go: what did each rule's jobs take, by the clock, of the processor, and of memory?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure
from homolog.results.benchmarks import read_benchmark

# Those whose benchmark files don't bear their names: an analysis has its own, a decomposition too.
ANALYSE, DECOMPOSE, JOINTLY = "analyse", "decompose", "decompose_jointly"


def read_times(results: Path, rules: list[str]) -> pd.DataFrame:
    """A row for each job: `rule`, `seconds` by the clock, `processor` seconds, `megabytes` at its peak.

    From the benchmark files below `results`, of which those of `rules` bear their names. NaN where a job was over
    before it could be measured. Raises ValueError where there are none.
    """
    rows = []
    for path in sorted(results.glob("**/benchmarks/**/*.tsv")):
        took = read_benchmark(path)
        rows.append([_rule_of(path, rules), took.seconds, took.processor, took.megabytes])
    if not rows:
        raise ValueError(f"{results} has no benchmark files of jobs: build something first, or name another folder.")
    return pd.DataFrame(rows, columns=["rule", "seconds", "processor", "megabytes"])


def _rule_of(path: Path, rules: list[str]) -> str:
    if path.parent.name == JOINTLY:
        return JOINTLY
    if path.stem in rules:
        return path.stem
    # The others lie in the folder of an experiment, or of a hook point.
    return ANALYSE if path.parent.name == "benchmarks" else DECOMPOSE


def table(times: pd.DataFrame) -> pd.DataFrame:
    """By rule, the costliest first: jobs, median and sum of seconds, processor seconds, share of all, peak memory."""
    by_rule = times.groupby("rule")
    found = pd.DataFrame(
        {
            "jobs": by_rule.size(),
            "median s": by_rule.seconds.median(),
            "sum s": by_rule.seconds.sum(),
            "processor s": by_rule.processor.sum(),
            "share": by_rule.seconds.sum() / times.seconds.sum(),
            "peak MB": by_rule.megabytes.max(),
        }
    )
    return found.sort_values("sum s", ascending=False)


def headline(times: pd.DataFrame) -> str:
    """The sum, and the rule that takes most of it."""
    rows = table(times)
    first = rows.iloc[0]
    return (
        f"{len(times)} jobs took {times.seconds.sum():.0f} s one after the other, {times.processor.sum():.0f} of the "
        f"processor; {first.name} takes {first.share:.0%} of it, in {first.jobs:.0f} jobs of {first['median s']:.1f} s "
        f"(median). At most {times.megabytes.max():.0f} MB were held."
    )


@in_house_style
def draw(times: pd.DataFrame) -> Figure:
    """Sums by rule, the processor's part in them, and each job by itself."""
    rows = table(times)[::-1]
    figure = new_figure(8.0, 1.4 + 0.35 * len(rows), "Where did the time go?", headline(times))
    sums, each = figure.subplots(1, 2, sharey=True)
    places = range(len(rows))
    sums.barh(places, rows["sum s"], color=GREY, height=0.7, label="by the clock")
    sums.barh(places, rows["processor s"], color=COLOURS[0], height=0.35, label="of the processor")
    sums.set(yticks=list(places), xlabel="seconds, sum over jobs")
    sums.set_yticklabels([f"{name} ({row.jobs:.0f})" for name, row in rows.iterrows()])
    sums.legend(frameon=False, loc="lower right")
    for place, name in zip(places, rows.index, strict=True):
        seconds = times.seconds[times.rule == name]
        each.plot(seconds, [place] * len(seconds), "o", ms=4, mfc=COLOURS[0], mec="white", mew=0.4, alpha=0.7)
    each.set(xscale="log", xlabel="seconds of each job")
    each.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    each.xaxis.set_major_formatter("{x:g}")
    each.xaxis.set_minor_formatter(NullFormatter())
    return figure
