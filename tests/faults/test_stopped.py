"""Does a long training that is asked to stop save its state, and go on from there to the same bits?"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from cheap import MODEL, numbers, printed, running, told, wait_for_job
from safetensors import safe_open
from workspace import Workspace

pytestmark = pytest.mark.faults

SPARSE = "results/models/digits_mlp/seed_0/hidden_1/topk.h5"
STOPPED = "no part of an output was left behind; run the same command again to go on."


def long(config: dict) -> None:
    config["models"]["digits_mlp"]["training"].update(steps=6000, log_every=500)
    config["decompositions"]["topk"].update(steps=12000)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    finish = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < finish, "it never came to that"
        time.sleep(0.02)


def step_of(state: Path, target: str) -> int:
    with safe_open(state, "np") as file:
        return int(file.get_tensor("step" if target == MODEL else "0.step"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.fresh(tmp_path_factory.mktemp("undisturbed"))
    workspace.configure(long)
    module = workspace.module("homolog.store.saved_state")
    module.write_text(module.read_text().replace("SECONDS = 60.0", "SECONDS = 0.5"))
    workspace.build("--cores", "1", SPARSE)
    return workspace


@pytest.mark.parametrize("target", [MODEL, SPARSE])
@pytest.mark.parametrize("how", ["SIGTERM", "Snakemake is killed"])
def test_a_training_that_is_stopped_goes_on(undisturbed: Workspace, tmp_path: Path, target: str, how: str) -> None:
    workspace = undisturbed.copy(tmp_path)
    path = workspace.folder / target
    path.unlink()
    state = path.with_name(f".{path.name}.training")
    log = (
        workspace.results / "models/digits_mlp/seed_0/logs" / ("train.log" if target == MODEL else "hidden_1/topk.log")
    )
    log.unlink()
    with running(workspace, "--cores", "1", target) as process:
        (job,) = wait_for_job(process)
        wait_until(state.exists)
        seen = step_of(state, target)
        if how == "SIGTERM":
            job.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 1
        else:
            process.kill()
            process.wait()
        wait_until(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE, 30)
    (line,) = told(printed(workspace))
    reason = "SIGTERM" if how == "SIGTERM" else "the end of the Snakemake that started it"
    assert line == f"stopped by {reason}: {STOPPED}"
    assert not path.exists()
    assert step_of(state, target) > seen
    if how != "SIGTERM":
        workspace.build("--unlock", target)
    workspace.build("--cores", "1", target)
    assert "goes on from a saved state" in log.read_text()
    assert not state.exists()
    assert numbers(workspace) == numbers(undisturbed)
    assert os.path.exists(path)
