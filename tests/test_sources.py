"""Is code that Python can't read told in a line each, before any job?"""

from __future__ import annotations

import os
from pathlib import Path

from workspace import Workspace

from homolog.provenance import Code
from homolog.sources import show_to_jobs


def mistakes(source_root: Path, scripts: Path) -> list[str]:
    return Code.read(source_root, sorted(scripts.glob("*.py"))).mistakes


def test_every_file_that_is_no_python_is_told_by_path_line_and_what(tmp_path) -> None:
    for name, text in {
        "src/homolog/good.py": "import homolog.open\n",
        "src/homolog/inner/open.py": "x = 1\ny = (\n",
        "scripts/late.py": "\n\ndef f():\nreturn 1\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = mistakes(tmp_path / "src", tmp_path / "scripts")
    assert [one.partition(":")[0] for one in found] == [
        f"{tmp_path / 'src/homolog/inner/open.py'}, line 2",
        f"{tmp_path / 'scripts/late.py'}, line 4",
    ]
    assert "'(' was never closed" in found[0]
    assert "expected an indented block" in found[1]
    assert all("\n" not in one and "mend the syntax" in one for one in found)


def test_jobs_find_the_checkout_before_what_was_on_the_path(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    show_to_jobs(tmp_path)
    assert os.environ["PYTHONPATH"] == f"{tmp_path}:/elsewhere"
    monkeypatch.delenv("PYTHONPATH")
    show_to_jobs(tmp_path)
    assert os.environ["PYTHONPATH"] == str(tmp_path)


def test_the_workflow_tells_it_and_starts_nothing(tmp_path) -> None:
    """In a module that only a job reads, and in one that planning itself imports."""
    workspace = Workspace.fresh(tmp_path)
    broken = [workspace.module("homolog.decompositions.pca"), workspace.module("homolog.config.base")]
    for path in broken:
        path.write_text(path.read_text() + "\ndef broken(:\n")
    done = workspace.snakemake("--cores", "1", "stability")
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if line.startswith("homolog: error: ")]
    for path, line in zip(sorted(broken), sorted(told), strict=True):
        last = len(path.read_text().splitlines())
        assert line.startswith(f"homolog: error: {path}, line {last}: invalid syntax")
    for noise in ("Traceback", "InputFunctionException", "Job stats"):
        assert noise not in done.stdout
    assert not workspace.results.exists()
