"""Does the workflow know every file that it opens? Then it runs where results lie in a storage alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from equal import assert_equal_bits
from workspace import Workspace

pytestmark = pytest.mark.cluster

# All but what jobs read and write: as between a machine and a cluster that share no disk.
SHARED = ("persistence", "sources", "source-cache", "software-deployment")


def test_the_experiment_in_a_storage_has_the_same_bits(tmp_path: Path, local: Workspace) -> None:
    assert shutil.which("rsync"), "snakemake-storage-plugin-fs needs rsync: apt-get install rsync"
    workspace, storage = Workspace.fresh(tmp_path / "workspace"), tmp_path / "storage"
    stored = ("--default-storage-provider", "fs", "--default-storage-prefix", storage, "--shared-fs-usage", *SHARED)
    workspace.build(*stored, "--cores", "2", "stability")
    expected = {"stability.nc", "tracks.nc", "model.safetensors", "training.nc", "activations.h5", "topk.h5"}
    assert_equal_bits(storage / "results", local, expected)
    assert not workspace.results.exists()
    # What was made is known there, too.
    assert "Nothing to be done" in workspace.snakemake(*stored, "--cores", "2", "stability").stdout
