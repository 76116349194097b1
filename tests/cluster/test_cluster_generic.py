"""Does the template for other schedulers work, with commands that stand in for a scheduler's?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from equal import assert_equal_bits
from workspace import ROOT, TINY, Workspace, environment

pytestmark = pytest.mark.cluster

PROFILE = ROOT / "profiles" / "cluster-generic"
STAND_IN = ROOT / "tests" / "cluster" / "stand_in.py"
QUICK = ("--seconds-between-status-checks", "1", "--latency-wait", "5")
# One job succeeds at its second attempt, one is cancelled at its first.
SNAKEFILE = f"""
include: "{ROOT}/workflow/rules/resources.smk"

rule all:
    input: "grown", "cancelled"

rule grown:
    output: "grown"
    resources: attempt=growing(1), mem_mb=growing(100), runtime=growing(5)
    shell: "test {{resources.attempt}} = 2 && touch {{output}}"

rule cancelled:
    output: "cancelled"
    resources: attempt=growing(1), mem_mb=300, runtime=5
    shell: "touch started.{{resources.attempt}}; test {{resources.attempt}} = 2 || sleep 600; touch {{output}}"
"""


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """Where the stand-in keeps its jobs."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!{sys.executable} -S\n{STAND_IN.read_text()}")
        program.chmod(0o755)
    return tmp_path / "queue"


def with_stand_in(queue: Path) -> dict[str, str]:
    known = environment()
    return known | {"PATH": f"{queue.parent / 'bin'}:{known['PATH']}", "STAND_IN_QUEUE": str(queue)}


def options(queue: Path) -> list[str]:
    """Which options each job was submitted with, in order."""
    numbers = sorted(int(job.name) for job in queue.iterdir())
    return [(queue / str(number) / "options").read_text() for number in numbers]


def test_the_workflow_goes_through_it_grouped_with_equal_bits(queue: Path, tmp_path: Path, local: Workspace) -> None:
    workspace = Workspace.fresh(tmp_path / "workspace")
    targets = [f"results/models/digits_mlp/seed_0/hidden_1/{name}.h5" for name in ("pca", "svd")]
    done = workspace.snakemake("--workflow-profile", PROFILE, *QUICK, *targets, env=with_stand_in(queue))
    assert done.returncode == 0, done.stdout
    assert_equal_bits(workspace.results, local, {"model.safetensors", "activations.h5", "pca.h5", "svd.h5"})
    # The training alone; the rest as one.
    training, group = options(queue)
    assert "--mem=2000 --time=30 --gpus=0" in training
    assert "--cpus-per-task=2" in group


def test_a_folder_with_blanks_and_quotes_goes_through_it_and_nothing_of_its_name_is_run(
    queue: Path, tmp_path: Path, local: Workspace
) -> None:
    workspace = Workspace(ROOT, tmp_path / "it's mine; touch was_run & \u00e9 (2) *#")
    workspace.folder.mkdir()
    shutil.copy2(TINY, workspace.folder / "config.yaml")
    target = "results/models/digits_mlp/seed_0/hidden_1/pca.h5"
    done = workspace.snakemake("--workflow-profile", PROFILE, *QUICK, target, env=with_stand_in(queue))
    assert done.returncode == 0, done.stdout
    assert_equal_bits(workspace.results, local, {"model.safetensors", "activations.h5", "pca.h5"})
    assert [path for path in tmp_path.rglob("*") if path.name == "was_run"] == []


def test_a_job_that_fails_or_is_cancelled_is_submitted_again_with_more(queue: Path, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(PROFILE), *QUICK]
    known = with_stand_in(queue)
    with subprocess.Popen(command, cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        end = time.monotonic() + 60
        while not (tmp_path / "started.1").exists():
            assert time.monotonic() < end
            time.sleep(0.2)
        (first,) = (str(n) for n, given in enumerate(options(queue), 1) if "--mem=300" in given)
        subprocess.run(["scancel", first], env=known, check=True)
        output = run.communicate(timeout=120)[0].decode()
    assert run.returncode == 0, output
    assert (tmp_path / "started.2").exists()
    asked = [re.findall(r"--mem=(\d+) --time=(\d+)", given)[0] for given in options(queue)]
    assert [one for one in asked if one[0] != "300"] == [("100", "5"), ("200", "10")]


@pytest.mark.parametrize(
    ("says", "means"),
    [
        ("COMPLETED", "success"),
        ("PENDING", "running"),
        ("RUNNING", "running"),
        ("TIMEOUT", "failed"),
        ("slurm_load_jobs error: Invalid job id specified", "failed"),
        # Asked again.
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", "running"),
    ],
)
def test_what_the_scheduler_says_of_a_job(tmp_path: Path, says: str, means: str) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    squeue.chmod(0o755)
    known = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    found = subprocess.run([PROFILE / "status", "1"], env=known, check=True, stdout=subprocess.PIPE, text=True)
    assert found.stdout == f"{means}\n"
