"""How fast are all pairs of many runs, and how lean one pair of files, beside the libraries that compare two arrays?

Part one: CCA, CKA and Procrustes of all pairs of `--runs` runs in memory, by `RepresentationSet`, and of some pairs by
each other library in the same process, extrapolated linearly to all pairs. netrep is given its caches (whitening once
for each run). Libraries of CKA build matrices of samples x samples; with `--kernel-rows` they see so many rows, and
their time is extrapolated with the square. Differences are those of the pairs that were measured.
Part two: one pair of HDF5 files in a process of its own, its time and its highest memory (VmHWM).
Prints tables in Markdown. Libraries that aren't installed are named and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

MEASURES = ("cca_mean", "linear_cka", "procrustes_similarity")
ONE_FILE_PAIR = ("cca_mean", "cca_r2", "svcca", "linear_cka", "debiased_cka", "procrustes_similarity")
# One measure of one pair of arrays in float64.
Pairwise = Callable[[np.ndarray, np.ndarray], float]


def make_runs(runs: int, samples: int, units: int) -> list[np.ndarray]:
    """Related runs in float32, with a falling spectrum and a mean: a shared part in a basis of its own, and noise."""
    random = np.random.default_rng(0)
    shared = random.standard_normal((samples, units // 2), np.float32)
    spectrum = np.linspace(3, 0.3, units, dtype=np.float32)
    made = []
    for _ in range(runs):
        basis = random.standard_normal((units // 2, units), np.float32) / np.float32(units**0.5)
        made.append((shared @ basis + random.standard_normal((samples, units), np.float32)) * spectrum + 1)
    return made


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processor (of all threads), which others' load spares."""

    wall: float
    processor: float

    def times(self, factor: float) -> Cost:
        return Cost(self.wall * factor, self.processor * factor)

    def plus(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.processor + other.processor)


def timed(work: Callable[[], Any]) -> tuple[Any, Cost]:
    start, busy = time.perf_counter(), time.process_time()
    value = work()
    return value, Cost(time.perf_counter() - start, time.process_time() - busy)


def netrep_pairs(arrays: list[np.ndarray], alpha: float) -> tuple[dict[tuple[int, int], float], Cost, Cost]:
    """Cosines after alignment (alpha 1: Procrustes, 0: CCA), and what each run and each pair costs."""
    metric = importlib.import_module("netrep.metrics").LinearMetric(alpha=alpha)
    caches, runs = timed(lambda: [metric.partial_fit(array) for array in arrays])

    def cosine(i: int, j: int) -> float:
        metric.finalize_fit(caches[i], caches[j])
        return float(np.cos(metric.score(arrays[i], arrays[j])))

    found, pairs = timed(lambda: {(i, j): cosine(i, j) for i, j in combinations(range(len(arrays)), 2)})
    return found, runs.times(1 / len(arrays)), pairs.times(1 / len(found))


def netrep_cka(x: np.ndarray, y: np.ndarray) -> float:
    metric = importlib.import_module("netrep.metrics").LinearCKA()
    return float(np.cos(metric.score(x, y)))


def ckatorch_cka(x: np.ndarray, y: np.ndarray) -> float:
    cka_base = importlib.import_module("ckatorch.core").cka_base
    return float(cka_base(torch.from_numpy(x), torch.from_numpy(y), kernel="linear"))


def repsim_cka(x: np.ndarray, y: np.ndarray) -> float:
    return float(importlib.import_module("repsim").cka([x, y], kernel_type="linear", estimator="gretton")[0, 1])


def torch_cka_debiased(x: np.ndarray, y: np.ndarray) -> float:
    """Of networks' layers over a data loader: here an identity whose output is an array, all rows in one batch."""
    cka = importlib.import_module("torch_cka").CKA
    sides = [torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(a)), len(a)) for a in (x, y)]
    networks = [torch.nn.Sequential(torch.nn.Identity()) for _ in sides]
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compared = cka(*networks, "x", "y", ["0"], ["0"])
        compared.compare(_Loader(sides[0]), _Loader(sides[1]))
    return float(compared.export()["CKA"][0, 0])


class _Loader:
    """Batches in float32: torch_cka multiplies by ones in float32."""

    def __init__(self, loader: Any) -> None:
        self.loader, self.dataset = loader, loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        return ((rows.float(),) for (rows,) in self.loader)


# Package, name in the table, which of our measures it is, and how one pair is measured. All build kernels of all rows.
PEERS: list[tuple[str, str, str, Pairwise]] = [
    ("netrep", "netrep, LinearCKA", "linear_cka", netrep_cka),
    ("ckatorch", "ckatorch, cka_base", "linear_cka", ckatorch_cka),
    ("repsim", "repsim, cka", "linear_cka", repsim_cka),
    ("torch_cka", "torch_cka (debiased, float32)", "debiased_cka", torch_cka_debiased),
]


