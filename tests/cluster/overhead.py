"""What does a job cost beside its own work: on this machine, through SLURM, and through SLURM in groups?

``python tests/cluster/overhead.py`` on a machine that does nothing else; docs/cluster.md holds what it printed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import slurm
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from workspace import ROOT, Workspace, environment

JOBS = 8
CONFIG = {
    "device": "cpu",
    "threads": 1,
    "models": {
        "small": {
            "task": {"name": "digits"},
            "architecture": {"name": "mlp", "widths": [16]},
            "training": {"steps": 10},
        }
    },
    "decompositions": {f"pca_{n}": {"method": "pca", "n_latents": n} for n in range(1, JOBS + 1)},
    "experiments": {
        "alone": {
            "analysis": {"name": "stability", "null_draws": 2},
            "figure": "stability",
            "hook_points": ["hidden_0"],
            "decompositions": [f"pca_{n}" for n in range(1, JOBS + 1)],
            "conditions": {"both": {"models": ["small"], "seeds": [0, 1]}},
        }
    },
}
RUN = "results/models/small/seed_0"
TARGETS = [f"{RUN}/hidden_0/{name}.h5" for name in CONFIG["decompositions"]]
QUEUED = ("--workflow-profile", ROOT / "profiles" / "slurm", "--slurm-init-seconds-before-status-checks", "1")


def measure(workspace: Workspace, arguments: tuple[object, ...], known: dict[str, str]) -> tuple[float, float]:
    """Seconds from start to end, and those that the jobs' own processes took."""
    for name in ("hidden_0", "benchmarks/hidden_0"):
        shutil.rmtree(workspace.folder / RUN / name, ignore_errors=True)
    start = time.perf_counter()
    done = workspace.snakemake(*arguments, *TARGETS, env=environment() | known)
    taken = time.perf_counter() - start
    assert done.returncode == 0, done.stdout
    tables = (workspace.folder / RUN / "benchmarks" / "hidden_0").glob("*.tsv")
    return taken, sum(float(table.read_text().splitlines()[1].split("\t")[0]) for table in tables)


def elapsed(cluster: slurm.Cluster, known: set[str]) -> list[float]:
    """Seconds that each job of the queue held its place, of those that aren't `known`."""
    lines = cluster.ask("squeue", "--noheader", "--states=all", "--format=%i").split()
    found = [cluster.job(number) for number in lines if number not in known]
    return [seconds(job["EndTime"]) - seconds(job["StartTime"]) for job in found]


def seconds(stamp: str) -> float:
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S"))


def main() -> None:
    slurm.install()
    with tempfile.TemporaryDirectory(prefix="homolog-overhead-") as folder:
        workspace = Workspace.fresh(Path(folder) / "workspace")
        (workspace.folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        workspace.build("--cores", "1", f"{RUN}/activations.h5")
        taken, own = measure(workspace, ("--cores", "1"), {})
        print(f"{JOBS} jobs, {os.cpu_count()} cores; each job's own process {own / JOBS:.1f} s")
        print(f"this machine, one by one: {taken:.0f} s in all, {(taken - own) / JOBS:.1f} s a job beside its own")
        with slurm.started() as cluster:
            seen: set[str] = set()
            for at_a_time in (1, JOBS):
                arguments = (*QUEUED, "--group-components", f"run={at_a_time}", "--jobs", "1", "--cores", "1")
                taken, own = measure(workspace, arguments, cluster.environment)
                held = elapsed(cluster, seen)
                seen |= set(cluster.ask("squeue", "--noheader", "--states=all", "--format=%i").split())
                print(
                    f"SLURM, {at_a_time} at a time: {taken:.0f} s in all in {len(held)} submissions, "
                    f"of which they ran {sum(held):.0f} s: {(sum(held) - own) / JOBS:.1f} s a job beside its own"
                )


if __name__ == "__main__":
    main()
