"""Where the disk fills up, or can't be written to any more, is that told, and does a rerun end in the right bits?"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cheap import ERROR, EXPERIMENT, cheap, left_over, numbers, told
from workspace import Workspace, environment, private_mounts

pytestmark = pytest.mark.faults

FULL = "can't be written: the disk is full, or a quota is reached: free some space"
READ_ONLY = "can't be written to: change its permissions"
# $1 is the folder on a disk of its own, $2 how large that is at first; then Snakemake's command. What the disk holds
# after the first and after the second run is copied to the folders first and second.
SMALL = """
    disk=$1 size=$2; shift 2
    mount -t tmpfs -o size=$size tmpfs $disk && cp -a kept/. $disk
    "$@" > first.txt 2>&1; echo $? > first.status
    mkdir first && cp -a $disk/. first
    mount -o remount,size=64m $disk
    "$@" > second.txt 2>&1; echo $? > second.status
    mkdir second && cp -a $disk/. second
"""
# $1 is the folder that becomes read-only once five dictionaries stand in it.
LOCKED = """
    disk=$1; shift 1
    mount -t tmpfs tmpfs $disk
    "$@" > first.txt 2>&1 & process=$!
    while test $(find $disk -name '*.h5' | wc -l) -lt 8; do sleep 0.05; done
    until mount -o remount,ro $disk; do sleep 0.01; done
    wait $process; echo $? > first.status
    mkdir first && cp -a $disk/. first
    mount -o remount,rw $disk
    "$@" > second.txt 2>&1; echo $? > second.status
    mkdir second && cp -a $disk/. second
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = cheap(tmp_path)
    workspace.results.mkdir()
    return workspace


def run_on(workspace: Workspace, script: str, *arguments: str | Path) -> tuple[str, str]:
    """Run a script with mounts of its own; what Snakemake printed in the first and in the second run."""
    mounts = private_mounts()
    if mounts is None:
        pytest.skip("a disk can only be made where this user may mount one (Linux, root or user namespaces)")
    work = workspace.folder.parent / "work"
    (work / "kept").mkdir(parents=True)
    command = [*mounts, "sh", "-c", script, "sh", *map(str, arguments), *workspace.command("--cores", "2", EXPERIMENT)]
    subprocess.run(command, cwd=work, env=environment(), check=True, timeout=600)
    assert (work / "second.status").read_text() == "0\n", (work / "second.txt").read_text()
    assert (work / "first.status").read_text() != "0\n", (work / "first.txt").read_text()
    return (work / "first.txt").read_text(), (work / "second.txt").read_text()


def on_disk(workspace: Workspace, which: str, path: str = "results") -> Workspace:
    """What lay in a run on the disk that is gone, as a workspace."""
    copied = replace(workspace, folder=workspace.folder.parent / which)
    (copied.folder / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(workspace.folder.parent / "work" / which, copied.folder / path, dirs_exist_ok=True)
    return copied


def check(workspace: Workspace, expected: dict[str, bytes], path: str = "results") -> None:
    """Under a final name stood the right bits or nothing; in the end all of them do, and nothing else."""
    first, second = (on_disk(workspace, which, path) for which in ("first", "second"))
    found = numbers(first)
    assert found.keys() < expected.keys()
    assert [name for name, content in found.items() if content != expected[name]] == []
    assert numbers(second) == expected
    assert left_over(second) == []


@pytest.mark.parametrize("size", [200, 500, 900])
def test_a_disk_that_fills_up(workspace: Workspace, expected: dict[str, bytes], size: int) -> None:
    """Soon, on the way, and late; with logs and benchmarks on it."""
    printed, _ = run_on(workspace, SMALL, workspace.results, f"{size}k")
    lines = told(printed)
    assert lines
    assert [line for line in lines if FULL not in line] == [], printed
    check(workspace, expected)


def test_a_disk_that_becomes_read_only(workspace: Workspace, expected: dict[str, bytes]) -> None:
    """Snakemake may be the first to notice, by its own benchmarks."""
    printed, _ = run_on(workspace, LOCKED, workspace.results)
    assert "Read-only file system" in printed or READ_ONLY in printed
    assert [line for line in printed.splitlines() if ERROR in line and READ_ONLY not in line] == []
    check(workspace, expected)
