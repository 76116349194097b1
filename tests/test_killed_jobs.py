"""Does a job that is killed inside the workflow go on, when it is run again, to the arrays of an undisturbed build?"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from safetensors import safe_open
from test_reproducible import arrays
from workspace import Workspace, environment

STEPS = 4000
TARGET = "results/models/digits_mlp/seed_0/hidden_1/topk.h5"


@pytest.mark.slow
def test_a_decomposition_that_is_killed_twice_ends_in_the_arrays_of_an_undisturbed_build(tmp_path: Path) -> None:
    """By SIGKILL to the job, as where memory runs out; states are saved after every chunk here, not every minute."""
    workspace = Workspace.fresh(tmp_path)
    workspace.configure(lambda config: config["decompositions"]["topk"].update(steps=STEPS))
    module = workspace.module("homolog.store.saved_state")
    every_minute = module.read_text()
    module.write_text(every_minute.replace("SECONDS = 60.0", "SECONDS = 0.0"))
    assert module.read_text() != every_minute
    path = workspace.folder / TARGET
    state = path.with_name(f".{path.name}.training")

    workspace.build(TARGET)
    undisturbed = dict(arrays(path))
    path.unlink()

    # At random, once in the first half and once in what is then left.
    kill_once_past(random.randrange(STEPS // 2), workspace, state)
    reached = step_saved(state)
    assert not path.exists()
    seen = kill_once_past(random.randrange(reached, STEPS - 300), workspace, state)
    assert min(seen) == reached, "it began anew"
    assert not path.exists()
    workspace.build(TARGET)
    assert not state.exists()
    assert dict(arrays(path)) == undisturbed, f"killed with steps {reached} and {seen[-1]} saved"


def kill_once_past(step: int, workspace: Workspace, state: Path) -> list[int]:
    """Build, kill the job once it has saved a state past `step`, and wait for Snakemake to fail; all steps seen."""
    seen = [step_saved(state)]
    with (
        (workspace.folder / "output").open("w") as output,
        subprocess.Popen(
            workspace.command(TARGET),
            cwd=workspace.folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            while seen[-1] <= step:
                assert process.poll() is None, f"it ended before it could be killed past step {step}"
                time.sleep(0.01)
                seen.append(step_saved(state))
            jobs = [child for child in psutil.Process(process.pid).children(recursive=True) if is_job(child)]
            assert len(jobs) == 1
            jobs[0].kill()
            assert process.wait(timeout=60) != 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return seen


def is_job(process: psutil.Process) -> bool:
    """Whether it is Python at work on the script, rather than the shell that waits for it."""
    return process.name().startswith("python") and process.cmdline()[-1].endswith("decompose.py")


def step_saved(state: Path) -> int:
    """Up to which step a training is saved; 0 where it isn't."""
    try:
        with safe_open(state, "np") as file:
            return int(file.get_tensor("0.step"))
    except FileNotFoundError:
        return 0
