"""Where does the time of `make stability` go: scheduler, process start-up, or the stages' own work?

Builds the experiment in an empty folder and prints a table in Markdown. Wall times come from the rules' own benchmark
files; a script's start-up is the time of a process that runs its import statements and nothing else.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from homolog.results.times import read_times

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"
RULES = ("train", "dump_activations", "decompose", "analyse", "track", "plot")


def imports_of(script: Path) -> str:
    """The import statements of a script, wherever they stand, one a line."""
    nodes = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in nodes)


def start_up(script: Path, repeats: int = 5) -> float:
    """Median seconds of a process that imports what `script` imports; the first, cold run is left out."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", imports_of(script)], check=True, env=environment)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def snakemake(folder: Path, *arguments: str) -> float:
    """Seconds of one snakemake call in `folder`."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder), *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="stability")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "config.yaml", folder)
        target = f"results/figures/{arguments.experiment}.pdf"
        elapsed = snakemake(folder, target, "--cores", str(arguments.cores))
        planning = statistics.median(snakemake(folder, "-n", target) for _ in range(5))
        found = read_times(folder / "results", [script.stem for script in SCRIPTS.glob("*.py")])
    print("| rule | jobs | wall, median s | of it start-up | own work | sum of walls, s | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    total = started = 0.0
    for rule in RULES:
        of_rule = found[found.rule == rule]
        walls = of_rule.seconds.tolist()
        begin = start_up(SCRIPTS / f"{rule}.py")
        median = statistics.median(walls)
        total, started = total + sum(walls), started + begin * len(walls)
        memory = of_rule.megabytes.max()
        cells = [f"{median:.2f}", f"{begin:.2f}", f"{median - begin:.2f}", f"{sum(walls):.1f}", f"{memory:.0f}"]
        print("| " + " | ".join([rule, str(len(walls)), *cells]) + " |")
    available = elapsed * arguments.cores
    print(f"\nElapsed {elapsed:.1f} s on {arguments.cores} cores, which is {available:.0f} core-seconds: ", end="")
    print(
        f"own work {total - started:.0f}, process start-up {started:.0f}, scheduler and idle {available - total:.0f}."
    )
    print(f"`snakemake -n` on the built results: {planning:.2f} s (median of 5).")


if __name__ == "__main__":
    main()
