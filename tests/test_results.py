"""Are files that are as planned, stale, corrupt and of unknown making told apart, and does Snakemake learn of it?"""

import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from workspace import ROOT, TINY, Workspace, environment, run

from homolog.config import load_config
from homolog.config.tasks import DigitsOptions, FashionMNISTOptions
from homolog.export.header import with_header
from homolog.planning import Plan
from homolog.results.planned import PlannedJob, exported
from homolog.results.prune import remove, unwanted
from homolog.results.verify import verify, with_inputs
from homolog.store.checksums import is_intact, seal
from homolog.store.figures import write_text
from homolog.store.files import header, write_hdf5

PROVENANCE = {"spec": '{"a":{"b":1,"c":2}}', "code": "0123 numpy==2.1 python==3.11", "inputs": "{}"}
VARIABLES = {
    "number": (("row", "column"), np.arange(6.0).reshape(2, 3)),
    "text": (("row",), np.asarray(["a", "bc"], object)),
}


def job(path: Path, inputs: tuple[Path, ...] = (), **changed: str) -> PlannedJob:
    said = PROVENANCE | changed
    return PlannedJob("some", said["spec"], said["code"], [str(p) for p in inputs], [str(path)], [], None)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "some.h5"
    write_hdf5(path, "anything", VARIABLES, PROVENANCE)
    return path


def flip(path: Path, name: str = "number") -> None:
    """Another number in its place, as a bad disk would leave it."""
    with h5py.File(path, "r+") as file:
        file[name][0] = "x" if h5py.check_string_dtype(file[name].dtype) else 7


def status(*jobs: PlannedJob) -> list[tuple[str, str]]:
    return [(finding.status, finding.reason) for of_job in verify(jobs) for finding in of_job]


def test_a_file_as_it_was_written_is_current(written: Path) -> None:
    assert status(job(written)) == [("current", "")]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"spec": '{"a":{"b":1,"c":3}}'}, "spec: a.c"),
        ({"spec": '{"a":{"c":2,"b":1}}'}, None),
        ({"spec": '{"a":{"b":1},"d":[1]}'}, "spec: a.c, d"),
        ({"code": "4567 numpy==2.1 python==3.11"}, "code"),
        ({"code": "0123 numpy==2.2 python==3.11"}, "versions: numpy==2.1 -> numpy==2.2"),
        (
            {"code": "4567 python==3.12", "spec": "{}"},
            "spec: a.b, a.c; code; versions: numpy==2.1, python==3.11 -> python==3.12",
        ),
    ],
)
def test_what_has_changed_is_told(written: Path, changed: dict[str, str], reason: str | None) -> None:
    assert status(job(written, **changed)) == [("stale", reason) if reason else ("current", "")]


@pytest.mark.parametrize("name", VARIABLES)
def test_one_changed_number_or_text_is_corrupt(written: Path, name: str) -> None:
    assert is_intact(written) is True
    flip(written, name)
    assert is_intact(written) is False
    assert status(job(written)) == [("corrupt", "it isn't what was written")]


def test_a_group_and_a_dataset_of_xarray_are_sealed_too(tmp_path: Path) -> None:
    path = tmp_path / "some.nc"
    dataset = xr.Dataset({"x": ("row", [1.0, np.nan]), "yes": ("row", [True, False])}, {"row": ["a", "b"]})
    dataset.assign_attrs(header("anything", "0", PROVENANCE)).to_netcdf(path, engine="h5netcdf")
    seal(path)
    assert status(job(path)) == [("current", "")]
    xr.testing.assert_equal(xr.load_dataset(path, engine="h5netcdf"), dataset)
    flip(path, "x")
    assert status(job(path))[0][0] == "corrupt"


