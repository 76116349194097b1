"""Does training from a file that is larger than memory need no more than its buffers, parameters and optimiser?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

TRAINED = """
import resource, sys
import torch
from homolog.config import parse_decomposition
from homolog.decompositions.base import Member
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory
from homolog.store.arrays import samples_of

options = {"method": "topk_sae", "n_latents": 256, "k": 4, "batch_size": 4096, "steps": 100}
options = parse_decomposition(options).expand()[0]
samples, limit = samples_of(sys.argv[1], in_memory_bytes=0), int(sys.argv[2])
small = InMemory(samples.read(0, 4096))
TopK().fit([Member(options | {"steps": 40}, 0, "all", small, None, ("first",))])  # Compiles what is compiled once.
held = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (held + limit, held + limit))
(fitted,) = TopK().fit([Member(options, 0, "all", samples, None, ("limit",))])
print(fitted.member["fvu"] < 1)
samples.whole()
"""


@pytest.mark.every
@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")
def test_training_takes_no_more_memory_than_its_buffers_and_its_parameters(tmp_path: Path) -> None:
    """A file of 300 MB, of which 105 MB are trained on, in 128 MiB: two buffers of 16 MiB, a chunk's batches, a step.

    Parameters and optimiser are under 1 MiB here. Reading the file whole fails there, so the limit does bind.
    """
    units, rows, limit = 64, 4096 * 286, 128 * 2**20
    rng = np.random.default_rng(0)
    part = rng.standard_normal((4096 * 26, units)).astype("f4") * np.linspace(2, 0.1, units, dtype="f4")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        data = file.create_dataset("x", (rows, units), "f4", chunks=(8192, units))
        for start in range(0, rows, len(part)):
            data[start : start + len(part)] = part
    command = [sys.executable, "-c", TRAINED, str(tmp_path / "large.h5"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["True"], done.stderr
    assert "can't allocate memory" in done.stderr
