"""Is another process at work on the same file? (What a killed Snakemake had started goes on.)"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def claim(output: str | Path) -> Iterator[None]:
    """Wait, with a warning, until no other process has a claim to `output`, and have one.

    It is a lock on a hidden file beside it, which the system takes back however the process ends. Where a file system
    has no locks, nobody waits: then the last one to be done wins, with all of its file.
    """
    path = Path(output).with_name(f".{Path(output).name}.lock")
    held = _lock(path, str(output))
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)
            os.close(held)


def _lock(path: Path, output: str) -> int | None:
    warned = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None  # Then the output can't be written either, which says why.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                os.truncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return file
        except BlockingIOError:
            if not warned:
                who = os.read(file, 1000).decode() or "another process"
                log.warning("%s is at work on %s: waiting for it; if it isn't wanted any more, end it", who, output)
            warned = True
            time.sleep(0.2)
        except OSError:
            os.close(file)
            return None  # No locks here, or no room for a line.
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still has its name: who held the lock before removes it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
