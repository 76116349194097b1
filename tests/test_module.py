"""Can another workflow take this one as a module, under a prefix of its own?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from test_reproducible import arrays
from workspace import Workspace, run

STUDY = """
import yaml

with open("study.yaml") as file:
    STUDY = yaml.safe_load(file)

module homolog:
    snakefile: "{snakefile}"
    config: STUDY
    prefix: "study"

use rule * from homolog as homolog_*

rule paper:
    default_target: True
    input: "study/results/figures/stability.pdf"
    output: "paper.txt"
    shell: "echo {{input}} > {{output}}"
"""
ONE = "results/models/digits_mlp/seed_0/hidden_1/pca.h5"


def test_another_workflow_builds_the_same_below_its_prefix(built: Workspace, tmp_path: Path) -> None:
    shutil.copy2(built.folder / "config.yaml", tmp_path / "study.yaml")
    (tmp_path / "Snakefile").write_text(STUDY.format(snakefile=built.sources / "Snakefile"))
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1"]
    planned = run([*snakemake, "--dry-run"], cwd=tmp_path)
    assert planned.returncode == 0, planned.stdout
    assert "Job 1: draw study/results/figures/stability.pdf" in planned.stdout
    done = run([*snakemake, f"study/{ONE}"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert dict(arrays(tmp_path / "study" / ONE)) == dict(arrays(built.folder / ONE))
    assert not (tmp_path / "results").exists()
    again = run([*snakemake, "--rerun-triggers", "mtime", "params", "input", "--", f"study/{ONE}"], cwd=tmp_path)
    assert "Nothing to be done" in again.stdout
