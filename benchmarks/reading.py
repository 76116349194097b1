"""How fast are activations read from a file: in order, shuffled, and row by row at random?

Makes a file in a temporary folder (it stays in the page cache as far as memory allows) and reads it in every way, one
after the other, several times over. Prints a table in Markdown: medians, and each round's ratio to sequential reading.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import torch

from homolog.alignment.gauge import Gauge
from homolog.decompositions.samples import Shuffled
from homolog.store.activation_samples import InFile
from homolog.store.activations import CHUNK_BYTES

NAME, BATCH = "activations", 4096
PLAIN = "h5py, in order"
# Rows that are read one by one: enough for a rate, which is all that is compared.
RANDOM_ROWS = 20_000


def make_file(path: Path, gigabytes: float, units: int) -> int:
    """Gaussian activations with a spectrum, in chunks as the pipeline writes them; gives the number of rows."""
    rows = int(gigabytes * 1e9) // (4 * units) // BATCH * BATCH
    scale = np.linspace(3, 0.3, units, dtype=np.float32)
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_dataset(NAME, (rows, units), "f4", chunks=(CHUNK_BYTES // (4 * units), units))
        for start in range(0, rows, BATCH):
            data[start : start + BATCH] = generator.standard_normal((BATCH, units), np.float32) * scale + 1
    return rows


def open_samples(path: Path, gauge: Gauge | None = None, index: torch.Tensor | None = None) -> InFile:
    return InFile(path, NAME, lambda count: ValueError(f"{count} values aren't finite"), index, gauge)


def sequential(path: Path) -> int:
    """The plain way: h5py into one buffer of 16 MiB."""
    with h5py.File(path, "r") as file:
        data = file[NAME]
        buffer = np.empty((8 * CHUNK_BYTES // (4 * data.shape[1]), data.shape[1]), np.float32)
        for start in range(0, len(data), len(buffer)):
            stop = min(start + len(buffer), len(data))
            data.read_direct(buffer, np.s_[start:stop], np.s_[: stop - start])
        return data.nbytes


def random_rows(path: Path) -> int:
    with h5py.File(path, "r") as file:
        data = file[NAME]
        for row in np.random.default_rng(1).integers(0, len(data), RANDOM_ROWS):
            data[row]
        return RANDOM_ROWS * data.shape[1] * 4


def in_order(samples: InFile) -> int:
    return sum(block.nbytes for block in samples.blocks())


def shuffled(samples: InFile) -> int:
    batches = Shuffled(samples, ("benchmark",), BATCH)
    return sum(batches.batch(step).nbytes for step in range(samples.samples // BATCH))


def ways(path: Path, rows: int, units: int) -> dict[str, Callable[[], int]]:
    gauge = Gauge(torch.rand(units, dtype=torch.float64), torch.randperm(units, generator=torch.Generator()))
    half = torch.nonzero(torch.rand(rows, generator=torch.Generator().manual_seed(0)) < 0.5).squeeze(1)
    return {
        PLAIN: lambda: sequential(path),
        "`blocks()`": lambda: in_order(open_samples(path)),
        "`blocks()`, gauge": lambda: in_order(open_samples(path, gauge)),
        "`blocks()`, gauge, every other row (counted are those chosen)": lambda: in_order(
            open_samples(path, gauge, half)
        ),
        "`Shuffled`": lambda: shuffled(open_samples(path)),
        "`Shuffled`, gauge": lambda: shuffled(open_samples(path, gauge)),
        "h5py, row by row at random": lambda: random_rows(path),
    }


def rates(read: Callable[[], int]) -> tuple[float, float]:
    """Megabytes (1e6) per second, and per second of processor time (of all threads), which others' load spares."""
    start, busy = time.perf_counter(), time.process_time()
    size = read() / 1e6
    return size / (time.perf_counter() - start), size / (time.process_time() - busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch, beside the one that reads ahead")
    parser.add_argument("--folder", help="for the temporary file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "activations.h5"
        rows = make_file(path, options.gigabytes, options.units)
        reads = ways(path, rows, options.units)
        sequential(path)  # Into the page cache.
        rounds = [{name: rates(read) for name, read in reads.items()} for _ in range(options.rounds)]
    print(
        f"{rows} rows of {options.units} units, float32, {options.threads} thread(s) of torch, {os.cpu_count()} cores\n"
    )
    print("| way | MB/s, median (lowest to highest) | of h5py in order, median | MB per processor second | of h5py |")
    print("|---|---|---|---|---|")
    for name in reads:
        wall = [round_[name][0] for round_ in rounds]
        busy = median(round_[name][1] for round_ in rounds)
        shares = [median(round_[name][i] / round_[PLAIN][i] for round_ in rounds) for i in range(2)]
        spread = f"{median(wall):.0f} ({min(wall):.0f} to {max(wall):.0f})"
        print(f"| {name} | {spread} | {shares[0]:.0%} | {busy:.0f} | {shares[1]:.0%} |")


if __name__ == "__main__":
    main()
