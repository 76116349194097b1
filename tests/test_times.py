"""Is what jobs took summed up by rule, whatever the names of their benchmark files?"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from workspace import ROOT, Workspace

from homolog.__main__ import main
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
