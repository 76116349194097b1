"""How do SAE libraries compare on equal tasks: `python -m benchmarks.peers.run` prints the table in Markdown.

In every round each library is timed in three ways, one library after the other: one process on one core; two such
processes at once, each with one half of the grid; and one process with two threads. The better of the last two is
what the library makes of the machine. Only the library that is being timed computes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.floor import floor
from benchmarks.peers.rows import ROWS, Row, quick
from benchmarks.peers.table import markdown
from benchmarks.peers.task import Member, planted

ROOT = Path(__file__).parent.parent.parent
HELD_OUT_ROWS = 16_384
SEEDS = (0, 1)


class Worker:
    """A process of `benchmarks.peers.worker`."""

    def __init__(self, library: str, data: Path, log: Path) -> None:
        quiet = {"TQDM_DISABLE": "1", "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "benchmarks.peers.worker", library, str(data)]
        self.library, self.log, self.memory_at_start = library, log, 0.0
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=-1, stdout=-1, stderr=errors, env={**os.environ, **quiet}
            )

    def send(self, members: list[Member], threads: int, warmup: int, quality: bool = False) -> None:
        """Let it train."""
        order = {"members": [asdict(m) for m in members], "threads": threads, "warmup": warmup, "quality": quality}
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """Wait for what it found; raises RuntimeError with the end of its log when it has died."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.library} ended early:\n{self.log.read_text()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def started(row: Row, folder: Path) -> Iterator[dict[str, list[Worker]]]:
    """Two workers of each library, their imports done and the row's data loaded."""
    x = planted(row.train_rows + HELD_OUT_ROWS, row.units, row.features, row.active)
    data = folder / "data.pt"
    torch.save({"train": x[HELD_OUT_ROWS:].clone(), "held_out": x[:HELD_OUT_ROWS].clone()}, data)
    del x
    with ExitStack() as stack:
        workers: dict[str, list[Worker]] = {}
        for library in row.libraries:
            workers[library] = [Worker(library, data, folder / f"{library}-{i}.log") for i in SEEDS]
            for worker in workers[library]:
                stack.callback(worker.close)
            for worker in workers[library]:  # Library by library: all imports at once would take their time.
                worker.memory_at_start = worker.answer()["peak_memory"]
        yield workers


def together(
    workers: list[Worker], orders: list[list[Member]], threads: int, warmup: int, quality: bool = False
) -> list[dict[str, Any]]:
    """The answers of workers that train at the same time."""
    for worker, members in zip(workers, orders, strict=False):
        worker.send(members, threads, warmup, quality)
    return [worker.answer() for worker, _ in zip(workers, orders, strict=False)]


def timed(row: Row, library: str, workers: list[Worker]) -> dict[str, list[dict[str, Any]]]:
    """One round of one library: the answers of each way of using the machine."""
    halves = [row.grid(library, seed) for seed in SEEDS]
    whole = halves[0] + halves[1] if library == "ours" else halves[0]
    return {
        "one_core": together(workers, halves[:1], 1, row.warmup),
        "two_processes": together(workers, halves, 1, row.warmup),
        "two_threads": together(workers, [whole], 2, row.warmup),
    }


def judged(row: Row, workers: list[Worker]) -> list[dict[str, Any]]:
    """By seed: FVU and L0 of the judged members (by number of steps, as text), and the most memory they took."""
    found: list[dict[str, Any]] = [{"trainings": {}, "peak_memory": 0.0} for _ in SEEDS]
    for steps in row.lengths:
        answers = together(workers, [row.judged(seed, steps) for seed in SEEDS], 1, row.warmup, quality=True)
        for facts, answer in zip(found, answers, strict=True):
            facts["trainings"][str(steps)] = answer["quality"]
            facts["peak_memory"] = max(facts["peak_memory"], answer["peak_memory"])
    return found


def measure(row: Row, rounds: int) -> dict[str, Any]:
    """All that is measured for one row."""
    with tempfile.TemporaryDirectory() as folder, started(row, Path(folder)) as workers:
        times: dict[str, list[Any]] = {library: [] for library in row.libraries}
        for round_ in range(rounds):
            for library in row.libraries:
                times[library].append(timed(row, library, workers[library]))
                print(f"{row.method}: round {round_ + 1} of {rounds}, {library}", file=sys.stderr)
        quality = {library: judged(row, workers[library]) for library in row.libraries}
        memory = {lib: workers[lib][0].memory_at_start for lib in row.libraries}
    return {"row": asdict(row), "times": times, "quality": quality, "memory_at_start": memory, "floor": floor(row)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes; FVUs are of unfinished trainings")
    parser.add_argument("--rounds", type=int, help="paired rounds (default 3, quick: 1)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="only these rows of the table")
    parser.add_argument("--out", type=Path, help="folder for table.md and measurements.json")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="peers-"))
    out.mkdir(parents=True, exist_ok=True)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    start, found = time.time(), {"quick": arguments.quick, "rounds": rounds, "torch": torch.__version__, "rows": {}}
    for name in arguments.rows:
        found["rows"][name] = measure(quick(ROWS[name]) if arguments.quick else ROWS[name], rounds)
        found["minutes"] = (time.time() - start) / 60
        (out / "measurements.json").write_text(
            json.dumps(found, indent=1)
        )  # After each row: a late failure loses none.
        (out / "table.md").write_text(markdown(found))
    print(markdown(found))
    print(f"Written to {out}/table.md and {out}/measurements.json", file=sys.stderr)


if __name__ == "__main__":
    main()
