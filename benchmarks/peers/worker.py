"""One process that trains what it is told, by one library: `python -m benchmarks.peers.worker LIBRARY DATA`.

Reads orders as lines of JSON and answers each with one; imports and data are there before the first order.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.task import Clock, Member, held_out

# Module, its function, and whether that trains all members side by side, so that a step is one of each.
LIBRARIES = {
    "ours": ("ours", "fit", True),
    "eai-sparsify": ("sparsify", "fit", False),
    "dictionary-learning": ("dictionary_learning", "fit", False),
    "sae-lens": ("saelens", "fit", False),
    "sae-lens, MultiSAETrainer": ("saelens", "fit_in_lockstep", True),
    "overcomplete": ("overcomplete", "fit", False),
}


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB; Linux only.

    Not `ru_maxrss`: that one starts at the peak of the process which started this one.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def obey(order: dict[str, Any], fit: Any, side_by_side: bool, data: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Train the order's members; what it took, and the quality on held-out rows where that is asked for."""
    members = [Member(**member) for member in order["members"]]
    torch.set_num_threads(order["threads"])
    clock, start = Clock(order["warmup"]), time.perf_counter()
    readers = fit(members, data["train"], clock, order["threads"])
    wall = time.perf_counter() - start
    sae_steps = clock.steps * (len(members) if side_by_side else 1)
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "sae_steps": sae_steps,
        "wall": wall,
        "peak_memory": peak_memory(),
        "quality": [held_out(read, data["held_out"]) for read in readers] if order["quality"] else [],
    }


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a library prints must not stand among the answers.
    module, function, side_by_side = LIBRARIES[sys.argv[1]]
    fit = getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)
    data = torch.load(sys.argv[2], weights_only=True)
    print(json.dumps({"peak_memory": peak_memory()}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line), fit, side_by_side, data)), file=answers, flush=True)


if __name__ == "__main__":
    main()
