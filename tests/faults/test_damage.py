"""Is a damaged file, or a clock that was wrong, noticed before anything follows from it?"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from pathlib import Path

import pytest
from cheap import DICTIONARY, EXPERIMENT, MODEL, cheap, numbers, told
from workspace import Workspace, environment, run

pytestmark = pytest.mark.faults

RUN = "results/models/digits_mlp/seed_0"
COMPARED = f"results/experiments/{EXPERIMENT}"
# Each file of the chain, and what is made of it.
CHAIN = {
    MODEL: f"{RUN}/activations.h5",
    f"{RUN}/training.nc": f"{COMPARED}/stability.nc",
    f"{RUN}/activations.h5": DICTIONARY,
    DICTIONARY: f"{COMPARED}/stability.nc",
    f"{COMPARED}/tracks.nc": f"results/figures/{EXPERIMENT}/tracks.pdf",
    f"{COMPARED}/stability.nc": f"results/figures/{EXPERIMENT}/waterfall.pdf",
}


@pytest.fixture
def copied(whole: Workspace, tmp_path: Path) -> Workspace:
    return whole.copy(tmp_path)


def homolog(workspace: Workspace, *arguments: str) -> list[str]:
    variables = {**environment(), "PYTHONPATH": str(workspace.sources / "src")}
    done = run([sys.executable, "-m", "homolog", *arguments], cwd=workspace.folder, env=variables)
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout.splitlines()


def change(path: Path, how: str) -> None:
    """As a bad disk does: nobody is told, and the file keeps its date."""
    content, date = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    match how:
        case "an array":
            # The largest part of these files.
            content[len(content) // 2] ^= 1
        case "what it says":
            content[content.index(b"threads")] ^= 1
        case "its layout":
            content[12] ^= 255
        case "cut off":
            del content[-len(content) // 3 :]
    path.write_bytes(content)
    os.utime(path, ns=(date, date))


@pytest.mark.parametrize("how", ["an array", "what it says", "its layout", "cut off"])
@pytest.mark.parametrize("path", CHAIN)
def test_nothing_is_made_of_a_damaged_file(copied: Workspace, path: str, how: str) -> None:
    change(copied.folder / path, how)
    (copied.folder / CHAIN[path]).unlink()
    done = copied.snakemake(CHAIN[path])
    assert done.returncode == 1
    (line,) = told(done.stdout)
    # What says what was written may be missing too.
    said = (
        "can't be read as HDF5: it is truncated" if "can't" in line else "isn't what was written: a part of it is miss"
    )
    assert line.startswith(f"{path} {said}")
    assert f"delete it and build it again with `snakemake {path}`" in line
    assert not (copied.folder / CHAIN[path]).exists()


def test_the_way_out_of_damage(copied: Workspace, expected: dict[str, bytes]) -> None:
    change(copied.folder / DICTIONARY, "an array")
    (copied.folder / DICTIONARY).unlink()
    copied.build(DICTIONARY)
    assert numbers(copied) == expected
    assert copied.planned(EXPERIMENT) == set()
    # Whoever has changed a file on purpose says so.
    change(copied.folder / DICTIONARY, "an array")
    assert homolog(copied, "seal", DICTIONARY) == []
    (copied.folder / COMPARED / "stability.nc").unlink()
    copied.build(f"{COMPARED}/stability.nc")
    changed = numbers(copied)
    assert {path for path in expected if changed[path] != expected[path]} == {DICTIONARY, f"{COMPARED}/stability.nc"}
    assert homolog(copied, "seal", "config.yaml")[0].startswith("homolog: error: config.yaml carries no checksum")


@pytest.mark.parametrize("how", ["an array", "what it says", "its layout", "cut off"])
def test_damage_is_found_when_it_is_looked_for(copied: Workspace, how: str) -> None:
    for path in CHAIN:
        change(copied.folder / path, how)
    corrupt = [line.partition(": ") for line in homolog(copied, "verify") if ": corrupt: " in line]
    assert {path for path, _, _ in corrupt} == set(CHAIN)
    homolog(copied, "adopt")
    copied.build(EXPERIMENT)
    # Nobody has asked for the atlas.
    assert homolog(copied, "verify") == [f"{len(numbers(copied))} current, 1 missing"]


# Clocks


def date(workspace: Workspace, ahead: float) -> None:
    """All results as if the clock had been so many seconds ahead when they were written."""
    for path in workspace.results.rglob("*"):
        os.utime(path, (path.stat().st_mtime + ahead,) * 2)


def test_files_from_the_future_are_told_and_taken_up_by_what_they_hold(
    copied: Workspace, expected: dict[str, bytes]
) -> None:
    date(copied, 86400)
    done = copied.snakemake(EXPERIMENT)
    assert done.returncode == 1
    (line,) = told(done.stdout)
    assert re.match(
        r"\d+ files were written in the future \(the last one, results/.*run `python -m homolog adopt`", line
    )
    homolog(copied, "adopt")
    assert copied.planned(EXPERIMENT) == set()
    assert "Nothing to be done" in copied.snakemake(EXPERIMENT).stdout
    assert numbers(copied) == expected


def test_a_clock_that_was_set_back_hides_nothing(copied: Workspace, tmp_path: Path) -> None:
    """A run is trained anew, by itself: what follows from it would look newer, and be taken for current."""
    date(copied, 3600)
    copied.configure(lambda config: config["models"]["digits_mlp"]["training"].update(lr=1e-3))
    assert copied.snakemake(MODEL).returncode == 1
    homolog(copied, "adopt")
    copied.build(MODEL)
    copied.build("--cores", "2", EXPERIMENT)
    fresh = cheap(tmp_path / "fresh")
    fresh.configure(lambda config: config["models"]["digits_mlp"]["training"].update(lr=1e-3))
    fresh.build("--cores", "2", EXPERIMENT)
    assert numbers(copied) == numbers(fresh)
    assert copied.planned(EXPERIMENT) == set()


def test_dates_that_say_nothing_rebuild_nothing(copied: Workspace) -> None:
    """Inputs newer than what was made of them, but equal to what it was made of."""
    files = sorted(path for path in copied.results.rglob("*") if path.is_file())
    for age, path in enumerate(sorted(files, key=lambda path: path.stat().st_mtime)):
        os.utime(path, (time.time() - 1000 - age,) * 2)
    assert copied.planned(EXPERIMENT) == set()


def test_a_clock_that_is_behind_that_of_an_input_is_told(copied: Workspace) -> None:
    """By less than files are looked at for: Snakemake tells it itself, when the job is done."""
    (copied.folder / CHAIN[MODEL]).unlink()
    os.utime(copied.folder / MODEL, (time.time() + 30,) * 2)
    done = copied.snakemake(CHAIN[MODEL])
    assert done.returncode == 1
    assert "This could indicate a clock skew problem" in " ".join(done.stdout.split())
    assert not (copied.folder / CHAIN[MODEL]).exists()
    os.utime(copied.folder / MODEL)
    copied.build(EXPERIMENT)


# Locks


def test_files_that_can_not_be_locked_are_read(tmp_path: Path) -> None:
    """Somebody else's lock stands for a file system that knows none: HDF5's answer is the same."""
    workspace = Workspace.fresh(tmp_path)
    path = f"{RUN}/activations.h5"
    workspace.build("--cores", "1", path)
    with (workspace.folder / path).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        workspace.build("--cores", "1", DICTIONARY)
        (workspace.folder / DICTIONARY).unlink()
        done = workspace.snakemake("--cores", "1", DICTIONARY, env=environment() | {"HDF5_USE_FILE_LOCKING": "TRUE"})
    assert done.returncode == 1
    (line,) = told(done.stdout)
    assert f"{path} can't be locked" in line
    assert "HDF5_USE_FILE_LOCKING=FALSE" in line
