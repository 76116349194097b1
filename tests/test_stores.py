"""Does every artefact come back as it was written, and is it whole or absent, and refused when it is something else?"""

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from making import CLASSES, INPUTS, gaussian, make_inputs, make_network, make_rows, seeded
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from workspace import run

from homolog.activations import describe_hook_points, stream_activations
from homolog.dictionary import Dictionary
from homolog.models.residual import Residual
from homolog.store.activations import Activations, read_activations, write_activations
from homolog.store.checksums import UNSEALED, check_intact, is_intact, seal
from homolog.store.curves import read_final_loss, write_curve
from homolog.store.dictionaries import read_dictionaries, write_dictionaries
from homolog.store.experiments import read_experiment, write_experiment
from homolog.store.figures import write_figures, write_text
from homolog.store.files import FORMAT, atomic, content_hash, plain_attributes
from homolog.store.models import read_model, write_model
from homolog.tasks.base import Data
from homolog.training import Curve

HOOK_POINTS = ["hidden_0", "hidden_1", "logits"]
PROVENANCE: dict[str, Any] = {"run": "made/seed_3", "seed": 3, "spec": '{"threads": 1}', "homolog_version": "0.1"}
FIGURE_PROVENANCE = {"homolog_version": "0.1", "git_commit": "abc", "code": "123", "spec": "{}", "inputs": "{}"}


def write_some_activations(path: Path, batch_size: int = 40, dtype: str = "float32", scale: float = 1.0) -> Any:
    """Activations of a small network; returns it with its data."""
    network, rows = make_network([7, 6]).float(), make_rows(90)
    data = Data(make_inputs(90).float() * scale, rows.label, rows.split, rows.half, CLASSES)
    points = describe_hook_points(network, HOOK_POINTS)
    batches = stream_activations(network, data.inputs, HOOK_POINTS, batch_size, "cpu")
    write_activations(path, points, batches, data, dtype, PROVENANCE)
    return network, data


def some_dictionary(n_latents: int, seed: int) -> Dictionary:
    return Dictionary(
        directions=gaussian(n_latents, 6, seed=seed),
        encoder=gaussian(n_latents, 6, seed=seed + 1),
        encoder_bias=gaussian(n_latents, seed=seed + 2),
        bias=gaussian(6, seed=seed + 3),
        firing_rate=torch.linspace(0, 1, n_latents).double(),
        importance=torch.linspace(1, 0, n_latents).double(),
        activation="topk",
        k=2,
        signed=True,
        member={"label": f"topk[n_latents={n_latents}]", "seed": seed, "rows": "all", "lr": 0.5, "fvu": 0.25},
    )


def some_dataset() -> xr.Dataset:
    values = np.array([[0.5, np.nan], [1.0, -0.0]])
    coordinates = {"view": ["score", "neuron"], "accepted": ("pair", [True, False]), "run_a": ("pair", ["a", "b"])}
    return xr.Dataset({"observed": (("view", "pair"), values)}, coordinates, {"tolerance": 0.05})


def write_some_model(path: Path) -> None:
    write_model(path, make_network([7, 6]).state_dict(), (INPUTS, CLASSES), PROVENANCE)


def write_some_curve(path: Path) -> None:
    losses, accuracies = [(2.3, 2.4), (0.5, 0.75)], [(0.1, 0.1), (0.9, 0.875)]
    write_curve(path, Curve([0, 50], losses, accuracies), PROVENANCE)


def write_some_dictionaries(path: Path) -> None:
    write_dictionaries(path, [some_dictionary(4, seed=0), some_dictionary(3, seed=1)], PROVENANCE)


def write_some_experiment(path: Path) -> None:
    write_experiment(path, some_dataset(), PROVENANCE)


def write_some_figure(path: Path) -> None:
    figure = Figure()
    figure.add_subplot().plot([0, 1])
    write_figures(path, [figure, figure], FIGURE_PROVENANCE)


def write_some_text(path: Path) -> None:
    write_text(path, "what was found\n" * 1000)


ARRAY_WRITERS: dict[str, Callable[[Path], Any]] = {
    "activations": write_some_activations,
    "training curve": write_some_curve,
    "dictionary": write_some_dictionaries,
    "experiment": write_some_experiment,
    "model": write_some_model,
}
WRITERS = ARRAY_WRITERS | {"figure": write_some_figure, "text": write_some_text}
READERS: dict[str, Callable[[Path], Any]] = {
    "activations": lambda path: read_activations(path, "hidden_1"),
    "training curve": read_final_loss,
    "dictionary": read_dictionaries,
    "experiment": read_experiment,
    "model": read_model,
}


