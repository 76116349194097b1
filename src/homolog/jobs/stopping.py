"""When does a job stop before it is done: at once, or between two steps, where its state can be saved?"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType

# Where a job finds the number of the Snakemake process that started it.
VARIABLE = "HOMOLOG_SNAKEMAKE"
# Seconds in which a step must end; schedulers kill a job 30 seconds after they have asked it to stop.
GRACE = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """The job was asked to stop, by a signal (Ctrl-C, SIGTERM) or since nobody waits for it any more."""


class Stopping:
    """Raises `Stopped` when this process is asked to stop: between two steps of `steps`, elsewhere at once.

    At once too when a step takes longer than `GRACE`, and when it is asked twice.
    """

    def __init__(self) -> None:
        self._stepping, self._asked = False, ""
        self._parent = int(os.environ.get(VARIABLE, "0"))
        # A container may not see it.
        self._parent = self._parent if _runs(self._parent) else 0
        for number in (*_SIGNALS, signal.SIGALRM):
            # `nohup` wants a job to go on.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._stepping and not self._asked:
            self._asked = signal.Signals(number).name
            signal.setitimer(signal.ITIMER_REAL, GRACE)
        else:
            raise Stopped(self._asked or signal.Signals(number).name)

    def steps(self, steps: Iterable[int]) -> Iterator[int]:
        """The same steps, until the job is asked to stop, or its Snakemake is gone: the next builds its files anew."""
        self._stepping = True
        try:
            for step in steps:
                yield step
                if self._asked:
                    raise Stopped(self._asked)
                if self._parent and not _runs(self._parent):
                    raise Stopped("the end of the Snakemake that started it")
        finally:
            self._stepping = False

    @staticmethod
    def over() -> None:
        """From now on nothing stops this process any more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (*_SIGNALS, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)


def name_parent() -> None:
    """Let jobs know the number of this process, which runs Snakemake."""
    os.environ[VARIABLE] = str(os.getpid())


def _runs(process: int) -> bool:
    with suppress(PermissionError):  # It does, as somebody else's.
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
