"""Is what jobs took summed up by rule, and what is left of a build foreseen by it?"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from workspace import ROOT, Workspace

from homolog.__main__ import main
from homolog.results.benchmarks import all_in_words, in_words, read_benchmark
from homolog.results.left import Left, told
from homolog.results.times import draw, headline, read_times, table

RULES = sorted(path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py"))
HEADER = "s\th:m:s\tmax_rss\tcpu_time"
JOBS = {
    "models/net/seed_0/benchmarks/train.tsv": "4.0\t0:00:04\t300.0\t3.0",
    "models/net/seed_1/benchmarks/train.tsv": "2.0\t0:00:02\t310.0\t1.0",
    "models/net/seed_0/benchmarks/hidden_1/pca.tsv": "1.0\t0:00:01\t-\tNA",
    "experiments/stability/benchmarks/stability.tsv": "10.0\t0:00:10\t900.0\t9.0",
    "experiments/stability/benchmarks/plot.tsv": "3.0\t0:00:03\t150.0\t2.0",
    "experiments/stability/benchmarks/decompose_jointly/cross.tsv": "5.0\t0:00:05\t400.0\t5.0",
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, line in JOBS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEADER}\n{line}\n")
    return tmp_path


def test_jobs_are_summed_by_rule_the_costliest_first(results: Path) -> None:
    found = read_times(results, RULES)
    rows = table(found)
    assert list(rows.index) == ["analyse", "train", "decompose_jointly", "plot", "decompose"]
    assert rows.loc["train"].tolist() == [2, 3.0, 6.0, 4.0, 6 / 25, 310.0]
    assert math.isnan(rows.loc["decompose"]["peak MB"])
    assert headline(found).startswith(
        "6 jobs took 25 s one after the other, 20 of the processor; analyse takes 40% of it"
    )


def test_it_is_drawn(results: Path) -> None:
    figure = draw(read_times(results, RULES))
    figure.draw_without_rendering()
    sums = figure.axes[0]
    assert [label.get_text() for label in sums.get_yticklabels()][-1] == "analyse (1)"
    assert sorted(bar.get_width() for bar in sums.patches)[-1] == 10.0


def test_every_job_of_a_build_is_told_under_its_rule(built: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["times", str(built.results)]) == 0
    said = capsys.readouterr().out
    jobs = {
        line.split()[0]: int(line.split()[1])
        for line in said.splitlines()
        if line.split()[:1] != [] and line[0].isalpha() and line.split()[0] in RULES
    }
    assert sum(jobs.values()) == len(list(built.results.glob("**/benchmarks/**/*.tsv")))
    assert {"train", "decompose", "analyse", "track", "plot", "plot_training"} <= set(jobs)


def test_nothing_built_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["times", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"homolog: error: {tmp_path} has no benchmark files of jobs: build something first")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", HEADER, "s\nfour\n", "s\th:m:s\n1.0\n"], ids=["empty", "header", "word", "cut off"]
)
def test_a_benchmark_that_tells_nothing_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.tsv").write_text(text)
    assert math.isnan(read_benchmark(tmp_path / "one.tsv").seconds)
    assert math.isnan(read_benchmark(tmp_path / "absent.tsv").seconds)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.4, "9.4 s"), (9.6, "10 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (5400, "1.5 h")],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_jobs_together_take_the_sum(results: Path) -> None:
    assert all_in_words([results / name for name in JOBS] + [results / "absent.tsv"]) == "25 s in 7 jobs"


# What is left


def test_what_is_left_takes_what_its_rules_take_at_the_pace_so_far() -> None:
    # 4 trainings of 30 s in 60 s: two at a time. Left are 2 of these, and 12 that take 10 s each.
    line = told({"train": 2, "decompose": 12}, {"train": 4}, {"train": 30, "decompose": 10}, 60)
    assert line == "left: 12 decompose, 2 train; about 2 min"
    assert (
        told({"train": 2, "plot": 1}, {"train": 4}, {"train": 30}, 60) == "left: 2 train, 1 plot; at least about 30 s"
    )
    assert told({"plot": 1}, {"train": 4}, {"train": 30}, 60) == "left: 1 plot"
    assert told({"train": 1}, {}, {"train": 30}, 0) == "left: 1 train"


@dataclass(eq=False)
class Job:
    """As Snakemake's, as far as it is asked."""

    name: str
    benchmark: Path
    output: list[str] = field(default_factory=lambda: ["one"])

    @property
    def rule(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.name)


class DAG:
    """Jobs to run, whose numbers are their places."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def needrun_jobs(self, exclude_finished: bool) -> Iterator[Job]:
        assert not exclude_finished
        return iter(self.jobs)

    def jobid(self, job: Job) -> int:
        return self.jobs.index(job)


def test_it_follows_what_snakemake_says_with_no_line_too_many(results: Path) -> None:
    trains = [Job("train", results / f"models/net/seed_{seed}/benchmarks/train.tsv") for seed in (0, 1, 2, 3)]
    said: list[str] = []
    now = 0.0
    left = Left(DAG([*trains, Job("all", results / "none.tsv", output=[])]), said.append, lambda: now)

    def ends(number: int) -> None:
        left.handle(logging.makeLogRecord({"event": "job_finished", "job_id": number}))
        left.handle(logging.makeLogRecord({"event": "progress", "done": 1, "total": 4}))

    now = 10
    ends(2)
    assert said == ["left: 3 train; about 30 s"]
    now = 15
    ends(0)
    left.handle(logging.makeLogRecord({"msg": "something else"}))
    assert len(said) == 1, "five seconds after"
    now = 24
    ends(1)
    assert said[1:] == ["left: 1 train; about 8.0 s"]
    now = 60
    ends(3)
    assert len(said) == 2, "nothing is left"
