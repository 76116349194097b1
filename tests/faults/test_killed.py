"""After a kill at any moment, of a job or of Snakemake, does a plain rerun end in the bits of an undisturbed build?"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import psutil
import pytest
from cheap import (
    EXPERIMENT,
    MODEL,
    cheap,
    kill_a_job,
    left_over,
    numbers,
    printed,
    running,
    told,
    wait_for_job,
)
from workspace import Workspace

pytestmark = pytest.mark.faults

# Shared out among processes (`--numprocesses`); fewer for a look: HOMOLOG_KILLS=8.
KILLS, PARTS = int(os.environ.get("HOMOLOG_KILLS", "100")), 4


def wipe(workspace: Workspace) -> None:
    """As if nothing had been built."""
    for path in (workspace.results, workspace.folder / ".snakemake"):
        subprocess.run(["rm", "-rf", str(path)], check=True)


def build_killing(workspace: Workspace, expected: dict[str, bytes], draw: Random, kills: int, span: float) -> None:
    """Plain runs, one after another: in each a job is killed until `kills` are; then all builds end undisturbed.

    Whenever Snakemake has ended, what stands under a final name is what belongs there.
    """
    killed, done = 0, False
    while not done:
        with running(workspace, "--cores", "1", EXPERIMENT) as process:
            hit = killed < kills and kill_a_job(process, draw, span)
            status = process.wait(timeout=600)
        killed += hit
        found = numbers(workspace)
        wrong = [name for name, content in found.items() if content != expected[name]]
        assert wrong == [], f"{wrong} after {killed} kills: {printed(workspace)}"
        # A job may be killed when it has nothing more to do.
        assert status == (status != 0), printed(workspace)
        assert status == 0 or hit, printed(workspace)
        if status == 0:
            assert found == expected
            assert left_over(workspace) == []
            done = killed == kills
            if not done:
                wipe(workspace)
    assert workspace.planned(EXPERIMENT) == set()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_job_killed_at_random_moments(tmp_path: Path, expected: dict[str, bytes], part: int) -> None:
    """Moments over the whole build: each run goes on from where the last was killed."""
    build_killing(cheap(tmp_path), expected, Random(part), KILLS // PARTS, span=1.5)


def test_a_real_job_killed_at_random_moments(tmp_path: Path) -> None:
    """On the tiny experiment itself."""
    workspace = Workspace.fresh(tmp_path)
    workspace.configure(
        lambda config: config.update(
            experiments={EXPERIMENT: config["experiments"][EXPERIMENT] | {"decompositions": ["pca", "topk"]}}
        )
    )
    workspace.build("--cores", "2", EXPERIMENT)
    expected = numbers(workspace)
    wipe(workspace)
    build_killing(workspace, expected, Random(0), min(5, KILLS // PARTS), span=20)


@pytest.mark.parametrize("seed", range(min(5, KILLS // PARTS)))
def test_snakemake_killed_leaves_a_lock_and_says_so(tmp_path: Path, expected: dict[str, bytes], seed: int) -> None:
    """Jobs that it had started go on; the next run waits for them."""
    workspace, draw = cheap(tmp_path), Random(seed)
    with running(workspace, "--cores", "2", EXPERIMENT) as process:
        wait_for_job(process)
        time.sleep(draw.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        rerun = workspace.snakemake("--cores", "2", EXPERIMENT)
        assert rerun.returncode == 1, rerun.stdout
        assert "Directory cannot be locked" in rerun.stdout
        assert "It can be removed with the --unlock argument" in " ".join(rerun.stdout.split())
        workspace.build("--unlock", EXPERIMENT)
        workspace.build("--cores", "2", EXPERIMENT)
    assert numbers(workspace) == expected
    assert left_over(workspace) == []


def let_it_wait(workspace: Workspace) -> None:
    """Trainings go on when there is a file `go`."""
    script = workspace.script("train")
    body = script.read_text()
    waits = "    import os\n\n    while not os.path.exists('go'):\n        time.sleep(0.05)\n    digest ="
    script.write_text(body.replace("    digest =", waits, 1))
    assert script.read_text() != body


def has_ended(process: psutil.Process) -> bool:
    """Also when nobody has asked yet how."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_job_that_outlives_its_snakemake_is_waited_for(tmp_path: Path) -> None:
    """Planned with another config, it would write over what the next run has built."""
    workspace = cheap(tmp_path)
    let_it_wait(workspace)
    with running(workspace, MODEL) as process:
        (orphan,) = wait_for_job(process)
        claim = (workspace.folder / MODEL).with_name(".model.safetensors.lock")
        wait_until(claim.exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not has_ended(orphan)
    workspace.build("--unlock", MODEL)
    workspace.configure(lambda config: config["models"]["digits_mlp"]["training"].update(lr=1e-3))
    with running(workspace, MODEL) as process:
        wait_until(lambda: "waiting for it" in printed(workspace))
        (workspace.folder / "go").touch()
        assert process.wait(timeout=120) == 0, printed(workspace)
    assert f"homolog: warning: process {orphan.pid} on " in printed(workspace)
    assert has_ended(orphan)
    own = cheap(tmp_path / "own")
    (own.folder / "config.yaml").write_text((workspace.folder / "config.yaml").read_text())
    own.build(MODEL)
    assert numbers(workspace) == numbers(own)
    assert workspace.planned(MODEL) == set()


def wait_until(condition, seconds: float = 120) -> None:
    finish = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < finish, "it never came to that"
        time.sleep(0.02)


def test_two_snakemakes_in_one_folder(tmp_path: Path, expected: dict[str, bytes]) -> None:
    """The second one is told; the first isn't disturbed."""
    workspace = cheap(tmp_path)
    let_it_wait(workspace)
    with running(workspace, "--cores", "2", EXPERIMENT) as process:
        assert wait_for_job(process)
        second = workspace.snakemake("--cores", "1", EXPERIMENT)
        assert second.returncode == 1
        assert "Directory cannot be locked" in second.stdout
        (workspace.folder / "go").touch()
        assert process.wait(timeout=300) == 0, printed(workspace)
    assert told(printed(workspace)) == []
    assert numbers(workspace) == expected
