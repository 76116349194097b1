"""Does the workflow know every file that it opens? Then it runs where results lie in a storage alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slurm
import yaml
from equal import assert_equal_bits
from workspace import Workspace

pytestmark = pytest.mark.cluster

# All but what jobs read and write: as between a machine and a cluster that share no disk.
SHARED = ("persistence", "sources", "source-cache", "software-deployment")
RECORDED = {
    "models": {"mine": {"external": {"activations": "data/run_{seed}.npz", "hook_points": ["resid"]}}},
    "decompositions": {"pca": {"method": "pca", "n_latents": 3}},
    "experiments": {
        "theirs": {
            "analysis": {"name": "stability", "null_draws": 2},
            "figure": "stability",
            "hook_points": ["resid"],
            "decompositions": ["pca"],
            "conditions": {"both": {"models": ["mine"], "seeds": [0, 1]}},
        }
    },
}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    slurm.install()  # the provider needs rsync
    return tmp_path / "storage"


def stored(storage: Path) -> tuple[str | Path, ...]:
    """Arguments of a build whose results lie in a storage."""
    provider = ("--default-storage-provider", "fs", "--default-storage-prefix", storage)
    return (*provider, "--shared-fs-usage", *SHARED, "--cores", "2")


def test_the_experiment_in_a_storage_has_the_same_bits(storage: Path, tmp_path: Path, local: Workspace) -> None:
    workspace = Workspace.fresh(tmp_path / "workspace")
    workspace.build(*stored(storage), "stability")
    expected = {"stability.nc", "tracks.nc", "model.safetensors", "training.nc", "activations.h5", "topk.h5"}
    assert_equal_bits(storage / "results", local, expected)
    assert list(workspace.results.rglob("*.*")) == []
    # What was made is known there, too.
    assert "Nothing to be done" in workspace.snakemake(*stored(storage), "stability").stdout


def test_what_others_recorded_is_read_where_the_config_says(storage: Path, tmp_path: Path) -> None:
    workspace = Workspace.fresh(tmp_path / "workspace")
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(RECORDED))
    (workspace.folder / "data").mkdir()
    for seed in (0, 1):
        values = np.random.default_rng(seed).normal(size=(400, 10)).astype("float32")
        np.savez(workspace.folder / "data" / f"run_{seed}.npz", resid=values, input_id=np.arange(400))
    workspace.build(*stored(storage), "theirs")
    assert (storage / "results" / "figures" / "theirs.pdf").exists()
    assert not (storage / "data").exists()
