"""When something is wrong with what is given or with the machine: is it one clear line, and is nothing half written?"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from making import marked
from safetensors.torch import load_file, save_file
from workspace import Workspace, environment, private_mounts, run

from homolog.store.checksums import seal
from homolog.store.models import read_model, write_model

ERROR = "homolog: error: "


def told(output: str) -> list[str]:
    """What the lines for the user say; fails where a traceback stands among them.

    Snakemake may still be in the middle of a line of its own, where an interruption reaches all processes at once.
    """
    assert "Traceback" not in output, output
    assert "Logging error" not in output, output
    return [line.partition(ERROR)[2] for line in output.splitlines() if ERROR in line]


def half_written(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.partial"))


# Mistakes in the configuration, before the first job. (Every kind of them: test_config_mistakes.py.)


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return Workspace.fresh(tmp_path)


def test_all_mistakes_of_a_config_are_told_at_once_by_the_workflow_as_by_check(fresh: Workspace) -> None:
    path = fresh.folder / "config.yaml"
    text = path.read_text()
    for old, new in (
        ("lr: 3.0e-3", "lr: 3e-3"),
        ("hook_points: [hidden_1]", "hook_points: [hidden_9]"),
        ("k: 2", "k: 200"),
        ("device: cpu", "device: cpu\ndevice: cpu"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    done = fresh.snakemake("--dry-run")
    lines = told(done.stdout)
    assert done.returncode == 1
    assert len(lines) == 4
    assert all(line.startswith("config.yaml: ") for line in lines)
    for wanted in ("'device' stands here again", "'3e-3'", "'hidden_9' isn't a hook point", "200, of n_latents = 16"):
        assert sum(wanted in line for line in lines) == 1, wanted
    check = run([sys.executable, "-m", "homolog", "check"], cwd=fresh.folder)
    assert (check.returncode, told(check.stdout)) == (1, lines)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        marked((None, "config.yaml: no such file; give the path")),
        ("models: [\n", "config.yaml: line 2, column 1: not YAML: "),
        marked(("", "config.yaml: holds nothing; allowed: a mapping")),
        marked(("- models\n", "config.yaml: holds the list ['models']; allowed: a mapping")),
    ],
    ids=["missing", "malformed", "empty", "list"],
)
def test_a_config_that_can_not_be_read_is_one_line(fresh: Workspace, content: str | None, line: str) -> None:
    (fresh.folder / "config.yaml").unlink()
    if content is not None:
        (fresh.folder / "config.yaml").write_text(content)
    done = fresh.snakemake("--dry-run")
    assert done.returncode == 1
    assert [text[: len(line)] for text in told(done.stdout)] == [line]


def test_values_from_the_command_line_are_checked_too(fresh: Workspace) -> None:
    done = fresh.snakemake("--dry-run", "--config", "threads=none")
    assert done.returncode == 1
    assert [line.partition(";")[0] for line in told(done.stdout)] == ["config.yaml: threads: the text 'none'"]


# Jobs that can't be done: each breaks a file or asks for the impossible, then one run of the workflow meets them all.


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["something"] = np.arange(3)


def edit_hdf5(edit: Callable[[h5py.File], object], path: Path) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)
    seal(path)


def foreign_safetensors(path: Path) -> None:
    save_file(load_file(path), path)


def edit_weights(edit: Callable[[torch.Tensor], torch.Tensor], path: Path) -> None:
    saved = read_model(path)
    state = {name: edit(tensor) if name == "hidden_0.linear.weight" else tensor for name, tensor in saved.state.items()}
    write_model(path, state, saved.sizes, {"spec": saved.attributes["spec"]})


def set_nan(file: h5py.File) -> None:
    file["hidden_1/activations"][3, 5] = np.nan


OTHER_VERSION = {"homolog_format": 99, "homolog_version": "9.9"}
MODELS = {
    "diverging": {
        "task": {"name": "digits"},
        "architecture": {"name": "mlp", "widths": [8]},
        "training": {"steps": 60, "batch_size": 128, "lr": 1.0e6, "log_every": 5},
    },
    "clothes": {
        "task": {"name": "fashion_mnist", "path": "no/such/folder"},
        "architecture": {"name": "mlp", "widths": [8]},
        "training": {"steps": 1},
    },
}
RUN = "results/models/"
# name: (file to break, how), (target), (what the line says)
CASES: dict[str, tuple[str | None, Callable[[Path], None] | None, str, tuple[str, ...]]] = {
    "truncated HDF5": (
        f"{RUN}digits_mlp/seed_1/activations.h5",
        truncate,
        f"{RUN}digits_mlp/seed_1/hidden_1/pca.h5",
        (
            "isn't what was written: a part of it is missing or has changed",
            "delete it and build it again with `snakemake ",
        ),
    ),
    "foreign HDF5": (
        f"{RUN}digits_mlp_wide_64/seed_0/activations.h5",
        foreign_hdf5,
        f"{RUN}digits_mlp_wide_64/seed_0/hidden_1/pca.h5",
        ("was not written by homolog (its attributes: none)", "delete it and build it again with `snakemake "),
    ),
    "another version": (
        f"{RUN}digits_mlp_wide_64/seed_1/activations.h5",
        partial(edit_hdf5, lambda file: file.attrs.update(OTHER_VERSION)),
        f"{RUN}digits_mlp_wide_64/seed_1/hidden_1/pca.h5",
        ("was written by homolog 9.9 in format 99, and this version reads format 1", "delete it and build it again"),
    ),
    "missing hook point": (
        f"{RUN}digits_mlp_wide_64-untrained/seed_0/activations.h5",
        partial(edit_hdf5, lambda file: file.pop("hidden_1")),
        f"{RUN}digits_mlp_wide_64-untrained/seed_0/hidden_1/pca.h5",
        ("has no hook point 'hidden_1'; it has hidden_0, hidden_2, logits", "choose one of these, or add it to"),
    ),
    "NaN in a file": (
        f"{RUN}digits_mlp_wide_64-untrained/seed_1/activations.h5",
        partial(edit_hdf5, set_nan),
        f"{RUN}digits_mlp_wide_64-untrained/seed_1/hidden_1/pca.h5",
        ("activations at hidden_1 hold 1 values that aren't finite", "build it again with `snakemake "),
    ),
    "truncated safetensors": (
        f"{RUN}digits_mlp_retrained_1/seed_0/model.safetensors",
        truncate,
        f"{RUN}digits_mlp_retrained_1/seed_0/activations.h5",
        ("isn't what was written: a part of it is missing or has changed", "delete it and build it again"),
    ),
    "foreign safetensors": (
        f"{RUN}digits_mlp-untrained/seed_0/model.safetensors",
        foreign_safetensors,
        f"{RUN}digits_mlp-untrained/seed_0/activations.h5",
        ("was not written by homolog (its attributes: none)", "delete it and build it again with `snakemake "),
    ),
    "NaN activations": (
        f"{RUN}digits_mlp-untrained/seed_1/model.safetensors",
        partial(edit_weights, lambda weight: weight * torch.nan),
        f"{RUN}digits_mlp-untrained/seed_1/activations.h5",
        ("activations at hidden_0 hold ", "that aren't finite (first in row 0)", "lower its learning rate"),
    ),
    "float16 overflow": (
        f"{RUN}digits_mlp_retrained_1-untrained/seed_0/model.safetensors",
        partial(edit_weights, lambda weight: weight * 1e6),
        f"{RUN}digits_mlp_retrained_1-untrained/seed_0/activations.h5",
        ("activations at hidden_0 reach ", "float16 reaches only to 65504", "activations: {dtype: float32}"),
    ),
    "diverging training": (
        None,
        None,
        f"{RUN}diverging/seed_0/model.safetensors",
        (
            "training of diverging, seed 0, diverged: the loss is ",
            "lr = 1000000.0",
            "lower models.diverging.training.lr",
        ),
    ),
    "no Fashion-MNIST": (
        None,
        None,
        f"{RUN}clothes/seed_0/model.safetensors",
        ("no/such/folder/train-images-idx3-ubyte.gz isn't there", "package dataset-fashion-mnist", "set `path`"),
    ),
    "truncated dictionary": (
        f"{RUN}digits_mlp_retrained/seed_1/hidden_1/topk.h5",
        truncate,
        "results/experiments/stability/stability.nc",
        # By its checksum, or by HDF5 where that is cut off too.
        ("hidden_1/topk.h5 ", "delete it and build it again with `snakemake "),
    ),
    "truncated numbers": (
        "results/experiments/reinit_depth/stability.nc",
        truncate,
        "results/figures/reinit_depth.pdf",
        (
            "isn't what was written: a part of it is missing or has changed",
            "delete it and build it again with `snakemake ",
        ),
    ),
}


@pytest.fixture(scope="module")
def broken(built: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, int, str]:
    """A workspace in which every case is broken, the exit status and the output of a run that asks for all targets."""
    workspace = built.copy(tmp_path_factory.mktemp("broken"))
    workspace.configure(lambda config: config["models"].update(MODELS))
    workspace.configure(
        lambda config: config["models"]["digits_mlp_retrained_1"].update(activations={"dtype": "float16"})
    )
    for path, damage, target, _ in CASES.values():
        (workspace.folder / target).unlink(missing_ok=True)
        if path and damage:
            damage(workspace.folder / path)
    targets = [target for _, _, target, _ in CASES.values()]
    done = workspace.snakemake("--cores", "2", "--keep-going", *targets)
    return workspace, done.returncode, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_a_job_that_can_not_be_done_says_so_in_one_line_and_leaves_nothing(broken, case: str) -> None:
    workspace, status, output = broken
    path, _, target, wanted = CASES[case]
    assert status == 1
    # The network computes activations: where those are at fault, no file is.
    names_file = [path] if path and "activations at hidden_0" not in wanted[0] else []
    lines = [line for line in told(output) if all(words in line for words in (*wanted, *names_file))]
    assert len(lines) == 1, output
    assert not (workspace.folder / target).exists()
    # The log says the same, and where it came from.
    log = next(text for text in logs(workspace) if lines[0] in text)
    assert "Traceback" in log


def logs(workspace: Workspace) -> list[str]:
    return [path.read_text() for path in workspace.results.rglob("*.log")]


def test_there_is_one_line_for_each_job_that_can_not_be_done(broken) -> None:
    workspace, _, output = broken
    assert len(told(output)) == len(CASES)
    assert half_written(workspace.folder) == []


def test_cuda_where_there_is_none_is_one_line(copied: Workspace) -> None:
    copied.configure(lambda config: config.update(device="cuda"))
    target = f"{RUN}digits_mlp/seed_7/model.safetensors"
    done = copied.snakemake(target, env=environment() | {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 1
    (line,) = told(done.stdout)
    assert line == "device: cuda is asked for, but no CUDA device is there: set `device: auto` or `device: cpu`."
    assert not (copied.folder / target).exists()


# A machine that doesn't play along.

ACTIVATIONS = f"{RUN}digits_mlp/seed_0/activations.h5"


def test_a_full_quota_is_one_line(copied: Workspace) -> None:
    (copied.folder / ACTIVATIONS).unlink()
    limit = 300_000  # bytes: half of what the activations take, more than all that Snakemake itself writes
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    done = copied.snakemake(ACTIVATIONS, preexec_fn=limited)
    check_full_disk(copied.folder, done)


@pytest.fixture(scope="session")
def mount_tmpfs() -> list[str]:
    """The start of a command that has mounts of its own; tests that need one are skipped where nobody may mount."""
    mounts = private_mounts()
    if mounts is None:
        pytest.skip("a small disk can only be made where this user may mount one (Linux, root or user namespaces)")
    return mounts


def test_a_full_disk_is_one_line(copied: Workspace, mount_tmpfs: list[str]) -> None:
    folder = (copied.folder / ACTIVATIONS).parent
    (copied.folder / ACTIVATIONS).unlink()
    shutil.rmtree(folder / "hidden_1")
    kept, found = copied.folder / "kept", copied.folder / "found"
    shutil.copytree(folder, kept)
    # Room for the model and little more; the log of the job lies on the same disk.
    script = f"""
        mount -t tmpfs -o size=200k tmpfs {folder} && cp -a {kept}/. {folder} && "$@"
        status=$?; ls -AR {folder} > {found}; exit $status
    """
    done = run([*mount_tmpfs, "sh", "-c", script, "sh", *copied.command(ACTIVATIONS)], cwd=copied.folder)
    check_full_disk(copied.folder, done)
    assert "model.safetensors" in found.read_text()
    assert ".partial" not in found.read_text()


def check_full_disk(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done.stdout
    (line,) = told(done.stdout)
    assert line.startswith(f"{ACTIVATIONS} can't be written: the disk is full, or a quota is reached: free some space")
    assert not (folder / ACTIVATIONS).exists()
    assert half_written(folder) == []


@pytest.mark.parametrize(
    "component", ["results", marked("results/models/digits_mlp"), marked("results/models/digits_mlp/seed_0")]
)
def test_a_file_in_the_way_of_a_folder_is_one_line(fresh: Workspace, component: str) -> None:
    # Permissions would do as well, but they don't bind root, which CI often is.
    path = fresh.folder / component
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    done = fresh.snakemake("stability")
    assert done.returncode == 1
    assert told(done.stdout) == [f"{component} is a file where a folder is needed: move that file away"]
    assert path.read_text() == "in the way"


@pytest.mark.parametrize("locked", [".", "results/models/digits_mlp/seed_0"])
def test_a_folder_that_can_not_be_written_to_is_one_line(
    copied: Workspace, mount_tmpfs: list[str], locked: str
) -> None:
    (copied.folder / ACTIVATIONS).unlink()
    folder = (copied.folder / locked).resolve()
    script = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && cd {copied.folder} && "$@"'
    done = run([*mount_tmpfs, "sh", "-c", script, "sh", *copied.command(ACTIVATIONS)], cwd=copied.folder)
    assert done.returncode == 1
    (line,) = told(done.stdout)
    assert line.startswith(f"the folder {folder} can't be written to: change its permissions, or choose another")


@pytest.mark.parametrize("number", [marked(signal.SIGINT), signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_job_says_so_leaves_nothing_and_can_be_run_again(
    fresh: Workspace, number: signal.Signals
) -> None:
    fresh.configure(lambda config: config["models"]["digits_mlp"]["training"].update(steps=10**9))
    folder = fresh.folder / f"{RUN}digits_mlp/seed_0"
    target = f"{RUN}digits_mlp/seed_0/model.safetensors"
    process = subprocess.Popen(
        fresh.command(target),
        cwd=fresh.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(
            lambda: (folder / "logs" / "train.log").exists() and (folder / "logs" / "train.log").stat().st_size > 0
        )
        time.sleep(4)  # into the training; wherever it is by then, the same must be said
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert told(output) == [
        f"stopped by {number.name}: no part of an output was left behind; run the same command again to go on."
    ]
    # The state of the training, if it had begun.
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left - {".model.safetensors.training"} == {"train.log"}
    assert fresh.planned(target) == {"train digits_mlp/seed_0"}


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)


def test_told_is_not_deaf() -> None:
    assert told(f"Select jobs\n{ERROR}a\nRuleException:\n") == ["a"]
    with pytest.raises(AssertionError):
        told("Traceback (most recent call last):")
    assert re.match(ERROR, f"{ERROR}a")
