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


def netrep_pairs(arrays: list[np.ndarray], alpha: float) -> tuple[dict[tuple[int, int], float], float, float]:
    """Cosines after alignment (alpha 1: Procrustes, 0: CCA), seconds for each run and for each pair."""
    metric = importlib.import_module("netrep.metrics").LinearMetric(alpha=alpha)
    start = time.perf_counter()
    caches = [metric.partial_fit(array) for array in arrays]
    each_run = (time.perf_counter() - start) / len(arrays)
    found, start = {}, time.perf_counter()
    for i, j in combinations(range(len(arrays)), 2):
        metric.finalize_fit(caches[i], caches[j])
        found[i, j] = float(np.cos(metric.score(arrays[i], arrays[j])))
    return found, each_run, (time.perf_counter() - start) / len(found)


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
    start = time.perf_counter()
    ours = RepresentationSet(runs).compare(*MEASURES)
    seconds = time.perf_counter() - start
    pairs = options.runs * (options.runs - 1) // 2
    print(f"\n{options.runs} runs, {options.samples} x {options.units}, {pairs} pairs, {options.threads} threads, "
          f"load before {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| library | measures | pairs measured | s for all pairs | of ours | largest difference |")
    print("|---|---|---|---|---|---|")
    print(f"| homolog | {', '.join(MEASURES)} | {pairs} | {seconds:.1f} | 1 | 0 |")
    some = [runs[k].astype(np.float64) for k in range(options.peer_runs)]
    total = 0.0
    if installed("netrep"):
        for alpha, measure in ((0.0, "cca_mean"), (1.0, "procrustes_similarity")):
            found, each_run, each_pair = netrep_pairs(some, alpha)
            theirs = options.runs * each_run + pairs * each_pair
            total += theirs
            off = max(abs(value - float(ours[measure][i, j])) for (i, j), value in found.items())
            row(f"netrep, alpha {alpha:.0f}, cached", measure, len(found), theirs, seconds, off)
        row("netrep, both", "cca_mean, procrustes_similarity", len(found), total, seconds, float("nan"))
    kernels(some, pairs, seconds, total, options)


def kernels(some: list[np.ndarray], pairs: int, seconds: float, before: float, options: Any) -> None:
    """The libraries that build kernels, on one pair of some rows."""
    from homolog.alignment import RepresentationSet

    rows = min(options.kernel_rows or options.samples, options.samples)
    x, y = (side[:rows].copy() for side in some[:2])
    expected = RepresentationSet([x, y]).compare("linear_cka", "debiased_cka")
    for package, name, measure, compare in PEERS:
        if not installed(package):
            continue
        start = time.perf_counter()
        value = compare(x, y)
        theirs = (time.perf_counter() - start) * (options.samples / rows) ** 2 * pairs
        label = name if rows == options.samples else f"{name} ({rows} rows, extrapolated with the square)"
        row(label, measure, 1, theirs, seconds, abs(value - float(expected[measure][0, 1])))
        if package == "netrep":
            row("netrep, all three", ", ".join(MEASURES), 1, theirs + before, seconds, float("nan"))


def row(label: str, measure: str, measured: int, theirs: float, ours: float, off: float) -> None:
    print(f"| {label} | {measure} | {measured} | {theirs:.0f} | {theirs / ours:.1f} | {off:.1e} |", flush=True)


def installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        print(f"| {package} | not installed | | | | |")
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
