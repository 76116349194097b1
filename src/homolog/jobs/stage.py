"""What a workflow script runs in: threads, device, provenance, progress, and errors that are one clear line."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import traceback
from collections.abc import Callable, Iterable, Sized
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from homolog.jobs.claims import claim
from homolog.jobs.stopping import Stopped, Stopping
from homolog.provenance.running import Running
from homolog.store.checksums import check_intact

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


# What a computation says that finds no memory: torch by a RuntimeError, the loader of libraries by an ImportError.
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "failed to map segment", "unable to allocate")


class Job:
    """One job of the workflow as a script sees it."""

    def __init__(self, snakemake: Any, stopping: Stopping) -> None:
        self._stopping = stopping
        self.spec: dict[str, Any] = json.loads(snakemake.params.spec)
        self.code: str = snakemake.params.code
        self.input, self.output = snakemake.input, snakemake.output
        self.wildcards = snakemake.wildcards
        self.log: str | None = next(iter(snakemake.log), None)
        self._device: str = snakemake.resources.get("device", "cpu")
        self.rule: str = snakemake.rule

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``; a ValueError when CUDA is asked for and isn't there."""
        if self._device == "cpu":
            return "cpu"
        import torch  # imported here: a job that computes nothing starts without it

        if self._device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "device: cuda is asked for, but no CUDA device is there: set `device: auto` or `device: cpu`."
            )
        if self._device == "auto":
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._device == "cuda":
            torch.use_deterministic_algorithms(True, warn_only=True)
        return self._device

    @property
    def checkpoint(self) -> Path:
        """Where a long fit saves its state at times: a hidden file beside the first output."""
        output = Path(self.output[0])
        return output.with_name(f".{output.name}.training")

    def progress(self, steps: Iterable[int]) -> Iterable[int]:
        """The same steps, with a bar on a terminal once they have taken two seconds; a job is stopped between them."""
        from tqdm import tqdm

        label = " ".join([self.rule, *map(str, self.wildcards)])
        total = len(steps) if isinstance(steps, Sized) else None
        until = self._stopping.steps(steps)
        return tqdm(until, total=total, desc=label, delay=2, leave=False, disable=None, dynamic_ncols=True)

    def provenance(self, **more: str | int) -> dict[str, str | int]:
        """What every file says of its making: spec, code, inputs, versions, device, commit."""
        versions = {name: version(name) for name in ("torch", "numpy", "homolog")}
        return {
            "spec": json.dumps(self.spec, sort_keys=True),
            "code": self.code,
            "inputs": json.dumps({path: recorded_content(path) for path in sorted(set(self.input))}),
            "homolog_version": versions["homolog"],
            "torch": versions["torch"],
            "numpy": versions["numpy"],
            "python": platform.python_version(),
            "device": self.device,
            "git_commit": git_commit(),
            **self._run(),
            **more,
        }

    def _run(self) -> dict[str, str | int]:
        model = self.wildcards.get("model")
        if model is None:
            return {}
        seed = int(self.wildcards.seed)
        return {"run": f"{model}/seed_{seed}", "seed": seed}


