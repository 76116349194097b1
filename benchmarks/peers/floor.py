"""How fast could one core be: the time of what no method can leave out, at speeds measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import mean

import torch

from benchmarks.peers.rows import Row

# Adam reads a parameter, its gradient and two moments, and writes all but the gradient: seven numbers of four bytes.
ADAM_BYTES = 28


def fastest(work: Callable[[], object], repeats: int = 20) -> float:
    """Seconds of the fastest of `repeats` runs, after one that isn't counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def gemm_speed(rows: int, units: int, columns: int, dtype: torch.dtype) -> float:
    """Flop per second of `(rows, units) @ (units, columns)` on one core."""
    a, b = torch.randn(rows, units).to(dtype), torch.randn(columns, units).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return 2 * rows * units * columns / fastest(lambda: torch.mm(a, b.T, out=out))


def bandwidth(numbers: int) -> float:
    """Bytes per second of adding two arrays of so many float32 numbers into a third, on one core."""
    a, b, out = (torch.ones(numbers) for _ in range(3))
    return 12 * numbers / fastest(lambda: torch.add(a, b, out=out))


def floor(row: Row) -> dict[str, float]:
    """By GEMM type: milliseconds of one SAE-step on one core, averaged over the row's grid.

    A step is the encoder's product, 2 B d F flop, at the speed of the concatenated encoders, plus Adam's traffic over
    its 2 d F + F + d parameters. Selection, decoding and gradients are left out: they are O(B k d).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        columns = min(4096, sum(row.widths) * len(row.levels))
        speeds = {
            "fp32": gemm_speed(row.batch_size, row.units, columns, torch.float32),
            "bf16": gemm_speed(row.batch_size, row.units, columns, torch.bfloat16),
        }
        parameters = mean(2 * row.units * width + width + row.units for width in row.widths)
        bytes_per_second = bandwidth(int(parameters))
    finally:
        torch.set_num_threads(before)
    adam = ADAM_BYTES * parameters / bytes_per_second
    flop = 2 * row.batch_size * row.units * mean(row.widths)
    milliseconds = {name: 1e3 * (flop / speed + adam) for name, speed in speeds.items()}
    gflops = {f"{name}_gflops": speed / 1e9 for name, speed in speeds.items()}
    return milliseconds | gflops | {"gbytes_per_second": bytes_per_second / 1e9, "adam_ms": 1e3 * adam}