# What is written comes back.


@pytest.mark.parametrize("hook_point", HOOK_POINTS)
def test_activations_come_back(tmp_path: Path, hook_point: str) -> None:
    network, data = write_some_activations(tmp_path / "activations.h5")
    back = read_activations(tmp_path / "activations.h5", hook_point)
    values = data.inputs
    for name in HOOK_POINTS[: HOOK_POINTS.index(hook_point) + 1]:
        values = network.get_submodule(name)(values)
    assert_close(back.values, values.detach(), rtol=1e-6, atol=1e-6)
    for kept, given in ((back.rows.split, data.split), (back.rows.half, data.half), (back.rows.label, data.labels)):
        assert kept.tolist() == given.tolist()
    assert back.rows.input_id.tolist() == list(range(90))
    assert (back.run, back.hook_point) == ("made/seed_3", hook_point)
    if hook_point == "logits":
        assert back.write_out is None
        assert back.gauge.shift
    else:
        assert_close(back.write_out, network.write_out(hook_point), rtol=0, atol=0)
        assert not back.gauge.shift
        assert_close(back.gauge.scale, back.write_out.double().norm(dim=0))
        mean = (back.values.double() * back.gauge.scale)[data.split == 0].mean(0)
        assert mean[back.gauge.order].diff().max() <= 1e-9


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
def test_the_axes_of_a_stream_come_back_whatever_the_batches(tmp_path: Path, norm: str) -> None:
    network = Residual(INPUTS, CLASSES, stream=6, blocks=1, hidden=5, norm=norm)
    network.initialise(seeded(0))
    rows = make_rows(90)
    data = Data(make_inputs(90).float(), rows.label, rows.split, rows.half, CLASSES)
    found = []
    for batch_size in (7, 90):
        points = describe_hook_points(network, ["stream_1"])
        batches = stream_activations(network, data.inputs, ["stream_1"], batch_size, "cpu")
        write_activations(tmp_path / "a.h5", points, batches, data, "float32", PROVENANCE)
        found.append(read_activations(tmp_path / "a.h5", "stream_1"))
    gauge = found[0].gauge
    assert gauge.shift == (norm == "layernorm")
    assert gauge.rotation is not None
    assert found[1].gauge.rotation is not None
    assert_close(gauge.rotation, found[1].gauge.rotation)
    train = gauge.canonical(found[0].values.double())[data.split == 0]
    covariance = torch.cov(train.T, correction=0)
    assert_close(covariance, covariance.diagonal().diag(), rtol=0, atol=1e-9)


def contents(path: Path) -> tuple[str, Activations]:
    with h5py.File(path) as file:
        return str(file.attrs["content"]), read_activations(path, "hidden_0")


@pytest.mark.parametrize("batch_size", [1, 40, 90, 1000])
def test_the_size_of_batches_changes_nothing(tmp_path: Path, batch_size: int) -> None:
    write_some_activations(tmp_path / "a.h5", batch_size=7)
    write_some_activations(tmp_path / "b.h5", batch_size=batch_size)
    (_, a), (_, b) = contents(tmp_path / "a.h5"), contents(tmp_path / "b.h5")
    # Another number of rows may take another kernel, hence not bit by bit.
    assert_close(a.values, b.values, rtol=1e-6, atol=1e-6)
    assert a.gauge.order.tolist() == b.gauge.order.tolist()


def test_equal_activations_have_equal_content_however_they_came(tmp_path: Path) -> None:
    # One network of integers, which no kernel rounds.
    network, rows = make_network([4, 3]).float(), make_rows(20)
    for parameter in network.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape, generator=torch.Generator().manual_seed(0)).float()
    inputs = torch.randint(0, 3, (20, INPUTS), generator=torch.Generator().manual_seed(1)).float()
    found = {}
    for name, batch_size, shift in (("a", 3, 0), ("b", 20, 0), ("c", 20, 1)):
        data = Data(inputs + shift, rows.label, rows.split, rows.half, CLASSES)
        points = describe_hook_points(network, HOOK_POINTS)
        batches = stream_activations(network, data.inputs, HOOK_POINTS, batch_size, "cpu")
        write_activations(tmp_path / f"{name}.h5", points, batches, data, "float32", PROVENANCE)
        found[name], _ = contents(tmp_path / f"{name}.h5")
    assert found["a"] == found["b"]
    assert found["a"] != found["c"]