def version(package: str) -> str:
    """An installed package's version; ``uninstalled`` when it runs from a checkout alone."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"


def recorded_content(path: str) -> str:
    """The content hash that an artefact carries in its own header; of other files a hash of all that they hold."""
    if path.endswith(".safetensors"):
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            found = (file.metadata() or {}).get("content")
    else:
        import h5py

        found = None
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                found = file.attrs.get("content")
    if found is not None:
        return str(found)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def git_commit() -> str:
    """The checkout's commit, with ``-dirty`` after it when files differ; ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def stage(snakemake: Any) -> Callable[[Callable[[Job], None]], None]:
    """Decorator that runs a script's one function as the job: ``@stage(snakemake)`` above ``def decompose(job): ...``.

    Import what is heavy inside that function: then a mistake, a full disk or Ctrl-C at any moment ends in one
    ``homolog: error:`` line on stderr and in the rule's log, and the exit code tells Snakemake. A job whose code isn't
    what was planned, before it begins or when it is done, leaves no output; one whose inputs aren't what was written
    doesn't begin.
    """

    def run(body: Callable[[Job], None]) -> None:
        try:
            job = Job(snakemake, Stopping())
            # A rule, its script and the function in it share one name.
            running = Running(Path(snakemake.scriptdir) / f"{body.__name__}.py", job.spec, job.code)
            for variable in THREAD_VARIABLES:
                os.environ[variable] = str(job.spec["threads"])
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            # Not every file system has locks, and none is needed: files are replaced, never changed.
            os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
            logging.basicConfig(filename=job.log, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
            logging.raiseExceptions = False  # The log may lie on the disk that is full.
            logging.getLogger().addHandler(_to_terminal())
            job.code = running.check()
            logging.info("%s %s", job.rule, job.code)
            with claim(job.output[0]):
                for path in sorted(set(job.input)):
                    check_intact(path)
                body(job)
                _check_output(running, job)
            logging.info("done")
        except BaseException as error:
            _end(error, next(iter(snakemake.log), None))

    return run


def _check_output(running: Running, job: Job) -> None:
    """Remove what was made by code that isn't the planned one."""
    try:
        running.check()
    except ValueError:
        for path in job.output:
            Path(path).unlink(missing_ok=True)
        raise


def _to_terminal() -> logging.Handler:
    """Shows warnings as one line on stderr, too: the job goes on, but someone should know."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("homolog: warning: %(message)s"))
    # An error that ends the job is shown by `_end`, once.
    handler.addFilter(lambda record: record.levelno == logging.WARNING and record.name.startswith("homolog"))
    return handler


def _is_ours(error: BaseException) -> bool:
    """Whether the library raised it on purpose, rather than something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parents[1])


def _is_memory(error: BaseException) -> bool:
    """Whether a computation found no memory; torch names a GPU's error so, but not the machine's own."""
    number, text = getattr(error, "errno", None), str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or number == errno.ENOMEM
        or (isinstance(error, RuntimeError | ImportError | OSError) and any(words in text for words in _NO_MEMORY))
    )


def words(error: BaseException, log: str | None = None) -> str:
    """What went wrong, in one line: as it is told where it was meant for the user; else what it is, and what helps."""
    text = " ".join(str(error).split())
    if isinstance(error, Stopped):
        return f"stopped by {text}: no part of an output was left behind; run the same command again to go on."
    if isinstance(error, MemoryError) and error.__cause__ is not None:  # `decompositions.memory`'s: with a way out
        return text
    if _is_memory(error):
        reason = text or "no more was to be had"
        return f"out of memory ({reason}): give the job more memory, or lower a batch size or a number of latents."
    if isinstance(error, ValueError | OSError) and _is_ours(error):
        return text
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        from homolog.store.files import reason_of  # imported here: it takes longer than a small job

        return f"{error.filename or 'a file'} can't be written: {reason_of(error)}."
    where = f"; the traceback is in {log}" if log else ""
    return f"unexpected {type(error).__name__}: {text}{where}: a defect, please report it."


def _end(error: BaseException, log: str | None) -> NoReturn:
    """Say in one line what went wrong and leave at once: after a failed write, h5py can crash while Python winds up."""
    Stopping.over()
    text = words(error, log)
    # In one piece: Snakemake writes there at the same time, or is gone.
    with suppress(OSError):
        os.write(2, f"homolog: error: {text}\n".encode(errors="replace"))
    try:
        logging.error("homolog: error: %s", text)
        logging.error("%s", "".join(traceback.format_exception(error)))
        logging.shutdown()
    finally:
        os._exit(143 if isinstance(error, Stopped) else 1)  # As a shell says of SIGTERM.
