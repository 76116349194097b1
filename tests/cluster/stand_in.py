"""A stand-in for a scheduler's commands: `sbatch`, `squeue` and `scancel`, by the name that it is called by.

Jobs run on this machine at once. What is known of one lies in a folder $STAND_IN_QUEUE/<number>: `options` that it was
submitted with, its `process`, and its exit `status` once it has ended, or ``cancelled``.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

QUEUE = Path(os.environ["STAND_IN_QUEUE"])
# As the profile asks them.
NEEDED = {"--cpus-per-task", "--mem", "--time", "--gpus"}


def sbatch(*arguments: str) -> None:
    *options, script = arguments
    given = {option.split("=")[0] for option in options if "=" in option and option.split("=")[1]}
    if not given >= NEEDED:
        sys.exit(f"sbatch: error: no {', '.join(sorted(NEEDED - given))}")
    number = len(list(QUEUE.iterdir())) + 1
    job = QUEUE / str(number)
    job.mkdir()
    (job / "options").write_text(" ".join(options))
    command = f"sh {shlex.quote(script)} > {job}/log 2>&1; echo $? > {job}/.status; mv {job}/.status {job}/status"
    process = subprocess.Popen(["sh", "-c", command], start_new_session=True, stdout=subprocess.DEVNULL)
    (job / "process").write_text(str(process.pid))
    print(number)


def squeue(*arguments: str) -> None:
    (number,) = (argument.removeprefix("--jobs=") for argument in arguments if argument.startswith("--jobs="))
    if not (QUEUE / number).exists():
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    status = QUEUE / number / "status"
    states = {"0": "COMPLETED", "cancelled": "CANCELLED"}
    print(states.get(status.read_text().strip(), "FAILED") if status.exists() else "RUNNING")


def scancel(*numbers: str) -> None:
    for number in numbers:
        (QUEUE / number / "status").write_text("cancelled")
        with suppress(ProcessLookupError):
            os.killpg(int((QUEUE / number / "process").read_text()), signal.SIGKILL)


if __name__ == "__main__":
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel}[Path(sys.argv[0]).name](*sys.argv[1:])
