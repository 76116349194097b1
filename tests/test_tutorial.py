"""Can a newcomer follow docs/tutorial.md literally, from an empty folder to the end?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tutorial import Step, steps, write
from workspace import ROOT

from homolog.__main__ import main
from homolog.config import load_config
from homolog.planning import Plan
from homolog.planning.plan import job_of

EXPORT = r"results/export/(\w+)/(\w+)/seed_(\d+)/([\w.]+)/(\w+)/README\.md"


def commands(step: Step) -> Iterator[str]:
    """The lines of a shell block, but the one that says where the checkout is."""
    if step.language == "sh":
        yield from (line for line in step.text.splitlines() if not line.startswith("export HOMOLOG"))


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "HOMOLOG": str(ROOT), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_is_a_line_of_files_commands_and_what_they_say() -> None:
    files = [step.file for step in steps() if step.file]
    assert files == ["mynet.py", "train.py", "config.yaml", "config.yaml"]
    asked = [line for step in steps() for line in commands(step)]
    assert asked[:3] == ["python train.py", "python -m homolog hook-points mine", "python -m homolog check"]
    assert sum("snakemake" in line for line in asked) == 5


def test_all_that_it_asks_for_is_planned_and_the_table_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without training anything for long, or running a job."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    page = steps()
    for step in page:
        write(step, tmp_path)
    train = (tmp_path / "train.py").read_text()
    exec(compile(train.replace("range(200)", "range(2)"), "train.py", "exec"), {})
    (table,) = (step.text for step in page if step.language == "")
    capsys.readouterr()
    assert main(["hook-points", "mine"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in table.splitlines()] == [
        *printed[:2],
        *(line for line in printed if "blocks." in line[0]),
    ]
    assert main(["check"]) == 0
    plan = Plan(load_config("config.yaml"))
    assert plan.experiment("returns").hook_points == ["hidden_0", "hidden_1"]
    for word in " ".join(line for step in page for line in commands(step) if "snakemake" in line).split():
        if match := re.fullmatch(EXPORT, word):
            names = ("experiment", "model", "seed", "hook_point", "decomposition")
            plan.spec("export", **job_of(dict(zip(names, match.groups(), strict=True))))
        elif word.startswith("results/"):
            assert word.split("/")[2] in plan.config.experiments
        elif not word.startswith(("snakemake", "--", "$HOMOLOG")):
            assert word in plan.config.experiments
    sys.modules.pop("mynet", None)


@pytest.mark.slow
def test_it_can_be_followed_literally(tmp_path: Path) -> None:
    for step in steps():
        write(step, tmp_path)
        for line in commands(step):
            run(["bash", "-c", line.replace("snakemake", f"{sys.executable} -m snakemake --cores 2", 1)], tmp_path)
        if step.language == "python" and not step.file:
            assert "hidden_0" in run([sys.executable, "-c", step.text], tmp_path)
    named = re.findall(r"`(results/[\w./]+\.\w+)`", (ROOT / "docs" / "tutorial.md").read_text())
    assert len(named) >= 3
    assert [name for name in named if not (tmp_path / name).is_file()] == []
    assert (tmp_path / "results/export/returns/mine/seed_0/hidden_0/topk/cfg.json").is_file()
    assert (tmp_path / "results/figures/one_block.pdf").is_file()
