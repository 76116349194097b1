"""May a job publish what it made, when code was edited after it was planned or while it ran?"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import environment

from homolog.provenance import Code
from homolog.provenance.code import VARIABLE

ROOT = Path(__file__).parents[1]
SCRIPT = """
from homolog.jobs.stage import stage


@stage(snakemake)
def made_up(job):
    from pathlib import Path

    from homolog.used import used

    Path(job.output[0]).write_text(str(used()))
    for path, text in job.spec["edits"].items():
        Path(path).write_text(text)
    if job.spec["late"]:
        from homolog.late import late

        Path(job.output[0]).write_text(str(late()))
    if job.spec["beyond"]:
        from importlib import import_module

        import_module("homo" + "log." + job.spec["beyond"])
"""
MODULES = {
    "used.py": "def used():\n    return 1\n\n\ndef unused():\n    return 2\n",
    "late.py": "def late():\n    return 3\n",
    "beyond.py": "",
}
# What Snakemake does: it hands the script an object, and runs it.
HARNESS = """
import json, sys
from types import SimpleNamespace as Bag
spec, code, scripts = sys.argv[1:]
snakemake = Bag(
    params=Bag(spec=spec, code=code), input=[], output=["made"], log=["log"], resources={}, wildcards={},
    rule="made_up", scriptdir=scripts,
)
path = scripts + "/made_up.py"
exec(compile(open(path).read(), path, "exec"), {"snakemake": snakemake, "__name__": "__main__"})
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A package with what every job imports, and a few modules of its own; a script; an empty folder to work in."""
    package = tmp_path / "src" / "homolog"
    for name in ("jobs", "store", "provenance"):
        target = package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / "src" / "homolog" / name, target], check=True)
    for name, text in {"__init__.py": "", **MODULES}.items():
        (package / name).write_text(text)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "made_up.py").write_text(SCRIPT)
    (tmp_path / "work").mkdir()
    return tmp_path


Outcome = tuple[int, str | None, str]


@pytest.fixture
def run_job(sources: Path) -> Callable[..., Outcome]:
    """Plan the job, edit files, run it: exit code, what it has made if anything, and what it says."""

    def run(
        before: dict[str, str] | None = None,
        during: dict[str, str] | None = None,
        late: bool = False,
        beyond: str = "",
        kept: bool = True,
    ) -> Outcome:
        package, scripts = sources / "src" / "homolog", sources / "scripts"
        edits = {str(package / name): text for name, text in (during or {}).items()}
        spec = json.dumps({"threads": 1, "edits": edits, "late": late, "beyond": beyond})
        code = Code.read(sources / "src", [scripts / "made_up.py"])
        planned = {VARIABLE: str(code.save(sources / "kept"))} if kept else {}
        for name, text in (before or {}).items():
            (package / name).write_text(text)
        variables = {**environment(), "PYTHONPATH": str(sources / "src"), "PYTHONDONTWRITEBYTECODE": "1", **planned}
        command = [sys.executable, "-c", HARNESS, spec, code.fingerprint("made_up.py", spec), str(scripts)]
        done = subprocess.run(command, cwd=sources / "work", env=variables, text=True, capture_output=True)
        made = sources / "work" / "made"
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, made.read_text() if made.exists() else None, done.stderr

    return run


OTHER = MODULES["used.py"].replace("1", "10")
UNSEEN = {
    "comment": MODULES["used.py"] + "# A remark.\n",
    "docstring": '"""What it is."""\n\n\n' + MODULES["used.py"],
    "out of reach": MODULES["used.py"].replace("2", "20"),
}


@pytest.mark.parametrize("kept", [True, False])
def test_a_job_whose_code_stays_is_published(run_job: Callable[..., Outcome], kept: bool) -> None:
    assert run_job(late=True, kept=kept) == (0, "3", "")


@pytest.mark.parametrize("edit", UNSEEN)
@pytest.mark.parametrize("when", ["before", "during"])
def test_edits_that_change_nothing_are_no_reason(run_job: Callable[..., Outcome], when: str, edit: str) -> None:
    assert run_job(**{when: {"used.py": UNSEEN[edit]}}) == (0, "1", "")


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    "case", [{"before": {"used.py": OTHER}}, {"during": {"late.py": "def late():\n    return 4\n"}, "late": True}]
)
def test_a_job_that_ran_other_code_publishes_nothing(
    run_job: Callable[..., Outcome], case: dict[str, object], kept: bool
) -> None:
    status, made, told = run_job(**case, kept=kept)
    assert (status, made) == (1, None)
    where = " (homolog.used)" if "before" in case else " (homolog.late)"
    start = f"homolog: error: the code has changed since this job was planned{where if kept else ''}: nothing of it was"
    assert told.startswith(start)
    assert len(told.splitlines()) == 1


def test_what_was_loaded_counts_and_not_what_lies_there_since(run_job: Callable[..., Outcome]) -> None:
    # A loaded module stays what it is, however its file is edited meanwhile; put back, nothing would tell of one that
    # was loaded in between, but what was kept of it.
    assert run_job(during={"used.py": OTHER}) == (0, "1", "")


def test_a_module_that_no_name_tells_of_is_told(run_job: Callable[..., Outcome]) -> None:
    status, made, told = run_job(beyond="beyond")
    assert (status, made) == (1, None)
    assert told.startswith("homolog: error: this job has loaded homolog.beyond, which its fingerprint doesn't cover: ")
    assert len(told.splitlines()) == 1