def test_float16_holds_what_it_can_and_refuses_what_it_can_not(tmp_path: Path) -> None:
    write_some_activations(tmp_path / "wide.h5")
    write_some_activations(tmp_path / "narrow.h5", dtype="float16")
    wide, narrow = (read_activations(tmp_path / f"{name}.h5", "hidden_1").values for name in ("wide", "narrow"))
    assert narrow.dtype == torch.float32
    assert_close(narrow, wide, rtol=2**-11, atol=1e-7)
    with pytest.raises(ValueError, match=r"activations at hidden_0 reach .*float16 reaches only to 65504: set"):
        write_some_activations(tmp_path / "over.h5", dtype="float16", scale=1e6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["narrow.h5", "wide.h5"]


def test_weights_come_back(tmp_path: Path) -> None:
    network = make_network([7, 6])
    write_some_model(tmp_path / "model.safetensors")
    back = read_model(tmp_path / "model.safetensors")
    assert back.sizes == (INPUTS, CLASSES)
    assert back.attributes["run"] == "made/seed_3"
    assert back.state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert_close(back.state[name], tensor, rtol=0, atol=0)


def test_a_curve_comes_back(tmp_path: Path) -> None:
    write_some_curve(tmp_path / "training.nc")
    final = read_final_loss(tmp_path / "training.nc")
    assert (final.run, final.first, final.last, final.accuracy) == ("made/seed_3", 2.4, 0.75, 0.875)


def trained_dictionary(n_latents: int, seed: int, points: int) -> Dictionary:
    """A member that has all that a method may give; its curves are `points` long."""
    steps = torch.arange(points).double() * 10
    curves = {"step": steps, "fvu": torch.rand(points, generator=torch.Generator().manual_seed(seed)), "l0": steps + 1}
    optional = {"threshold": gaussian(n_latents, seed=seed), "moved": gaussian(n_latents, seed=seed).abs()}
    optional["gain"] = gaussian(n_latents, seed=seed).abs()
    return replace(some_dictionary(n_latents, seed), dense=seed, curves=curves, **optional)


def assert_same_dictionary(kept: Dictionary, given: Dictionary) -> None:
    for field in fields(Dictionary):
        back, original = getattr(kept, field.name), getattr(given, field.name)
        assert type(back) is type(original)
        if isinstance(original, torch.Tensor) or field.name == "curves":
            assert_close(back, original, rtol=0, atol=0, equal_nan=True)
        else:
            assert back == original


@pytest.mark.parametrize(
    "given",
    [
        [some_dictionary(4, seed=0), some_dictionary(3, seed=1)],
        [trained_dictionary(4, 0, points=5), trained_dictionary(3, 1, points=5)],
        [trained_dictionary(4, 0, points=2), trained_dictionary(3, 1, points=7), trained_dictionary(2, 2, points=1)],
        [replace(d, threshold=None, curves={}) for d in (trained_dictionary(4, 0, 2), trained_dictionary(3, 1, 2))],
    ],
    ids=["linear", "trained", "curves of uneven length", "some fields absent"],
)
def test_dictionaries_of_different_sizes_come_back(tmp_path: Path, given: list[Dictionary]) -> None:
    write_dictionaries(tmp_path / "made.h5", given, PROVENANCE)
    for back, original in zip(read_dictionaries(tmp_path / "made.h5"), given, strict=True):
        assert_same_dictionary(back, original)


def test_a_curve_keeps_values_that_are_not_finite_to_its_end(tmp_path: Path) -> None:
    short, long = trained_dictionary(4, 0, points=4), trained_dictionary(3, 1, points=6)
    short.curves["fvu"][2:] = torch.tensor([torch.inf, torch.nan])
    write_dictionaries(tmp_path / "made.h5", [short, long], PROVENANCE)
    for back, original in zip(read_dictionaries(tmp_path / "made.h5"), (short, long), strict=True):
        assert_same_dictionary(back, original)


def test_curves_are_labelled_by_member_and_point_with_nan_behind_their_end(tmp_path: Path) -> None:
    given = [trained_dictionary(4, 0, points=2), trained_dictionary(3, 1, points=3)]
    write_dictionaries(tmp_path / "made.h5", given, PROVENANCE)
    with xr.open_dataset(tmp_path / "made.h5", engine="h5netcdf") as dataset:
        assert dataset.sizes == {"latent": 7, "unit": 6, "member": 2, "point": 3}
        np.testing.assert_array_equal(dataset.curve_step, [[0, 10, np.nan], [0, 10, 20]])
        assert dataset.curve_fvu.dims == ("member", "point")
        assert (dataset.threshold.dims, dataset.moved.dims, dataset.dense_latents.dims) == (
            ("latent",),
            ("latent",),
            ("member",),
        )


def test_steps_may_be_whole_numbers(tmp_path: Path, no_shape_checks: None) -> None:
    given = [replace(some_dictionary(2, 0), curves={"step": torch.arange(n), "fvu": torch.ones(n)}) for n in (3, 5)]
    write_dictionaries(tmp_path / "made.h5", given, PROVENANCE)
    assert [d.curves["step"].tolist() for d in read_dictionaries(tmp_path / "made.h5")] == [[0, 1, 2], [0, 1, 2, 3, 4]]


def test_a_file_without_the_newer_fields_is_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    write_dictionaries(path, [trained_dictionary(4, 0, points=2)], PROVENANCE)
    with h5py.File(path, "r+") as file:
        for name in ("dense_latents", "threshold", "gain", "moved", "curve_step", "curve_fvu", "curve_l0"):
            del file[name]
    (back,) = read_dictionaries(path)
    assert_same_dictionary(back, some_dictionary(4, seed=0))


def test_a_yes_or_no_among_the_options_is_kept_as_one_or_zero(tmp_path: Path) -> None:
    given = [replace(some_dictionary(2, 0), member={"rows": "all", "tied": tied}) for tied in (True, False)]
    write_dictionaries(tmp_path / "made.h5", given, PROVENANCE)
    assert [d.member for d in read_dictionaries(tmp_path / "made.h5")] == [
        {"rows": "all", "tied": 1},
        {"rows": "all", "tied": 0},
    ]


def test_an_option_that_is_named_like_a_variable_is_refused_or_kept_apart(tmp_path: Path) -> None:
    path, given = tmp_path / "made.h5", some_dictionary(4, seed=0)
    # An option that only some methods pass on to their dictionaries, and one that this method has no field for.
    apart = replace(given, dense=1, member={"dense": 2, "threshold": 0.5})
    write_dictionaries(path, [apart], PROVENANCE)
    assert_same_dictionary(read_dictionaries(path)[0], apart)
    for name in ("bias", "encoder", "member_of_latent"):
        with pytest.raises(ValueError, match=f"^{name} is a variable of every such dictionary file, and can't be a"):
            write_dictionaries(path, [replace(given, member={name: 7})], PROVENANCE)


def test_members_that_differ_in_what_a_file_says_once_are_refused(tmp_path: Path) -> None:
    first = trained_dictionary(4, 0, points=2)
    for changes, told in (
        ({"activation": "relu"}, "activation is topk for the first member and not for all 2"),
        ({"signed": False}, "signed is True for the first member"),
        ({"threshold": None}, "threshold is present for the first member"),
    ):
        with pytest.raises(ValueError, match=rf"^{told}.*share it: write the others to a file of their own\.$"):
            write_dictionaries(tmp_path / "made.h5", [first, replace(first, **changes)], PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_a_curve_that_some_members_did_not_log_is_nan_for_them(tmp_path: Path) -> None:
    both, one = trained_dictionary(4, 0, points=3), trained_dictionary(3, 1, points=4)
    del one.curves["l0"]
    write_dictionaries(tmp_path / "made.h5", [one, both], PROVENANCE)
    without, whole = read_dictionaries(tmp_path / "made.h5")
    assert_same_dictionary(whole, both)
    assert torch.isnan(without.curves["l0"]).all()
    assert_close(without.curves["fvu"], one.curves["fvu"], rtol=0, atol=0)


def test_an_experiment_comes_back(tmp_path: Path) -> None:
    write_some_experiment(tmp_path / "stability.nc")
    back = read_experiment(tmp_path / "stability.nc")
    xr.testing.assert_equal(back, some_dataset())
    assert back.accepted.dtype == bool
    assert float(back.attrs["tolerance"]) == 0.05
    assert json.loads(back.attrs["spec"]) == {"threads": 1}


def test_equal_figures_are_equal_files_and_their_pages_are_counted(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        write_some_figure(tmp_path / name)
    first = (tmp_path / "a.pdf").read_bytes()
    assert first == (tmp_path / "b.pdf").read_bytes()
    assert b"/Count 2" in first
    assert b"homolog 0.1, commit abc, code 123" in first


@pytest.mark.parametrize("name", ARRAY_WRITERS)
def test_equal_content_has_an_equal_hash_whatever_made_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = header_of(written(tmp_path / "first", name))
    monkeypatch.setitem(PROVENANCE, "homolog_version", "0.2")
    second = header_of(written(tmp_path / "second", name))
    assert first["homolog_version"] != second["homolog_version"]
    assert first["content"] == second["content"]
    assert first["homolog_artefact"] == name
    assert int(first["homolog_format"]) == FORMAT


def written(path: Path, name: str) -> Path:
    ARRAY_WRITERS[name](path)
    return path


def header_of(path: Path) -> dict[str, Any]:
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            return plain_attributes(file)
    return read_model(path).attributes


def test_a_content_hash_knows_values_names_types_and_shapes() -> None:
    a = np.arange(6.0)
    variants = [[("a", a)], [("b", a)], [("a", a + 1)], [("a", a.astype("f4"))], [("a", a.reshape(2, 3))]]
    variants += [[("a", a), ("b", a)], [("a", np.array(["x", "yz"], object))], [("a", np.array(["xy", "z"], object))]]
    assert len({content_hash(variant) for variant in variants}) == len(variants)
    assert content_hash([("a", a), ("b", a)]) == content_hash([("b", a), ("a", a)])


# Whole or absent.


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with atomic(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), OSError("no"), KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_a_failure_leaves_nothing_behind_and_what_was_there_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("of before")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "of before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full, or a quota is reached: free some space"),
        (errno.EDQUOT, "the disk is full, or a quota is reached: free some space"),
        (errno.EFBIG, "the disk is full, or a quota is reached: free some space"),
        (errno.EACCES, "the folder can't be written to: change its permissions"),
        (errno.EROFS, "the folder can't be written to: change its permissions"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_system_refuses_is_said_in_words(tmp_path: Path, number: int, reason: str) -> None:
    with pytest.raises(OSError, match="no part of it was left behind") as caught, atomic(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"{tmp_path / 'file'} can't be written: ")
    assert reason in str(caught.value)


def test_a_defect_while_writing_is_not_taken_for_one_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^out of CUDA memory$"), atomic(tmp_path / "file"):
        raise RuntimeError("out of CUDA memory")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(OSError, match="a folder on the way to it is a file: move that file away"):
        write_some_text(tmp_path / "results" / "models" / "file.txt")


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest, test_stores
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for name in test_stores.WRITERS:
    path = Path(name) / "file"
    path.parent.mkdir()
    try:
        test_stores.WRITERS[name](path)
    except OSError as error:
        print(error, flush=True)
"""


@pytest.mark.every
def test_a_full_disk_is_one_clear_error_of_every_writer(tmp_path: Path) -> None:
    """In one process, which a crash (HDF5's, when it finds that it can't write) would end."""
    done = run([sys.executable, "-c", FULL_DISK.format(tests=str(Path(__file__).parent))], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for name, line in zip(WRITERS, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{name}/file can't be written: the disk is full, or a quota is reached")
        assert list((tmp_path / name).iterdir()) == []


# Refused when it is something else.


def test_every_kind_of_array_has_a_reader() -> None:
    assert READERS.keys() == ARRAY_WRITERS.keys()


@pytest.mark.parametrize("name", READERS)
def test_what_is_absent_truncated_or_no_such_format_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    with pytest.raises(ValueError, match=f"^{path} isn't there: build it with `snakemake {path}`"):
        READERS[name](path)
    whole = written(path, name).read_bytes()
    format_name = "safetensors" if name == "model" else "HDF5"
    for content in (whole[: len(whole) // 2], whole[:5], b"", b"no such thing" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path} can't be read as {format_name}: it is truncated or something"):
            READERS[name](path)
    path.write_bytes(whole)
    READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_what_another_program_wrote_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "file", name)
    rewrite_header(path, lambda header: header.clear())
    with pytest.raises(
        ValueError, match=rf"^{path} was not written by homolog \(its attributes: none\): delete it and"
    ):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_what_another_version_wrote_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "file", name)
    rewrite_header(path, lambda header: header.update(homolog_format=str(FORMAT + 1), homolog_version="9.9"))
    with pytest.raises(ValueError, match=f"by homolog 9.9 in format {FORMAT + 1}, and this version reads .* {FORMAT}:"):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_another_artefact_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "file", name)
    rewrite_header(path, lambda header: header.update(homolog_artefact="a cake"))
    with pytest.raises(
        ValueError, match=f"^{path} holds a cake, but {name} is needed here: delete it and build it again"
    ):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_any_changed_byte_and_any_missing_end_is_noticed(tmp_path: Path, name: str) -> None:
    """Of arrays, of what the file says of itself, and of its layout."""
    path = tmp_path / "file"
    whole, draw = written(path, name).read_bytes(), np.random.default_rng(0)
    assert is_intact(path) is True
    at = whole.index(b"homolog-sha256-")
    for offset in [at, at + 20, 0, len(whole) - 1, *draw.integers(len(whole), size=60)]:
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ draw.integers(1, 256)]) + whole[offset + 1 :])
        # Where what carries the checksum is damaged, nothing else is.
        assert is_intact(path) is (None if at <= offset < at + 15 else False)
        assert is_intact(path) is None or not_intact(path)
    for size in [0, at + 46, at + 47, len(whole) - 1, *draw.integers(len(whole), size=20)]:
        path.write_bytes(whole[:size])
        assert is_intact(path) is (None if size < at + 47 else False)
    path.write_bytes(whole)
    check_intact(path)


def not_intact(path: Path) -> bool:
    with pytest.raises(
        ValueError, match=f"^{path} isn't what was written: a part of it is missing or has changed; del"
    ):
        check_intact(path)
    return True


def test_a_checksum_is_found_wherever_blocks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read block by block, and a checksum may stand across two."""
    path = tmp_path / "file"
    path.write_bytes(b"begin " + UNSEALED.encode() + b" end homolog-sha256-")
    seal(path)
    sealed = path.read_bytes()
    assert UNSEALED.encode() not in sealed
    for block in [1, 2, 3, 7, 20, 46, 47, 48, 53, 54, 60]:
        monkeypatch.setattr("homolog.store.checksums._BLOCK", block)
        assert is_intact(path) is True
        seal(path)
        assert path.read_bytes() == sealed


def test_what_killed_jobs_left_goes_when_the_file_is_written(tmp_path: Path) -> None:
    for name in (".file.0123abcd.partial", ".other.0123abcd.partial", "file.0123abcd.partial"):
        (tmp_path / name).touch()
    written(tmp_path / "file", next(iter(READERS)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.0123abcd.partial",
        "file",
        "file.0123abcd.partial",
    ]


def rewrite_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    header = {key: str(value) for key, value in header_of(path).items()}
    change(header)
    if h5py.is_hdf5(path):
        with h5py.File(path, "r+") as file:
            for key in list(file.attrs):
                del file.attrs[key]
            file.attrs.update(header)
    else:
        save_file(load_file(path), path, header or None)


def test_a_hook_point_that_a_file_does_not_have_is_told_with_those_it_has(tmp_path: Path) -> None:
    write_some_activations(tmp_path / "activations.h5")
    with pytest.raises(ValueError, match="has no hook point 'hidden_9'; it has hidden_0, hidden_1, logits: choose one"):
        read_activations(tmp_path / "activations.h5", "hidden_9")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "activations.h5"
    write_some_activations(path)
    with h5py.File(path, "r+") as file:
        file["hidden_1/activations"][:2, 1] = value
    assert torch.isfinite(read_activations(path, "hidden_0").values).all()
    with pytest.raises(ValueError, match="activations at hidden_1 hold 2 values that aren't finite: delete the file"):
        read_activations(path, "hidden_1")


def test_a_network_that_gives_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    network, rows = make_network([7, 6]).float(), make_rows(90)
    network.get_submodule("hidden_1.linear").bias.data[3] = torch.nan
    data = Data(make_inputs(90).float(), rows.label, rows.split, rows.half, CLASSES)
    batches = stream_activations(network, data.inputs, HOOK_POINTS, 40, "cpu")
    points = describe_hook_points(network, HOOK_POINTS)
    with pytest.raises(ValueError, match=r"at hidden_1 hold 40 values that aren't finite \(first in row 0\)"):
        write_activations(tmp_path / "activations.h5", points, batches, data, "float32", PROVENANCE)
    assert list(tmp_path.iterdir()) == []
