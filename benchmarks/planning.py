"""How long does `snakemake --dry-run` take on ten thousand jobs, and how much of that is ours?

Writes a config with about that many jobs into an empty folder and plans it in cold processes, without and with what
planning keeps in `.snakemake/homolog`. Beside it stands the floor: the same jobs, files and edges in a Snakefile that
does nothing but name them, with no params, resources, logs or messages. Then all is planned once more with a clock
around what the workflow calls of the library. Prints a table in Markdown; processor seconds, since these hardly depend
on what else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from homolog.results.planned import PlannedJob

ROOT = Path(__file__).parent.parent
SEEDS, DECOMPOSITIONS = 10, 22
HOOK_POINTS = ["hidden_1", "hidden_2"]


def config_of(jobs: int) -> dict[str, Any]:
    """Experiments of ten runs each, which no other one shares, with about `jobs` jobs in all."""
    of_run = 2 + len(HOOK_POINTS) * DECOMPOSITIONS
    # Each run has its step 0 beside it, and an experiment its gauge control.
    experiments = max(1, round(jobs / (of_run * (2 * SEEDS + len(HOOK_POINTS)))))
    names = [f"pca_{i}" for i in range(DECOMPOSITIONS)]

    def experiment(i: int) -> dict[str, Any]:
        seeds = list(range(i * SEEDS, (i + 1) * SEEDS))
        return {
            "analysis": {"name": "stability"},
            "figure": "stability",
            "hook_points": HOOK_POINTS,
            "decompositions": names,
            "conditions": {"alone": {"models": ["some"], "seeds": seeds}},
        }

    training = {"steps": 60, "batch_size": 128, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2, "log_every": 20}
    model = {
        "task": {"name": "digits"},
        "architecture": {"name": "mlp", "widths": [48, 32, 48]},
        "training": training,
        "activations": {"dtype": "float32"},
    }
    return {
        "models": {"some": model},
        "decompositions": {name: {"method": "pca", "n_latents": i + 1} for i, name in enumerate(names)},
        "experiments": {f"experiment_{i}": experiment(i) for i in range(experiments)},
    }


def processor_seconds(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def plan_cold(folder: Path, snakefile: Path = ROOT / "Snakefile") -> tuple[float, float, int]:
    """Wall and processor seconds of a process of its own, and how many jobs it told of."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", folder]
    command += ["--workflow-profile", ROOT / "profiles" / "default", "--dry-run", "--quiet", "rules", "host"]
    start, before = time.perf_counter(), processor_seconds(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=True)
    seconds, used = time.perf_counter() - start, processor_seconds(resource.RUSAGE_CHILDREN) - before
    totals = [line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total ")]
    return seconds, used, int(totals[0])


class Clock:
    """Processor seconds spent below functions that are clocked, by name; inner calls count to the outermost."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running = False

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running, start = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self._running = False
                self.seconds[name] += time.process_time() - start

        return clocked


BARE_HEAD = """
import json

with open("inputs.json") as file:
    INPUTS = json.load(file)

rule all:
    input: INPUTS["all"][""]
"""
BARE_RULE = """
rule {name}:
    input: lambda wildcards: INPUTS["{name}"]["/".join(value for _, value in sorted(wildcards.items()))]
    output: {output}
    shell: "true"
"""


def write_bare(jobs: Sequence[PlannedJob], folder: Path) -> Path:
    """A Snakefile of the same jobs, files and edges, and nothing else: what it takes is Snakemake's own time."""
    inputs: dict[str, dict[str, list[str]]] = {}
    for one in jobs:
        key = "/".join(value for _, value in sorted(one.job.wildcards_dict.items()))
        inputs.setdefault(one.rule, {})[key] = one.inputs
    read = {path for one in jobs for path in one.inputs}
    inputs["all"] = {"": [one.outputs[0] for one in jobs if read.isdisjoint(one.outputs)]}
    outputs = {one.rule: [str(path) for path in one.job.rule.output] for one in jobs}
    rules = [BARE_RULE.format(name=name, output=", ".join(map(repr, output))) for name, output in outputs.items()]
    (folder / "inputs.json").write_text(json.dumps(inputs))
    (folder / "Snakefile").write_text(BARE_HEAD + "".join(rules))
    return folder / "Snakefile"


def plan_clocked(folder: Path, bare: Path) -> tuple[float, Counter[str]]:
    """Processor seconds of the same in this process, all in all and below what the workflow calls of the library.

    Leaves the Snakefile of the floor in the folder `bare`.
    """
    sys.path.insert(0, str(ROOT / "src"))
    import homolog.config
    import homolog.provenance
    from homolog.planning.experiments import PlannedExperiment
    from homolog.planning.plan import Plan
    from homolog.results.planned import planned

    clock = Clock()
    homolog.config.parse_config = clock.around("reading the config", homolog.config.parse_config)
    homolog.provenance.planned_code = clock.around("reading the code", homolog.provenance.planned_code)
    homolog.provenance.Code.fingerprint = clock.around("fingerprints", homolog.provenance.Code.fingerprint)
    Plan.spec = clock.around("specs", Plan.spec)
    for name in ("pairs", "compared", "runs", "tracked", "with_gaussian"):
        found = getattr(PlannedExperiment, name)
        asked = getattr(found, "fget", None) or found.func
        setattr(PlannedExperiment, name, property(clock.around("runs of experiments", asked)))
    os.chdir(folder)
    start = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()), planned(ROOT / "Snakefile") as plan:
        used = time.process_time() - start
        write_bare(plan.jobs, bare)
    return used, clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="default: 10000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        folder, bare = Path(name), Path(other)
        (folder / "config.yaml").write_text(yaml.safe_dump(config_of(options.jobs)))
        rows = [("a cold process", plan_cold(folder)), ("the next one", plan_cold(folder))]
        whole, parts = plan_clocked(folder, bare)
        rows.append(("the floor: a bare Snakefile of these jobs", plan_cold(bare, bare / "Snakefile")))
        print(f"{rows[0][1][2]} jobs, {rows[-1][1][2]} in the bare Snakefile\n")
        print("| | wall s | processor s |\n|---|---|---|")
        for what, (seconds, used, _) in rows:
            print(f"| {what} | {seconds:.1f} | {used:.1f} |")
        for part, used in parts.most_common():
            print(f"| of ours: {part} | | {used:.2f} |")
        print(f"| the rest, without starting Python and looking at each job | | {whole - sum(parts.values()):.1f} |")


if __name__ == "__main__":
    main()
