"""Does the workflow come through a real SLURM: whole, with equal bits, and past everything that can go wrong there?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import slurm
import yaml
from equal import assert_equal_bits
from workspace import ROOT, Workspace, environment

pytestmark = pytest.mark.cluster

PROFILE = ROOT / "profiles" / "slurm"
FAULTS = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "tests" / "cluster" / "faults.smk")]
FAULTS += ["--workflow-profile", str(PROFILE)]
# Here a job is over in seconds.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")


@dataclass
class Run:
    """A Snakemake that submits jobs, in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, command: list[str], folder: Path, cluster: slurm.Cluster) -> Run:
        log = folder / "snakemake.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, *QUICK], cwd=folder, env=environment() | cluster.environment, stdout=stream, stderr=stream
            )
        return cls(folder, process, log)

    def end(self, seconds: float = 400) -> int:
        """Its exit status."""
        return self.process.wait(seconds)

    def stop(self) -> None:
        """Ctrl-C, as long as it runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def attempts(self, name: str) -> list[str]:
        """What each attempt of a job noted: its number in the queue, or more."""
        return [path.read_text().strip() for path in sorted(self.folder.glob(f"{name}.?"))]


def wait(holds: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)


# Before there is the cluster of the tests below.
def test_nothing_of_a_cluster_is_left() -> None:
    slurm.install()
    with slurm.started() as short:
        assert short.ask("srun", "hostname").strip()
        short.ask("sbatch", "--wrap", "sleep 600")
        assert processes_that_mention(short.folder)
    assert processes_that_mention(short.folder) == []
    assert not short.folder.exists()
    assert not slurm.KNOWN.parent.exists()


def processes_that_mention(folder: Path) -> list[str]:
    """Command lines and environments of processes, but of this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if bytes(folder) in said and process.name != str(os.getpid()):
            found.append(said.decode(errors="replace"))
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm.Cluster]:
    slurm.install()
    with slurm.started() as running:
        yield running


@pytest.fixture(scope="module")
def experiment(cluster: slurm.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The tiny experiment on its way through the queue."""
    workspace = Workspace.fresh(tmp_path_factory.mktemp("queued"))
    run = Run.start(workspace.command("--workflow-profile", PROFILE, "stability"), workspace.folder, cluster)
    yield run
    run.stop()


@pytest.fixture(scope="module")
def faults(cluster: slurm.Cluster, experiment: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Jobs that fail in every way, at their end, beside the experiment: one is cancelled, the node drained."""
    run = Run.start(FAULTS, tmp_path_factory.mktemp("faults"), cluster)
    try:
        wait(lambda: any(run.attempts("cancelled")))
        cluster.ask("scancel", run.attempts("cancelled")[0])
        cluster.set_state("drain")
        wait(lambda: "rule_cancelled" in [job.comment for job in cluster.queue("PENDING")])
        (run.folder / "drained").write_text("\n".join(job.reason for job in cluster.queue("PENDING")))
        assert not (run.folder / "cancelled.2").exists()
        cluster.set_state("resume")
        assert run.end() != 0
        yield run
    finally:
        run.stop()


def test_memory_and_time_grow_with_each_attempt(faults: Run) -> None:
    attempts = [dict(re.findall(r"(TimeLimit|MinMemoryNode)=(\S+)", told)) for told in faults.attempts("grown")]
    assert [attempt["TimeLimit"] for attempt in attempts] == ["00:02:00", "00:04:00", "00:06:00"]
    assert [attempt["MinMemoryNode"] for attempt in attempts] == ["100M", "200M", "300M"]
    assert (faults.folder / "grown").exists()


def test_a_job_killed_at_its_time_limit_is_told_and_gets_more_time(faults: Run, cluster: slurm.Cluster) -> None:
    first, second = faults.attempts("in_time")
    assert re.search(rf"'{first}' failed, SLURM status is: 'TIMEOUT'", faults.log.read_text())
    assert (faults.folder / "in_time").exists()
    assert cluster.job(second)["TimeLimit"] == "00:02:00"


def test_a_cancelled_job_is_told_and_submitted_again(faults: Run) -> None:
    first, second = faults.attempts("cancelled")
    assert first != second
    assert re.search(rf"'{first}' failed, SLURM status is: 'CANCELLED'", faults.log.read_text())
    assert (faults.folder / "cancelled").exists()


def test_jobs_wait_while_the_node_is_drained_and_go_on_once_it_is_resumed(faults: Run, cluster: slurm.Cluster) -> None:
    reasons = (faults.folder / "drained").read_text()
    assert re.search("DOWN, DRAINED|not available", reasons), reasons
    assert cluster.state() in {"idle", "mixed", "allocated"}


def test_a_job_that_always_fails_ends_the_run_in_an_error_but_not_the_others(faults: Run) -> None:
    assert sorted(path.name for path in faults.folder.glob("hopeless*")) == ["hopeless.1", "hopeless.2", "hopeless.3"]
    assert "rule hopeless" in faults.log.read_text()
    done = {path.name for path in faults.folder.iterdir()}
    assert {"grown", "in_time", "cancelled", "gpu_0", "gpu_1", *(f"short_{n}" for n in range(6))} <= done


def test_jobs_with_a_gpu_get_one_each_and_take_turns(faults: Run) -> None:
    read = [(faults.folder / f"gpu_{n}").read_text().split() for n in range(2)]
    assert [device for _, _, device in read] == ["0", "0"]
    first, second = sorted((float(start), float(end)) for start, end, _ in read)
    assert first[1] < second[0]
    assert (faults.folder / "short_0").read_text().split()[1] == "none"


def test_short_jobs_are_submitted_together(faults: Run) -> None:
    at_a_time = yaml.safe_load((PROFILE / "config.yaml").read_text())["group-components"]["run"]
    jobs = [(faults.folder / f"short_{n}").read_text().split()[0] for n in range(6)]
    assert sorted(jobs.count(job) for job in set(jobs)) == [6 - at_a_time, at_a_time]


def test_ctrl_c_takes_jobs_out_of_the_queue(cluster: slurm.Cluster, tmp_path: Path) -> None:
    run = Run.start([*FAULTS, "in_time"], tmp_path, cluster)
    wait(lambda: any(run.attempts("in_time")))
    run.stop()
    (number,) = run.attempts("in_time")
    wait(lambda: cluster.job(number)["JobState"] == "CANCELLED")
    assert not (tmp_path / "in_time").exists()


def test_the_experiment_has_the_same_bits_as_without_a_queue(experiment: Run, local: Workspace) -> None:
    assert experiment.end() == 0, experiment.log.read_text()
    results = experiment.folder / "results"
    assert_equal_bits(results, local, {"stability.nc", "tracks.nc", "model.safetensors", "activations.h5", "topk.h5"})
    for name in ("stability.pdf", "stability.txt", "stability.csv"):
        assert (results / "figures" / name).read_bytes() == (local.results / "figures" / name).read_bytes()


def test_a_second_call_finds_nothing_to_do(experiment: Run, cluster: slurm.Cluster) -> None:
    experiment.end()
    workspace = Workspace.of(experiment.folder.parent)
    done = workspace.snakemake("--workflow-profile", PROFILE, "stability", env=environment() | cluster.environment)
    assert "Nothing to be done" in done.stdout, done.stdout