def test_what_is_cut_off_is_corrupt_and_what_says_nothing_unknown(tmp_path: Path, written: Path) -> None:
    foreign, sealed_not, absent = tmp_path / "foreign.h5", tmp_path / "old.h5", tmp_path / "absent.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    shutil.copy(written, sealed_not)
    sealed_not.write_bytes(sealed_not.read_bytes().replace(b"homolog-sha256-", b"another-sha256-"))
    assert status(job(foreign), job(sealed_not), job(absent)) == [
        ("unknown", "it doesn't say how it was made"),
        ("unknown", "it carries no checksum"),
        ("missing", ""),
    ]
    os.truncate(written, written.stat().st_size // 2)
    assert status(job(written))[0][0] == "corrupt"


def test_a_file_whose_spec_is_broken_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "some.h5"
    write_hdf5(path, "anything", VARIABLES, PROVENANCE | {"spec": "{no JSON", "inputs": "{"})
    assert status(job(path)) == [("stale", "spec: a.b, a.c")]


def test_what_a_killed_job_leaves_is_unknown(written: Path) -> None:
    assert status(replace(job(written), ended=False)) == [("unknown", "the job that made it didn't end")]


def test_an_input_of_other_content_is_told_and_what_follows_is_stale(tmp_path: Path, written: Path) -> None:
    follows = tmp_path / "follows.h5"
    with h5py.File(written) as file:
        content = file.attrs["content"]
    write_hdf5(follows, "anything", VARIABLES, PROVENANCE | {"inputs": f'{{"{written}": "{content}"}}'})
    jobs = [job(written), job(follows, (written,))]
    assert status(*jobs) == [("current", "")] * 2
    changed = [job(written, code="4567"), jobs[1]]
    assert [(one.status, one.reason) for one in with_inputs(changed, verify(changed))][1] == (
        "stale",
        f"{written} isn't current",
    )
    write_hdf5(written, "anything", {"number": (("row",), np.arange(2))}, PROVENANCE)
    assert status(*jobs)[1] == ("stale", f"inputs: {written}")
    assert status(job(follows))[0] == ("stale", f"inputs: {written}")


def test_what_no_job_makes_is_unwanted(tmp_path: Path) -> None:
    results = tmp_path / "results"
    made = results / "models" / "a" / "x.h5"
    others = [results / "models" / "b" / "logs" / "y.log", results / "figures" / ".z.pdf.partial"]
    for path in (made, made.with_name(".x.h5.training.hidden_1"), results / "own" / "notes.txt", *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert unwanted([job(made)], results) == sorted(others)
    remove(others, results)
    assert unwanted([job(made)], results) == []
    assert {path.name for path in results.iterdir()} == {"models", "own"}
    assert [path.name for path in (results / "models").iterdir()] == ["a"]


def test_exports_of_present_experiments_are_planned_and_their_folders_wanted(tmp_path: Path) -> None:
    plan, results = Plan(load_config(TINY)), tmp_path / "results"
    point = plan.experiment("stability").hook_points[0]
    run = plan.experiment("stability").compared[0]
    card = results / "export" / "stability" / run.model / f"seed_{run.seed}" / point / "pca" / "README.md"
    foreign = [card.parents[1] / "gone" / "README.md", results / "export" / "gone" / "tracks.csv"]
    table = results / "export" / "stability" / "tracks.csv"
    for path in (card, card.with_name("latents.csv"), card.parent / "pca_1" / "README.md", table, *foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert exported(plan, results) == sorted(map(str, (card, table)))
    assert unwanted([job(card), job(table)], results) == sorted(foreign)


def test_a_card_says_how_it_was_made_and_a_table_does_not(tmp_path: Path) -> None:
    card, table = tmp_path / "README.md", tmp_path / "tracks.csv"
    table.write_text("track,run\n")
    card.write_text(with_header("# A card", {**PROVENANCE, "content": "0"}))
    assert status(job(card, spec='{"a":{"b":1,"c":3}}')) == [("stale", "spec: a.c")]
    assert status(job(table)) == [("unknown", "it doesn't say how it was made")]
    write_text(card, with_header("# A card", header("export", "0", PROVENANCE)))
    assert status(job(card)) == [("current", "")]
    card.write_text(card.read_text().replace("A card", "B card"))
    assert status(job(card)) == [("corrupt", "it isn't what was written")]
    card.write_text("# A card")
    assert status(job(card)) == [("unknown", "it doesn't say how it was made")]


def test_files_that_hold_data_are_inputs(tmp_path: Path) -> None:
    options = FashionMNISTOptions(name="fashion_mnist", path=str(tmp_path))
    assert options.files() == []
    names = [f"{part}-{what}-ubyte.gz" for part in ("t10k", "train") for what in ("images-idx3", "labels-idx1")]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    assert options.files() == [str(tmp_path / name) for name in names]
    assert DigitsOptions(name="digits").files() == []
    rules = (ROOT / "workflow" / "rules" / "runs.smk").read_text()
    of_rule = dict(re.findall(r"^rule (\w+):\n    input:\n(.*?)    output:", rules, re.MULTILINE | re.DOTALL))
    assert [name for name, inputs in of_rule.items() if "data=data_files" in inputs] == ["train", "dump_activations"]


# The whole workflow


def homolog(workspace: Workspace, *arguments: str) -> tuple[int, list[str]]:
    # The copy's own package, which knows its Snakefile.
    variables = {**environment(), "PYTHONPATH": str(workspace.sources / "src")}
    done = run([sys.executable, "-m", "homolog", *arguments], cwd=workspace.folder, env=variables)
    return done.returncode, done.stdout.splitlines()


def forget(workspace: Workspace) -> list[Path]:
    """Remove Snakemake's records; dates in an order that says nothing. Gives all files of the results."""
    shutil.rmtree(workspace.folder / ".snakemake")
    files = sorted(path for path in workspace.results.rglob("*") if path.is_file())
    for i, path in enumerate(reversed(files)):
        os.utime(path, (10**9 + i, 10**9 + i))
    return files


def test_results_copied_without_records_are_adopted(copied: Workspace) -> None:
    forget(copied)
    status, lines = homolog(copied, "adopt")
    assert (status, len(lines)) == (0, 1), lines
    assert copied.planned("all") == set()


@pytest.mark.slow
def test_what_is_not_as_planned_is_told_and_built_again_and_what_nothing_wants_goes(copied: Workspace) -> None:
    files = forget(copied)
    # Dates are all that Snakemake has without records.
    assert copied.planned("all") != set()
    copied.configure(lambda config: config["experiments"]["bases"].update(tracks={"null_draws": 20}))
    flip(copied.results / "experiments" / "stability" / "stability.nc", "observed")
    shutil.copy(files[0], copied.results / "models" / "left_over.h5")
    (copied.results / "figures" / "widening" / "tracks.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    status, lines = homolog(copied, "verify")
    told = {line.partition(": ")[0].removeprefix("results/"): line.partition(": ")[2] for line in lines[:-1]}
    assert status == 1
    assert told["experiments/bases/tracks.nc"] == "stale: spec: options.null_draws"
    assert told["figures/bases/tracks.pdf"] == "stale: results/experiments/bases/tracks.nc isn't current"
    assert told["experiments/stability/stability.nc"] == "corrupt: it isn't what was written"
    assert told["figures/stability.pdf"].startswith("stale: results/experiments/stability/stability.nc isn't")
    assert told["figures/widening/tracks.pdf"] == "unknown: it doesn't say how it was made"
    homolog(copied, "adopt")
    # The figure of stability draws tracks, too.
    again = {"track bases", "plot_tracks bases", "plot bases", "plot_tracks widening", "analyse stability"}
    assert copied.planned("all") == again | {"plot stability", "plot_waterfall stability"}
    assert homolog(copied, "prune") == (0, ["results/models/left_over.h5", "1 files can go: add --yes to remove them"])
    assert homolog(copied, "prune", "--yes")[0] == 0
    assert {path for path in copied.results.rglob("*") if path.is_file()} == set(files)
