"""Does the same give the same bits, and does every file say what it holds and what made it?"""

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from safetensors import safe_open
from workspace import Workspace

ROLES = ("null", "conditional_null", "ceiling", "initial", "reliability", "excess", "observed_low", "observed_high")
LEGAL = ("score", "write_out", "read_in", "effect", "neuron_permuted", "neuron_procrustes")
VIEWS = (*LEGAL, "neuron")
BY_INPUT = ("score", "effect")
MATCHINGS = ("rank", "hungarian", "best")
ORDERED = ("svd", "pca", "cca")
RETRAINED = "results/models/digits_mlp_retrained/seed_0"
PROVENANCE = ("spec", "code", "inputs", "homolog_version", "torch", "numpy", "python", "device", "git_commit")


def array_files(workspace: Workspace) -> list[Path]:
    """Every .nc, .h5 and .safetensors of the results, relative to them."""
    found = [path for path in workspace.results.rglob("*") if path.suffix in {".nc", ".h5", ".safetensors"}]
    return sorted(path.relative_to(workspace.results) for path in found)


def arrays(path: Path) -> Iterator[tuple[str, Any]]:
    """Names and bits of all arrays of a file, its groups included."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            names = file.keys()
            yield from ((name, bits(file.get_tensor(name))) for name in names)
    else:
        found: list[tuple[str, Any]] = []
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.append((name, bits(item[...]))) if isinstance(item, h5py.Dataset) else None
            )
        yield from found


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], Any]:
    """Type, shape and content: NaN is equal to NaN, and 0.0 is not equal to -0.0."""
    return str(array.dtype), array.shape, array.tolist() if array.dtype.kind == "O" else array.tobytes()


def attributes(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return dict(file.metadata())
    with h5py.File(path) as file:
        # netCDF keeps a single number as an array of one.
        return {name: value.item() if isinstance(value, np.ndarray) else value for name, value in file.attrs.items()}


# Same inputs, same bits.


def test_a_cold_build_by_another_number_of_cores_gives_the_same_bits(
    built: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The session's build ran two jobs at a time. Here one run anew, from nothing, and then what compares all of them.
    run = Workspace.fresh(tmp_path_factory.mktemp("run"), built.sources)
    run.build("--cores", "1", *(f"{RETRAINED}/hidden_1/{name}.h5" for name in ("cca", "topk")))
    require_equal_arrays(built, run, {"model.safetensors", "training.nc", "activations.h5", "topk.h5"})
    compared = built.copy(tmp_path_factory.mktemp("compared"))
    shutil.rmtree(compared.results / "experiments" / "stability")
    shutil.rmtree(compared.results / "figures")
    compared.build("--cores", "1", "results/figures/stability.pdf", "results/experiments/stability/tracks.nc")
    require_equal_arrays(built, compared, {"stability.nc", "tracks.nc"})
    for suffix in ("pdf", "txt", "csv"):
        first, second = (w.results / "figures" / f"stability.{suffix}" for w in (built, compared))
        assert first.read_bytes() == second.read_bytes()


def require_equal_arrays(built: Workspace, again: Workspace, names: set[str]) -> None:
    """All array files of `again` are those of `built`, bit for bit, and such names are among them."""
    files = array_files(again)
    assert names <= {path.name for path in files}
    for path in files:
        first, second = (dict(arrays(workspace.results / path)) for workspace in (built, again))
        assert first
        assert first.keys() == second.keys(), path
        assert [name for name in first if first[name] != second[name]] == [], path


def test_runs_of_other_seeds_differ(built: Workspace) -> None:
    # Else equal bits would say nothing.
    files = [built.results / "models" / "digits_mlp_retrained" / f"seed_{seed}" / "activations.h5" for seed in (0, 1)]
    first, second = (dict(arrays(path)) for path in files)
    assert first["hidden_1/activations"] != second["hidden_1/activations"]
    assert first["hidden_0/activations"] == second["hidden_0/activations"]
    assert first["split"] == second["split"]


def test_what_was_not_retrained_has_its_parents_bits(built: Workspace) -> None:
    parent, child = (
        dict(arrays(built.results / "models" / name / "seed_0" / "model.safetensors"))
        for name in ("digits_mlp", "digits_mlp_retrained")
    )
    changed = {name for name in parent if parent[name] != child[name]}
    assert changed == {"hidden_1.linear.weight", "hidden_1.linear.bias", "hidden_2.linear.weight"}


# Every file says what made it.


def test_every_file_says_what_made_it(built: Workspace) -> None:
    for path in array_files(built):
        known = attributes(built.results / path)
        assert all(str(known[name]) for name in (*PROVENANCE, "homolog_artefact", "homolog_format", "content")), path
        assert json.loads(known["spec"])["threads"] == 1
        assert len(str(known["code"]).split()[0]) == 16
        assert known["device"] == "cpu"
        if path.parts[0] == "models":
            assert known["run"] == "/".join(path.parts[1:3])
            assert f"seed_{int(known['seed'])}" == path.parts[2]


def test_every_file_names_its_inputs_by_their_content(built: Workspace) -> None:
    followed = 0
    for path in array_files(built):
        for name, content in json.loads(attributes(built.results / path)["inputs"]).items():
            assert attributes(built.folder / name)["content"] == content, (path, name)
            followed += 1
    assert followed > len(array_files(built))


def test_the_code_that_a_file_names_is_the_code_of_its_stage_and_method(built: Workspace) -> None:
    codes: dict[str, set[str]] = {}
    for path in array_files(built):
        known = attributes(built.results / path)
        # An analysis draws the start of trained methods anew, so that their code is part of its own.
        starts = '"start":' in str(known["spec"])
        codes.setdefault(path.name + ", with starts" * starts, set()).add(str(known["code"]))
    assert all(len(values) == 1 for values in codes.values()), codes
    assert codes["model.safetensors"] == codes["training.nc"]
    ours = [f"{name}.h5" for name in ("svd", "pca", "cca", "topk", "activations")]
    ours += ["stability.nc", "stability.nc, with starts", "tracks.nc", "training.nc"]
    assert len(set().union(*(codes[name] for name in ours))) == len(ours)


def test_the_pdf_says_what_made_it(built: Workspace) -> None:
    content = (built.results / "figures" / "stability.pdf").read_bytes()
    assert b"homolog " in content
    assert b"commit" in content
    assert b"/CreationDate" not in content


def test_every_array_has_named_dims_in_xarray(built: Workspace) -> None:
    for path in array_files(built):
        if path.suffix == ".safetensors":
            continue
        with h5py.File(built.results / path) as file:
            groups = ["/", *(name for name, item in file.items() if isinstance(item, h5py.Group))]
        assert (len(groups) > 1) == (path.name == "activations.h5")
        for group in groups:
            with xr.open_dataset(built.results / path, engine="h5netcdf", group=group) as dataset:
                assert dataset.variables
                assert not [dim for dim in dataset.sizes if str(dim).startswith("phony_dim")], path


def test_files_hold_what_the_design_names(built: Workspace) -> None:
    run = built.results / "models" / "digits_mlp" / "seed_0"
    with xr.open_dataset(run / "training.nc") as curve:
        assert curve.loss.dims == curve.accuracy.dims == ("step", "split")
        assert list(curve.split.values) == ["train", "test"]
    with xr.open_dataset(run / "activations.h5", engine="h5netcdf") as rows:
        assert {name: rows[name].dims for name in rows} == dict.fromkeys(
            ("split", "half", "input_id", "label"), ("sample",)
        )
    with xr.open_dataset(run / "activations.h5", engine="h5netcdf", group="hidden_1") as hidden:
        assert hidden.activations.dims == ("sample", "unit")
        assert (hidden.sizes["sample"], hidden.sizes["unit"]) == (1797, 32)
        assert hidden.activations.dtype == np.float32
    with xr.open_dataset(run / "hidden_1" / "topk.h5", engine="h5netcdf") as topk:
        assert topk.dictionary.dims == topk.encoder.dims == ("latent", "unit")
        assert topk.sizes == {"latent": 2 * 3 * 16, "unit": 32, "member": 2 * 3, "point": 40}
        for name in ("firing_rate", "member_of_latent", "encoder_bias"):
            assert topk[name].dims == ("latent",)
        for name in ("seed", "rows", "n_latents", "k", "fvu", "l0", "dead_fraction"):
            assert topk[name].dims == ("member",)
        members = list(zip(topk.seed.values.tolist(), topk.rows.values.tolist(), strict=True))
        assert members == list(product([0, 1], ["all", "a", "b"]))
        assert (topk.l0 <= topk.k).all()


# The numbers of an experiment.


@pytest.fixture(scope="module")
def numbers(built: Workspace) -> xr.Dataset:
    return xr.load_dataset(built.results / "experiments" / "stability" / "stability.nc").isel(hook_point=0)


def load(built: Workspace, experiment: str) -> xr.Dataset:
    return xr.load_dataset(built.results / "experiments" / experiment / "stability.nc").isel(hook_point=0)


def test_observed_is_by_decomposition_view_matching_and_pair(numbers: xr.Dataset) -> None:
    assert {"decomposition", "view", "matching", "pair"} <= set(numbers.observed.dims)
    assert list(numbers.decomposition.values) == ["svd", "pca", "cca", "topk"]
    assert set(VIEWS) <= set(numbers.view.values)
    assert set(MATCHINGS) <= set(numbers.matching.values)
    for name in ("run_a", "run_b", "kind", "accepted"):
        assert numbers.observed.coords[name].dims == ("pair",)
    assert numbers.accepted.dtype == bool
    pairs = list(zip(numbers.run_a.values, numbers.run_b.values, numbers.kind.values, strict=True))
    base, *retrained = "digits_mlp/seed_0", "digits_mlp_retrained/seed_0", "digits_mlp_retrained/seed_1"
    assert pairs == [
        *((base, run, "base-retrained") for run in retrained),
        (*retrained, "retrained-retrained"),
    ]


def test_every_number_stands_beside_its_scale(numbers: xr.Dataset) -> None:
    for name in ROLES:
        assert {"decomposition", "view", "matching"} <= set(numbers[name].dims), name
        assert "pair" not in numbers[name].dims, name
    assert bool(np.isclose(numbers.reliability, numbers.ceiling - numbers.null, equal_nan=True).all())


def test_what_is_not_defined_is_nan_and_all_else_is_not(numbers: xr.Dataset) -> None:
    assert bool(numbers.accepted.all()), "a run of the tiny configuration was rejected: raise its tolerance"
    ordered = numbers.decomposition.isin(ORDERED)
    defined = (numbers.matching != "rank") | ordered
    for name in ("observed", "null", "ceiling", "initial", "reliability", "gauge"):
        dims = [dim for dim in numbers[name].dims if dim not in {"decomposition", "matching"}]
        finite = numbers[name].notnull()
        assert bool((finite.all(dims) == defined).all()), name
        assert bool((finite.any(dims) == defined).all()), name
    # What the classes alone explain is a matter of inputs: no view of directions has it.
    conditional = numbers.conditional_null.notnull().all("comparison")
    assert bool((conditional == (defined & numbers.view.isin(BY_INPUT))).all())


def test_similarities_are_cosines_and_bounds_hold(numbers: xr.Dataset) -> None:
    for name in ("observed", "null", "conditional_null", "ceiling", "initial", "gauge"):
        assert bool((abs(numbers[name]) <= 1 + 1e-9).where(numbers[name].notnull(), True).all()), name
    known = numbers.observed_low.notnull()
    assert bool((numbers.observed_low <= numbers.observed_mean).where(known, True).all())
    assert bool((numbers.observed_mean <= numbers.observed_high).where(known, True).all())


def test_the_best_match_is_at_least_the_assigned_one_where_it_is_chosen_and_scored(numbers: xr.Dataset) -> None:
    # write_out has one set of signatures to select and to score on, so the maximum can't be below an assignment.
    chosen = numbers.observed.sel(view="write_out")
    assert bool((chosen.sel(matching="best") >= chosen.sel(matching="hungarian") - 1e-9).all())
    assert bool(
        (chosen.sel(matching="hungarian") >= chosen.sel(matching="rank") - 1e-9).sel(decomposition=list(ORDERED)).all()
    )


def test_a_run_in_a_random_gauge_equals_itself_but_unit_by_unit(built: Workspace) -> None:
    for experiment in ("stability", "widening", "reinit_depth", "bases"):
        gauge = load(built, experiment).gauge
        legal = gauge.sel(view=list(LEGAL))
        assert float(abs(legal - 1).max()) < 1e-6, experiment
        assert float(gauge.sel(view="neuron").max()) < 0.9, experiment


def test_the_gauge_control_really_is_another_description(built: Workspace) -> None:
    run, control = (
        dict(arrays(built.results / "models" / name / "seed_0" / "model.safetensors"))
        for name in ("digits_mlp", "digits_mlp-regauged-hidden_1")
    )
    assert {name for name in run if run[name] != control[name]} == {
        "hidden_1.linear.weight",
        "hidden_1.linear.bias",
        "hidden_2.linear.weight",
    }
    logits = []
    for name in ("digits_mlp", "digits_mlp-regauged-hidden_1"):
        path = built.results / "models" / name / "seed_0" / "activations.h5"
        with xr.open_dataset(path, engine="h5netcdf", group="logits") as group:
            logits.append(group.activations.values)
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-4)


def test_views_that_the_symmetries_forbid_are_flagged(built: Workspace) -> None:
    identified = load(built, "stability").identified
    assert bool(identified.sel(view=list(LEGAL)).all())
    assert not identified.sel(view="neuron").any()
    # Nothing holds the basis below or above where networks share no weights, or all layers are drawn anew.
    for experiment in ("bases", "reinit_depth"):
        free = load(built, experiment).identified.isel(comparison=-1)
        assert {view for view in VIEWS if bool(free.sel(view=view))} == {
            "score",
            "effect",
            "neuron_permuted",
            "neuron_procrustes",
        }
    # Of other widths, units can't be put into each other's order, nor compared one by one.
    wide = load(built, "widening").sel(comparison="width 64/base-retrained")
    of_any_width = {"score", "write_out", "read_in", "effect"}
    assert {view for view in VIEWS if bool(wide.identified.sel(view=view))} == of_any_width
    assert {view for view in VIEWS if wide.null.sel(view=view).notnull().any()} == of_any_width
    text = (built.results / "figures" / "stability.txt").read_text()
    lines = [line.split() for line in text.splitlines() if "hungarian" in line]
    assert {(line[1], line[3]) for line in lines} == {(view, "NO" if view == "neuron" else "yes") for view in VIEWS}


def test_rejected_runs_are_named_and_count_for_nothing(built: Workspace) -> None:
    # The strict tolerance of this experiment rejects short retrainings.
    data = load(built, "reinit_depth")
    verdicts = dict(zip(data.run.values, data.accepted_run.values, strict=True))
    assert not all(verdicts.values())
    for a, b, accepted in zip(data.run_a.values, data.run_b.values, data.accepted.values, strict=True):
        assert accepted == (verdicts.get(a, True) and verdicts.get(b, True))
    text = (built.results / "figures" / "reinit_depth.txt").read_text()
    for name, verdict in verdicts.items():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
        assert line.endswith("accepted" if verdict else "REJECTED")
    counted = [
        int(((data.condition + "/" + data.kind == comparison) & data.accepted).sum())
        for comparison in data.comparison.values
    ]
    assert data.n_accepted_pairs.values.tolist() == counted


def test_the_table_holds_the_numbers_of_the_file(built: Workspace, numbers: xr.Dataset) -> None:
    table = pd.read_csv(built.results / "figures" / "stability.csv")
    for row in table.sample(20, random_state=0).itertuples():
        cell = numbers.sel(
            comparison=row.comparison, decomposition=row.decomposition, view=row.view, matching=row.matching
        )
        for name in ("null", "ceiling", "initial", "reliability"):
            assert getattr(row, name) == pytest.approx(float(cell[name]), nan_ok=True)
        assert row.identified == bool(cell.identified)
