"""How fast, exact and lean is PCA from a file, beside scikit-learn's IncrementalPCA and PCA, and beside its floor?

Makes an HDF5 file in a temporary folder. Each fit runs in a process of its own, the ways in turn, round after round;
times are those of the fit without imports. IncrementalPCA sees a part of the rows, which is extrapolated linearly
(`--full`: all of them); PCA reads them all into memory, in float32, which is counted. The floor is the slower of
reading the file once in order and of the n d^2 flops of the moments, at the speed of BLAS's dsyrk on rows that are in
memory. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch
from reading import NAME, make_file, open_samples, sequential
from scipy.linalg.blas import dsyrk

from homolog.decompositions.base import Member
from homolog.decompositions.pca import PCA

BLOCK = 4096
Facts = dict[str, float]


def ours(path: Path, latents: int, _rows: int) -> np.ndarray:
    options = {"n_latents": latents, "solver": "exact"}
    (fitted,) = PCA().fit([Member(options, 0, "all", open_samples(path), None, ("benchmark",))])
    return fitted.directions.numpy()


def incremental(path: Path, latents: int, rows: int) -> np.ndarray:
    """As IncrementalPCA.fit does it: five times as many rows as units at a time."""
    from sklearn.decomposition import IncrementalPCA

    fitted = IncrementalPCA(latents)
    with h5py.File(path, "r") as file:
        data = file[NAME]
        size = 5 * data.shape[1]
        for start in range(0, rows - size + 1, size):
            fitted.partial_fit(data[start : start + size], check_input=False)
    return fitted.components_


def in_memory(path: Path, latents: int, _rows: int) -> np.ndarray:
    """As a user has it from the file: all rows at once, and the solver that it chooses for so many of them."""
    from sklearn.decomposition import PCA as InMemoryPCA

    with h5py.File(path, "r") as file:
        return InMemoryPCA(latents).fit(file[NAME][:]).components_


def reference(path: Path, latents: int, _rows: int) -> np.ndarray:
    """Float64 the plain way: the mean in one pass, the covariance in another, all eigenvectors."""
    with h5py.File(path, "r") as file:
        data = file[NAME]
        starts = range(0, len(data), BLOCK)
        mean = sum(data[i : i + BLOCK].sum(0, dtype=np.float64) for i in starts) / len(data)
        covariance = np.zeros((data.shape[1], data.shape[1]))
        for i in starts:
            centred = data[i : i + BLOCK] - mean
            covariance += centred.T @ centred
    return np.linalg.eigh(covariance)[1].T[::-1][:latents]


def reading(path: Path, _latents: int, _rows: int) -> None:
    sequential(path)


def squaring(path: Path, _latents: int, rows: int) -> None:
    """The moments' flops alone, on the same block again and again."""
    with h5py.File(path, "r") as file:
        block = file[NAME][:BLOCK].astype(np.float64)
    gram = np.zeros((block.shape[1], block.shape[1]), order="F")
    for _ in range(rows // BLOCK):
        dsyrk(1.0, block.T, beta=1.0, c=gram, overwrite_c=True)


WAYS = {
    "ours": ours,
    "IncrementalPCA": incremental,
    "PCA": in_memory,
    "reference": reference,
    "reading": reading,
    "squaring": squaring,
}


def work(name: str, path: Path, latents: int, rows: int) -> None:
    """What a process of its own does: the fit, its time, and the most memory it held (VmHWM)."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if name in ("IncrementalPCA", "PCA"):
        import sklearn.decomposition  # noqa: F401
    before, start = peak_megabytes(), time.perf_counter()
    found = WAYS[name](path, latents, rows)
    facts = {"seconds": time.perf_counter() - start, "before": before, "peak": peak_megabytes()}
    if found is not None:
        np.save(path.with_name(f"{name}.npy"), found)
    print(json.dumps(facts))


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def measure(name: str, path: Path, latents: int, rows: int, threads: int) -> Facts:
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, __file__, "--work", name, str(path), str(latents), str(rows)]
    done = subprocess.run(command, env={**os.environ, **count}, stdout=subprocess.PIPE, text=True, check=True)
    facts: Facts = json.loads(done.stdout)
    return facts


def farthest(found: np.ndarray, true: np.ndarray) -> float:
    """The largest distance between a unit direction and the true one, signs aside."""
    signs = np.sign((found * true).sum(1, keepdims=True))
    return float(np.linalg.norm(found * signs - true, axis=1).max())


def compare(path: Path, rows: int, options: Any) -> None:
    part = rows if options.full else max(rows // 50, 20 * options.units)
    asked = {"reading": rows, "squaring": rows, "ours": rows, "IncrementalPCA": part, "PCA": rows}

    def measured(name: str) -> Facts:
        return measure(name, path, options.latents, asked.get(name, rows), options.threads)

    measured("reading")  # Into the page cache.
    rounds = [{name: measured(name) for name in asked} for _ in range(options.rounds)]
    measured("reference")
    for round_ in rounds:
        round_["IncrementalPCA"]["seconds"] *= rows / part
        floor = max(round_["reading"]["seconds"], round_["squaring"]["seconds"])
        for facts in round_.values():
            facts["floors"] = facts["seconds"] / floor
    print(f"{rows} rows of {options.units} units, {options.latents} latents, {options.threads} thread(s)\n")
    print("| what | seconds, median (lowest to highest) | of the floor | peak memory, MB (before the fit) | error |")
    print("|---|---|---|---|---|")
    true = np.load(path.with_name("reference.npy"))
    for name in asked:
        found = path.with_name(f"{name}.npy")
        error = f"{farthest(np.load(found), true):.1e}" if found.exists() else ""
        print(row_of(name, [round_[name] for round_ in rounds], error))
    ratios = {
        name: median(round_[name]["seconds"] / round_["ours"]["seconds"] for round_ in rounds)
        for name in ("IncrementalPCA", "PCA")
    }
    print(f"\nOurs is {ratios['IncrementalPCA']:.1f} times as fast as IncrementalPCA, which saw {part} rows (time")
    print(f"extrapolated to all), and {ratios['PCA']:.1f} times as fast as PCA, which holds all rows in memory.")
    print("Error: the largest distance of a direction from that of a plain float64 PCA of all rows.")


def row_of(name: str, measured: list[Facts], error: str) -> str:
    seconds, floors, peak, before = (
        [facts[fact] for facts in measured] for fact in ("seconds", "floors", "peak", "before")
    )
    times = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
    return f"| {name} | {times} | {median(floors):.2f} | {max(peak):.0f} ({max(before):.0f}) | {error} |"


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        name, path, latents, rows = sys.argv[2:]
        work(name, Path(path), int(latents), int(rows))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--latents", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch and BLAS, beside the one that reads ahead")
    parser.add_argument("--full", action="store_true", help="IncrementalPCA on all rows too")
    parser.add_argument("--folder", help="for the temporary file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "activations.h5"
        compare(path, make_file(path, options.gigabytes, options.units), options)


if __name__ == "__main__":
    main()