def all_pairs(options: Any) -> None:
    from homolog.alignment import RepresentationSet

    runs = make_runs(options.runs, options.samples, options.units)
    load = os.getloadavg()[0]
    ours, cost = timed(lambda: RepresentationSet(runs).compare(*MEASURES))
    pairs = options.runs * (options.runs - 1) // 2
    size = f"{options.runs} runs, {options.samples} x {options.units}, {pairs} pairs"
    print(f"\n{size}, {options.threads} threads, load before {load:.1f}\n")
    print("| library | measures | pairs measured | s for all pairs | of ours | processor s | of ours | difference |")
    print("|---|---|---|---|---|---|---|---|")
    row("homolog", ", ".join(MEASURES), pairs, cost, cost, 0.0)
    some = [runs[k].astype(np.float64) for k in range(options.peer_runs)]
    total = Cost(0.0, 0.0)
    if installed("netrep"):
        for alpha, measure in ((0.0, "cca_mean"), (1.0, "procrustes_similarity")):
            found, each_run, each_pair = netrep_pairs(some, alpha)
            theirs = each_run.times(options.runs).plus(each_pair.times(pairs))
            total = total.plus(theirs)
            off = max(abs(value - float(ours[measure][i, j])) for (i, j), value in found.items())
            row(f"netrep, alpha {alpha:.0f}, cached", measure, len(found), theirs, cost, off)
        row("netrep, both", "cca_mean, procrustes_similarity", len(found), total, cost)
    kernels(some, pairs, cost, total, options)


def kernels(some: list[np.ndarray], pairs: int, cost: Cost, before: Cost, options: Any) -> None:
    """The libraries that build kernels, on one pair of some rows."""
    from homolog.alignment import RepresentationSet

    rows = min(options.kernel_rows or options.samples, options.samples)
    x, y = (side[:rows].copy() for side in some[:2])
    expected = RepresentationSet([x, y]).compare("linear_cka", "debiased_cka")
    for package, name, measure, compare in PEERS:
        if not installed(package):
            continue
        value, measured = timed(partial(compare, x, y))
        theirs = measured.times((options.samples / rows) ** 2 * pairs)
        label = name if rows == options.samples else f"{name} ({rows} rows, extrapolated with the square)"
        row(label, measure, 1, theirs, cost, abs(value - float(expected[measure][0, 1])))
        if package == "netrep":
            row("netrep, all three", ", ".join(MEASURES), 1, theirs.plus(before), cost)


def row(label: str, measure: str, measured: int, theirs: Cost, ours: Cost, off: float | None = None) -> None:
    wall = f"{theirs.wall:.1f} | {theirs.wall / ours.wall:.1f}"
    processor = f"{theirs.processor:.1f} | {theirs.processor / ours.processor:.1f}"
    difference = "" if off is None else f"{off:.1e}"
    print(f"| {label} | {measure} | {measured} | {wall} | {processor} | {difference} |", flush=True)


def installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        print(f"| {package} | not installed | | | | | | |")
        return False
    return True


def file_pair(options: Any) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = [Path(folder) / name for name in ("a.h5", "b.h5")]
        random = np.random.default_rng(0)
        for path in paths:
            with h5py.File(path, "w") as file:
                data = file.create_dataset("x", (options.file_samples, options.file_units), np.float32)
                for start in range(0, options.file_samples, 10_000):
                    data[start : start + 10_000] = random.standard_normal(
                        data[start : start + 10_000].shape, np.float32
                    )
        count = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        command = [sys.executable, __file__, "--work", *map(str, paths)]
        done = subprocess.run(command, env={**os.environ, **count}, stdout=subprocess.PIPE, text=True, check=True)
    facts = json.loads(done.stdout)
    asked = f"{options.file_samples} x {options.file_units}, {', '.join(ONE_FILE_PAIR)}"
    print(
        f"\nOne pair of files, {asked}: {facts['seconds']:.0f} s, at most {facts['megabytes']:.0f} MB in all "
        f"({facts['before']:.0f} MB of them before the first file was opened); mean R2 {facts['cca_r2']:.6f}, "
        f"expected {facts['expected']:.6f}"
    )


def work(paths: list[str]) -> None:
    """What the process of its own does."""
    from homolog.alignment import RepresentationSet

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    before, start = peak_megabytes(), time.perf_counter()
    found = RepresentationSet(paths).compare(*ONE_FILE_PAIR)
    facts = {"seconds": time.perf_counter() - start, "megabytes": peak_megabytes(), "before": before}
    print(json.dumps(facts | {"cca_r2": float(found.cca_r2[0, 1]), "expected": float(found.cca_r2_null[0, 1])}))


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--peer-runs", type=int, default=4, help="of which netrep compares all pairs")
    parser.add_argument("--kernel-rows", type=int, help="rows for libraries of CKA; all by default, with 16 GB")
    parser.add_argument("--file-samples", type=int, default=1_000_000)
    parser.add_argument("--file-units", type=int, default=1024)
    parser.add_argument("--parts", nargs="+", choices=["pairs", "files"], default=["pairs", "files"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", help="for the temporary files, of 8 GB")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    torch.set_num_threads(options.threads)
    if "pairs" in options.parts:
        all_pairs(options)
    if "files" in options.parts:
        file_pair(options)


if __name__ == "__main__":
    main()
