"""Where memory runs out, is that said, and is the job done once it is given more?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cheap import MODEL, cheap, numbers, told
from workspace import ROOT, Workspace

pytestmark = pytest.mark.faults

# The job may have what it asks for: 2000 MB at the first attempt.
LIMITED = """    import resource

    limit = snakemake.resources.mem_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    np.empty(2500 * 2**20, np.int8)
    digest ="""
# As the kernel does, or a scheduler.
KILLED = """    import os
    import signal

    if snakemake.resources.mem_mb < 2500:
        os.kill(os.getpid(), signal.SIGKILL)
    digest ="""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return cheap(tmp_path)


def edit(workspace: Workspace, body: str) -> None:
    script = workspace.script("train")
    text = script.read_text()
    assert text.count("    digest =") == 1
    script.write_text(text.replace("    digest =", body))


@pytest.mark.parametrize(
    ("body", "said"),
    [(LIMITED, "out of memory (Unable to allocate 2.44 GiB"), (KILLED, "killed before it could say why")],
    ids=["MemoryError", "SIGKILL"],
)
def test_a_job_that_needs_more_memory_gets_it(
    workspace: Workspace, expected: dict[str, bytes], body: str, said: str
) -> None:
    edit(workspace, body)
    once = workspace.snakemake(MODEL)
    assert once.returncode == 1
    (line,) = told(once.stdout)
    assert said in line
    assert "memory" in line
    assert not (workspace.folder / MODEL).exists()
    twice = workspace.snakemake("--retries", "1", "--resources", "mem_mb=64000", "--", MODEL)
    assert twice.returncode == 0, twice.stdout
    assert numbers(workspace)[MODEL] == expected[MODEL]


TORCH = """
import resource, torch
from homolog.jobs.stage import _is_memory
torch.ones(3)
limit = 2**30 * 8
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    torch.empty(2**35)
except RuntimeError as error:
    assert _is_memory(error), error
else:
    raise SystemExit("there was enough")
assert not _is_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
"""


def test_torch_finds_no_memory_by_another_error() -> None:
    done = subprocess.run([sys.executable, "-c", TORCH], env={"PYTHONPATH": str(ROOT / "src")}, check=False)
    assert done.returncode == 0
