"""Do jobs stop where their state can be saved, and wait for each other, and are those that were killed named?"""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from homolog.jobs import stopping
from homolog.jobs.claims import claim
from homolog.jobs.killed import killed
from homolog.jobs.stage import words
from homolog.jobs.stopping import VARIABLE, Stopped, Stopping


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals are the process's: they are given back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


@dataclass
class Taken:
    """Steps until they were stopped: those that ended, and what was said."""

    ended: list[int]
    reason: str


def take(steps: int, do: Callable[[], object], at: int) -> Taken:
    """So many steps, in one of which something is done."""
    ended: list[int] = []
    try:
        for step in Stopping().steps(range(steps)):
            if step == at:
                do()
            ended.append(step)
    except Stopped as stopped:
        return Taken(ended, str(stopped))
    return Taken(ended, "")


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("at", [0, 3, 8])
def test_a_step_ends_before_the_job_does(number: signal.Signals, at: int) -> None:
    """The last one too: what comes after the loop may take as long as it likes."""
    assert take(9, lambda: kill(number), at) == Taken(list(range(at + 1)), number.name)


@pytest.mark.usefixtures("handlers")
def test_outside_of_steps_it_stops_at_once() -> None:
    asked = Stopping()
    assert list(asked.steps(range(3))) == [0, 1, 2]
    with pytest.raises(Stopped, match="SIGTERM"):
        kill(signal.SIGTERM)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("again", [False, True])
def test_a_step_that_takes_long_is_cut_short(monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """By the time that is left, and by whoever asks twice."""

    def step() -> None:
        kill(signal.SIGTERM)
        if again:
            kill(signal.SIGINT)
        time.sleep(20)

    monkeypatch.setattr(stopping, "GRACE", 30.0 if again else 0.05)
    begun = time.monotonic()
    assert take(3, step, 1) == Taken([0], "SIGTERM")
    assert time.monotonic() - begun < 10


@pytest.mark.usefixtures("handlers")
def test_a_job_stops_when_its_snakemake_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as parent:

        def end() -> None:
            parent.kill()
            parent.wait()

        monkeypatch.setenv(VARIABLE, str(parent.pid))
        assert take(9, end, 2) == Taken([0, 1, 2], "the end of the Snakemake that started it")
    # Of a parent that can't be seen, as from within a container, nothing is known.
    assert take(3, list, 0) == Taken([0, 1, 2], "")


def hold(path: Path, held: Path, released: Path) -> None:
    with claim(path):
        held.touch()
        wait_for(released.exists)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_one_file_is_made_by_one_process_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, held, released = (tmp_path / name for name in ("some.h5", "held", "released"))
    other = multiprocessing.get_context("fork").Process(target=hold, args=(path, held, released))
    other.start()
    wait_for(held.exists)
    with claim(tmp_path / "another.h5"):
        assert caplog.text == ""
    timer = multiprocessing.get_context("fork").Process(target=release, args=(released,))
    timer.start()
    with claim(path):
        assert released.exists()
    assert f"process {other.pid} on " in caplog.text
    assert f"is at work on {path}: waiting for it; if it isn't wanted any more, end it" in caplog.text
    other.join()
    timer.join()
    assert not list(tmp_path.glob(".*"))


def release(released: Path) -> None:
    time.sleep(0.5)
    released.touch()


def test_a_claim_ends_with_its_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, held = tmp_path / "some.h5", tmp_path / "held"
    other = multiprocessing.get_context("fork").Process(target=hold, args=(path, held, tmp_path / "never"))
    other.start()
    wait_for(held.exists)
    other.kill()
    other.join()
    with claim(path):
        assert caplog.text == ""
    assert not list(tmp_path.glob(".*"))


def test_where_there_are_no_locks_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with claim(tmp_path / "some.h5"), claim(tmp_path / "some.h5"):
        pass


BEGUN = "2026-11-22 03:00:00,000 train 0123456789abcdef numpy==2.1 python==3.11\n"


@pytest.mark.parametrize(
    ("text", "breaks_off"),
    [
        (BEGUN, True),
        (BEGUN + "2026-11-22 03:00:01,000 saved a state\n", True),
        (BEGUN + "2026-11-22 03:00:01,000 done\n" + BEGUN, True),
        (BEGUN + "2026-11-22 03:00:01,000 homolog: error: something\nTraceback\n  more\n", False),
        (BEGUN + BEGUN + "2026-11-22 03:00:01,000 done\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_log_that_breaks_off_is_told(tmp_path: Path, text: str | None, breaks_off: bool) -> None:
    path = tmp_path / "train.log"
    if text is not None:
        path.write_text(text)
    found = killed([("train", str(path))])
    assert len(found) == breaks_off
    assert all("memory has run out" in line and str(path) in line for line in found)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "a.log"),
            "a.log can't be written: the folder can't be written to",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "a file can't be written: the disk is full, or a quota is"),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            "out of memory ([Errno 12] Cannot allocate memory): give the",
        ),
        (MemoryError(), "out of memory (no more was to be had): give the job more memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you"),
            "out of memory (DefaultCPUAllocator: can't allo",
        ),
        (ImportError("_c.so: failed to map segment from shared object"), "out of memory (_c.so: failed to map segment"),
        (ValueError("foreign"), "unexpected ValueError: foreign; the traceback is in some.log: a defect"),
        (Stopped("SIGTERM"), "stopped by SIGTERM: no part of an output was left behind; run the same command again"),
    ],
)
def test_what_a_machine_runs_out_of_is_no_defect(error: BaseException, said: str) -> None:
    assert words(error, "some.log").startswith(said)
