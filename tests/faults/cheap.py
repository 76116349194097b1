"""A workflow whose jobs do next to nothing: real rules, plans, wrapper and writers; arrays made in milliseconds."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import h5py
import psutil
from safetensors.numpy import load_file
from workspace import Workspace, environment

ERROR = "homolog: error: "
EXPERIMENT = "stability"
MODEL = "results/models/digits_mlp/seed_0/model.safetensors"
DICTIONARY = "results/models/digits_mlp/seed_0/hidden_1/pca.h5"

# Seconds between the pieces that a file is written in: what is killed is often at it.
PAUSE = 0.003

# In the place of each script: numbers that follow from the spec and from all numbers that are read, written bit by bit.
_BODY = '''"""A stand-in for one stage of the workflow."""

from homolog.jobs.stage import stage


@stage(snakemake)
def {name}(job):
    import json
    import time
    from hashlib import sha256

    import numpy as np
    from safetensors.numpy import load_file, save

    from homolog.provenance.canonical import short_hash
    from homolog.store.files import atomic, content_hash, header, new_hdf5, open_hdf5

    digest = sha256(json.dumps(job.spec, sort_keys=True).encode())
    for path in sorted(set(job.input)):
        if path.endswith(".safetensors"):
            digest.update(load_file(path)["x"].tobytes())
        else:
            with open_hdf5(path, "stand-in") as file:
                digest.update(file["x"][...].tobytes())
    for path in job.output:
        digest.update(path.encode())
        x = np.random.default_rng(list(digest.digest())).normal(size=(40, 100))
        said = header("stand-in", content_hash([("x", x)]), job.provenance())
        if path.endswith((".h5", ".nc")):
            with new_hdf5(path) as file:
                file.dimensions.update(row=len(x), column=x.shape[1])
                variable = file.create_variable("x", ("row", "column"), x.dtype, chunks=(4, x.shape[1]))
                for start in range(0, len(x), 4):
                    variable[start : start + 4] = x[start : start + 4]
                    time.sleep({pause})
                file.attrs.update(said)
        else:
            text = {{name: str(value) for name, value in said.items()}}
            spec, inputs = (short_hash(json.loads(text[name])) for name in ("spec", "inputs"))
            keywords = f"code {{job.code}}, spec {{spec}}, inputs {{inputs}}, checksum {{text['checksum']}}"
            wholes = {{
                "safetensors": save({{"x": x}}, text),
                "pdf": f"%PDF-1.4 {{digest.hexdigest()}} /Keywords ({{keywords}}) %%EOF".encode(),
            }}
            whole = wholes.get(path.rpartition(".")[2], digest.hexdigest().encode())
            with atomic(path) as temporary:
                for start in range(0, len(whole), 4000):
                    with temporary.open("ab") as stream:
                        stream.write(whole[start : start + 4000])
                    time.sleep({pause})
    time.sleep(10 * {pause})
'''


def cheap(root: Path) -> Workspace:
    """The first experiment of the tiny configuration, at two decompositions, with stand-ins for its stages."""
    workspace = Workspace.fresh(root)
    for script in (workspace.sources / "workflow" / "scripts").glob("*.py"):
        script.write_text(_BODY.format(name=script.stem, pause=PAUSE))
    workspace.configure(_reduce)
    return workspace


def _reduce(config: dict[str, Any]) -> None:
    config["decompositions"] = {name: config["decompositions"][name] for name in ("pca", "svd")}
    config["experiments"] = {EXPERIMENT: config["experiments"][EXPERIMENT] | {"decompositions": ["pca", "svd"]}}


def numbers(workspace: Workspace) -> dict[str, bytes]:
    """What stands in each file but who made it: all arrays, bit by bit; logs and benchmarks are left out."""
    found = {}
    for path in sorted(workspace.results.rglob("*")):
        name = str(path.relative_to(workspace.folder))
        if path.name.startswith(".") or "logs" in path.parts or "benchmarks" in path.parts or not path.is_file():
            continue
        if path.suffix == ".safetensors":
            found[name] = b"".join(key.encode() + array.tobytes() for key, array in sorted(load_file(path).items()))
        elif path.suffix in {".h5", ".nc"}:
            found[name] = b"".join(_arrays(path))
        else:
            found[name] = re.sub(rb"/Keywords \([^)]*\)", b"", path.read_bytes())
    return found


def _arrays(path: Path) -> list[bytes]:
    found: list[bytes] = []

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            array = item[...]
            found.append(name.encode() + (repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()))

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found


def left_over(workspace: Workspace) -> list[str]:
    """Hidden files: what is half written, saved states, claims."""
    return sorted(str(path.relative_to(workspace.results)) for path in workspace.results.rglob(".*"))


def told(output: str) -> list[str]:
    """The lines for the user; fails where a traceback stands among what is printed."""
    assert "Traceback" not in output, output
    return [line.partition(ERROR)[2] for line in output.splitlines() if ERROR in line]


@contextmanager
def running(workspace: Workspace, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Snakemake at work in a session of its own, its output in a file `output` of the folder; killed at the end."""
    with (workspace.folder / "output").open("w") as output:
        process = subprocess.Popen(
            workspace.command(*arguments),
            cwd=workspace.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            **{"env": environment(), **options},
        )
    try:
        yield process
    finally:
        end(process)


def printed(workspace: Workspace) -> str:
    return (workspace.folder / "output").read_text()


def end(process: subprocess.Popen[str]) -> None:
    """Kill Snakemake and all that it has started."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()


def jobs_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Python at work on a script, rather than the shell that waits for it."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if _is_job(child)]
    except psutil.NoSuchProcess:
        return []


def _is_job(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("python") and "/.snakemake/scripts/" in process.cmdline()[-1]
    except (psutil.Error, IndexError):
        return False


def wait_for_job(process: subprocess.Popen[str], seconds: float = 120) -> list[psutil.Process]:
    """The jobs that run, once one does; none where Snakemake ends before."""
    finish = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < finish:
        if found := jobs_of(process):
            return found
        time.sleep(0.005)
    return []


def kill_a_job(process: subprocess.Popen[str], draw: Random, span: float) -> bool:
    """Kill a random job, at a random moment in the `span` (s) behind the first one's start; whether there was one."""
    wait_for_job(process)
    time.sleep(draw.uniform(0, span))
    for _ in range(100):
        found = wait_for_job(process)
        if not found:
            return False
        try:
            draw.choice(found).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
        return True
    return False
