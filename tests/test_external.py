"""Do activations and dictionaries that others made go through the same experiments as ours, to the same numbers?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from making import gaussian, problems, seeded
from torch import Tensor
from torch.testing import assert_close
from workspace import ROOT, Workspace

import homolog
from homolog.__main__ import main
from homolog.analyses.stability import stability
from homolog.analyses.tracking import track
from homolog.config import parse_config
from homolog.config.analyses import OF_ACTIVATIONS, OF_CODES
from homolog.config.check_files import check_files
from homolog.decompositions.fit import fit
from homolog.decompositions.given import read_given
from homolog.dictionary import Dictionary
from homolog.figures import stability as figure
from homolog.figures import tracks as tracks_figure
from homolog.figures.report import pages, summary, table
from homolog.planning import Plan, Run
from homolog.planning.run_specs import given_files, recorded_files
from homolog.planning.runs import parent
from homolog.store.activation_samples import open_activations
from homolog.store.activations import read_activations, write_activations
from homolog.store.dictionaries import read_dictionaries, write_dictionaries
from homolog.store.external import read_external
from homolog.store.runs import open_runs

ROWS, UNITS, LATENTS, SEEDS = 400, 10, 14, 3
Change = Callable[[dict[str, Any]], object]


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def config() -> dict[str, Any]:
    """Three networks in bases of their own, and one network of which two dictionaries are given."""
    analysis = {"name": "stability", "null_draws": 4, "matchings": ["hungarian", "best", "rank"]}
    experiment = {"analysis": analysis, "figure": "stability", "hook_points": ["resid"]}
    return {
        "models": {
            "mine": {"external": {"activations": "data/run_{seed}.npz", "hook_points": ["resid"], "n_test": 300}},
            "one": {"external": {"activations": "data/run_0.npz", "hook_points": ["resid"], "n_test": 300}},
        },
        "decompositions": {
            "theirs": {"method": "given", "path": "saes/{model}_{seed}"},
            "refits": {"method": "given", "path": ["saes/mine_{seed}", "saes/again_{seed}.npz"]},
            "pca": {"method": "pca", "n_latents": 3},
        },
        "experiments": {
            "three": {
                **experiment,
                "tracks": {"null_draws": 19},
                "decompositions": ["theirs", "refits", "pca"],
                "conditions": {"theirs": {"models": ["mine"], "seeds": [0, 1, 2]}},
            },
            "alone": {
                **experiment,
                "decompositions": ["theirs"],
                "conditions": {"one network": {"models": ["one"], "seeds": [0, 1]}},
            },
        },
    }


def write_all(folder: Path) -> None:
    """Planted features, each active in one row of eight; in run r the first 2 r of them are others."""
    (folder / "data").mkdir(parents=True)
    (folder / "saes").mkdir()
    generator = seeded(5)
    features = unit(gaussian(LATENTS, UNITS, seed=0, dtype=torch.float32))
    active = torch.rand(ROWS, LATENTS, generator=generator) < 1 / 8
    x = (active * (1 + torch.rand(active.shape, generator=generator))) @ features
    for seed in range(SEEDS):
        turn = torch.linalg.qr(gaussian(UNITS, UNITS, seed=50 + seed))[0].float()
        arrays = {"resid": x @ turn, "input_id": torch.arange(ROWS) + 7, "label": active[:, 0].long()}
        np.savez(folder / "data" / f"run_{seed}.npz", **{name: array.numpy() for name, array in arrays.items()})
        own = features.clone()
        own[: 2 * seed] = unit(gaussian(2 * seed, UNITS, seed=70 + seed, dtype=torch.float32))
        write_sae(folder / "saes" / f"mine_{seed}", own @ turn)
        noisy = unit(own + 0.1 * gaussian(LATENTS, UNITS, seed=90 + seed, dtype=torch.float32)) @ turn
        arrays = {"encoder": noisy, "directions": noisy, "encoder_bias": torch.full((LATENTS,), -0.4)}
        np.savez(folder / "saes" / f"again_{seed}.npz", **{name: array.numpy() for name, array in arrays.items()})
        if seed < 2:
            write_sae(
                folder / "saes" / f"one_{seed}", own @ torch.linalg.qr(gaussian(UNITS, UNITS, seed=50))[0].float()
            )


def write_sae(folder: Path, rows: Tensor) -> None:
    unknown = torch.full((len(rows),), torch.nan)
    bias = torch.full((len(rows),), -0.4)
    homolog.write_saelens(
        folder, Dictionary(rows, rows, bias, torch.zeros(UNITS), unknown, unknown, activation="relu", signed=True)
    )


def plan(mapping: dict[str, Any]) -> Plan:
    return Plan(parse_config(mapping))


def build(folder: Path, mapping: dict[str, Any], name: str) -> xr.Dataset:
    """What the rules do, in one process: paths are relative to the working folder."""
    planned, paths = plan(mapping), []
    experiment = planned.experiment(name)
    for run in experiment.runs:
        here = folder / "results" / "models" / str(run)
        spec = planned.spec("take_activations", run=run)
        taken = read_external(json.loads(spec), str(run))
        write_activations(
            here / "activations.h5", taken.hook_points, taken.batches(), taken.data, "float32",
            {"run": str(run), "seed": run.seed, "spec": spec},
        )  # fmt: skip
        paths.append(str(here / "activations.h5"))
        for key in experiment.decompositions:
            for point in experiment.hook_points:
                where = {"run": run, "hook_point": point, "decomposition": key}
                stored = open_activations(paths[-1], point)
                if planned.config.decompositions[key].method == "given":
                    spec = planned.spec("take_dictionaries", **where)
                    fitted = read_given(json.loads(spec), stored)
                else:
                    spec = planned.spec("decompose", **where)
                    fitted = fit(json.loads(spec), stored)
                write_dictionaries(here / point / f"{key}.h5", fitted, {"run": str(run), "spec": spec})
    return stability(json.loads(planned.spec("analyse", experiment=name)), open_runs(paths))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("external")
    write_all(path)
    return path


@pytest.fixture(scope="module")
def built(folder: Path) -> dict[str, xr.Dataset]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {name: build(folder, config(), name) for name in ("three", "alone")}


# The numbers


def test_a_run_is_what_was_recorded_row_by_row(built, folder):
    given = np.load(folder / "data" / "run_1.npz")
    found = read_activations(folder / "results/models/mine/seed_1/activations.h5", "resid")
    assert np.array_equal(found.values, given["resid"])
    assert np.array_equal(found.rows.input_id, given["input_id"])
    assert np.array_equal(found.rows.label, given["label"])
    assert int((found.rows.split == 1).sum()) == 300
    assert torch.equal(found.gauge.canonical(found.values), found.values)


def test_numbers_are_those_of_compare(built, folder):
    """On the same rows, cut in the same halves."""
    runs = {f"mine/seed_{seed}": folder / "saes" / f"mine_{seed}" for seed in range(SEEDS)}
    rows = [folder / "results/models" / name / "activations.h5" for name in runs]
    compared = homolog.compare(runs, rows, matching="hungarian", null_draws=2).dataset
    three = built["three"].isel(hook_point=0).sel(decomposition="theirs", matching="hungarian")
    for view in ("score", "neuron_procrustes"):
        ours = three.observed.sel(view=view).values
        assert len(ours) == 3
        # Maps are fitted on one half here, and there on the one that scores.
        margin = 1e-5 if view == "score" else 0.05
        assert_close(ours, compared.observed_by_pair.sel(view=view).values, atol=margin, rtol=0)
    best = homolog.compare(runs, rows, matching="best", null_draws=2, views=["score"]).dataset
    expected = built["three"].isel(hook_point=0).sel(decomposition="theirs", matching="best", view="score")
    assert_close(expected.observed.values, best.observed_by_pair.sel(view="score").values, atol=1e-5, rtol=0)


def test_what_was_planted_lies_between_its_null_and_its_ceiling(built):
    cells = built["three"].isel(hook_point=0, comparison=0).sel(view="score", matching="hungarian")
    refits = cells.sel(decomposition="refits")
    assert float(refits.null) < 0.3 < float(refits.observed_mean) < float(refits.ceiling) < 1
    assert float(refits.excess) == pytest.approx(float((refits.observed_mean - refits.null) / refits.reliability))
    assert np.isnan(float(cells.sel(decomposition="theirs").ceiling)), "one dictionary of a run says nothing of refits"
    assert float(cells.sel(decomposition="pca").null) < float(cells.sel(decomposition="pca").ceiling) <= 1
    assert cells.conditional_null.notnull().all()


def test_what_needs_a_network_is_not_there_and_says_so(built):
    page = built["three"].isel(hook_point=0)
    assert list(page.view.values) == ["score", "neuron", "neuron_permuted", "neuron_procrustes"]
    assert page.initial_by_pair.isnull().all()
    assert page.gauge.isnull().all()
    assert page.loss_recovered.isnull().all()
    assert page.test_loss.isnull().all()
    assert page.accepted_run.all()
    identified = page.identified.isel(comparison=0)
    assert not bool(identified.sel(view="neuron"))
    assert bool(identified.sel(view="score"))


def test_one_network_has_one_basis(built, folder):
    page = built["alone"].isel(hook_point=0, decomposition=0)
    assert bool(page.identified.isel(comparison=0).sel(view="neuron"))
    files = [folder / "saes" / f"one_{seed}" for seed in (0, 1)]
    activations = folder / "results/models/one/seed_0/activations.h5"
    compared = homolog.compare(files, activations, matching="hungarian", null_draws=2).dataset
    ours = page.observed.sel(matching="hungarian").isel(pair=0)
    for view in ("score", "neuron"):
        expected = float(compared.observed_by_pair.sel(view=view)[0])
        assert float(ours.sel(view=view)) == pytest.approx(expected, abs=1e-5)


def test_the_figure_and_its_text_speak_of_what_is_there(built):
    for dataset in built.values():
        (page,) = pages(dataset)
        figure.draw(page)
        said = summary(dataset, figure.headline(page.expand_dims("hook_point")))
        assert "nan" not in said.lower()
        assert "runs count: they were recorded elsewhere, so that there is no loss to match" in said
        assert "held-out loss" not in said
        assert len(table(dataset)) > 3


def test_every_view_that_takes_activations_alone_is_computed_where_it_is_asked_for(built, folder, monkeypatch):
    monkeypatch.chdir(folder)
    mapping = config()
    mapping["experiments"]["three"]["analysis"]["views"] = list(OF_ACTIVATIONS)
    mapping["experiments"]["three"]["decompositions"] = ["theirs"]
    page = build(folder, mapping, "three").isel(hook_point=0, comparison=0, decomposition=0).sel(matching="hungarian")
    assert list(page.view.values) == list(OF_ACTIVATIONS)
    assert set(OF_ACTIVATIONS) >= {"score", "score_spearman", "score_jaccard"}
    assert page.observed_mean.notnull().all()
    assert page.identified.sel(view=list(OF_CODES)).all()
    # Of one feature both are on, and in like order of strength.
    assert (page.observed_mean > page.null + 0.3).sel(view=list(OF_CODES)).all()


def test_given_dictionaries_are_measured_on_the_test_rows(built, folder):
    (found,) = read_dictionaries(folder / "results/models/mine/seed_1/resid/theirs.h5")
    stored = read_activations(folder / "results/models/mine/seed_1/activations.h5", "resid")
    x = stored.values[stored.rows.split == 1]
    codes = found.codes(x)
    assert_close(found.firing_rate, (codes != 0).float().mean(0))
    assert found.member["l0"] == pytest.approx(float((codes != 0).sum(1).double().mean()))
    fvu = (x - found.reconstruct(codes)).square().sum() / (x - x.mean(0)).square().sum()
    assert found.member["fvu"] == pytest.approx(float(fvu), rel=1e-4)
    both = read_dictionaries(folder / "results/models/mine/seed_1/resid/refits.h5")
    assert [(one.member["rows"], one.member["seed"]) for one in both] == [("all", 0), ("all", 1)]


# Tracks


def test_tracks_of_recorded_runs_are_the_planted_features_that_all_share(folder, built, monkeypatch):
    """All but the first four, which are others in the last run, and two of them in the second.

    There are more latents than units, so that one that was drawn anew may lie near a planted one and take its place.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setattr("homolog.analyses.consensus.LEVEL_DRAWS", 5)
    planned = plan(config())
    spec = json.loads(planned.spec("track", experiment="three"))
    assert spec["changes"] == spec["wider"] == []
    assert [one["initial"] for _, runs in spec["groups"] for one in runs] == ["", "", ""]
    paths = [f"results/models/{run}/activations.h5" for run in planned.experiment("three").tracked]
    found = track(spec, open_runs(paths))
    page = found.sel(hook_point="resid", decomposition="theirs")
    mine = found.isel(track=found.decomposition_of_track.values == "theirs")
    shared = {(latent,) * SEEDS for latent in range(4, LATENTS)}
    right = np.array([tuple(row) in shared for row in mine.latent.values.tolist()])
    assert right.sum() >= 0.9 * len(shared)
    assert right.mean() >= 0.8
    assert (mine.adjusted_p_value[right] <= 0.05).all()
    assert page.survival.values[1:] == pytest.approx(np.full(SEEDS, len(shared) / LATENTS), abs=0.1)
    assert page.null_survival.values[-1] < 0.1
    assert page.conditional_null_survival.notnull().all()
    assert page.initial_coverage.isnull().all()
    assert "There is no untrained reference" in tracks_figure.headline(found, "resid")
    assert not planned.experiment("alone").has_tracks


# Files that change


def test_files_are_inputs_of_the_jobs_that_read_them(folder, monkeypatch):
    monkeypatch.chdir(folder)
    planned, run = plan(config()), Run("mine", 2)
    assert recorded_files(planned.config, run) == ["data/run_2.npz"]
    assert given_files(planned.config, run, "resid", "theirs") == [
        "saes/mine_2/cfg.json", "saes/mine_2/sae_weights.safetensors",
    ]  # fmt: skip
    assert given_files(planned.config, run, "resid", "refits")[-1] == "saes/again_2.npz"
    assert parent(planned.config, run) is None
    assert [str(one) for one in planned.experiment("three").runs] == [f"mine/seed_{seed}" for seed in range(3)]
    by_run = config()
    del by_run["experiments"]["alone"]
    by_run["decompositions"]["theirs"] = {"method": "given", "by_run": {f"mine/seed_{s}": "saes/x" for s in range(3)}}
    found = plan(by_run).spec("take_dictionaries", run=run, hook_point="resid", decomposition="theirs")
    assert '"paths":["saes/x"]' in found


@pytest.mark.slow
def test_an_experiment_is_built_like_any_other_and_an_edited_file_makes_what_depends_on_it_stale(tmp_path):
    workspace = Workspace.fresh(tmp_path)
    write_all(workspace.folder)
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(config()))
    workspace.build("--cores", "2", "three")
    for end in (".pdf", ".txt", ".csv", "/training.pdf", "/runs.csv", "/waterfall.pdf", "/tracks.pdf"):
        assert (workspace.results / "figures" / f"three{end}").stat().st_size > 100
    with h5py.File(workspace.results / "models/mine/seed_0/resid/theirs.h5") as file:
        inputs = json.loads(file.attrs["inputs"])
    assert all(inputs.values())
    assert set(inputs) >= {"saes/mine_0/cfg.json", "results/models/mine/seed_0/activations.h5"}
    assert workspace.planned("three") == set()
    # Another dictionary of one run, and then other activations of it.
    write_sae(workspace.folder / "saes" / "mine_1", unit(gaussian(LATENTS, UNITS, seed=3, dtype=torch.float32)))
    stages = ("analyse", "track", "plot", "plot_waterfall", "plot_training", "plot_tracks")
    after = {f"{stage} three" for stage in stages}
    taken = {f"take_dictionaries mine/seed_1/resid/{name}" for name in ("theirs", "refits")}
    assert workspace.planned("three") == taken | after
    (workspace.folder / "data" / "run_1.npz").touch()
    assert workspace.planned("three") == taken | after
    with np.load(workspace.folder / "data" / "run_1.npz") as file:
        arrays = dict(file)
    arrays["resid"] = arrays["resid"] * 2
    np.savez(workspace.folder / "data" / "run_1.npz", **arrays)
    jobs = taken | {"take_activations mine/seed_1", "decompose mine/seed_1/resid/pca"} | after
    assert workspace.planned("three") == jobs
    (workspace.folder / "saes" / "again_0.npz").unlink()
    done = workspace.snakemake("--dry-run", "three")
    assert done.returncode != 0
    assert "homolog: error: config.yaml: decompositions.refits: saes/again_0.npz isn't there" in done.stdout
    assert "Traceback" not in done.stdout


# What can't be, a line each


def save(path: str, **arrays: np.ndarray) -> None:
    np.savez(path, **arrays)


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    with np.load(f"data/run_{seed}.npz") as file:
        return dict(file)


FILES: dict[str, tuple[Callable[[], object], str]] = {
    "absent": (
        lambda: Path("data/run_1.npz").unlink(),
        "models.mine.external.activations: seed 1: data/run_1.npz isn't there: give the path of a file",
    ),
    "another name": (
        lambda: save("data/run_1.npz", mlp=arrays_of(1)["resid"], other=arrays_of(1)["resid"]),
        "models.mine.external.activations: seed 1: data/run_1.npz has no array 'resid'; it has mlp, other: take",
    ),
    "no numbers": (
        lambda: save("data/run_1.npz", resid=np.full((ROWS, UNITS), "x")),
        "seed 1: data/run_1.npz: resid holds <U1, and activations are real numbers",
    ),
    "three axes": (
        lambda: save("data/run_1.npz", resid=np.zeros((ROWS, 2, 5))),
        "seed 1: data/run_1.npz: resid has shape (400, 2, 5), and activations are (samples, units): reshape it",
    ),
    "truncated": (
        lambda: Path("data/run_1.npz").write_bytes(Path("data/run_1.npz").read_bytes()[:500]),
        "seed 1: data/run_1.npz can't be read as .npz: it is truncated",
    ),
    "fewer rows": (
        lambda: save("data/run_1.npz", resid=arrays_of(1)["resid"][:390]),
        "experiments.three.conditions: runs of different numbers of rows (mine/seed_0: 400, mine/seed_1: 390, ",
    ),
    "other inputs": (
        lambda: save("data/run_1.npz", **arrays_of(1) | {"input_id": np.arange(ROWS)[::-1]}),
        "experiments.three.conditions: 399 of 400 rows of mine/seed_1 have another input_id than those of mine/seed_0",
    ),
    "ids of another shape": (
        lambda: save("data/run_1.npz", **arrays_of(1) | {"input_id": np.arange(3)}),
        "seed 1: data/run_1.npz: input_id has shape (3,) and type int64; allowed: one whole number for each",
    ),
    "few rows": (
        lambda: [save(f"data/run_{s}.npz", resid=arrays_of(s)["resid"][:330]) for s in range(3)],
        "models.mine.external.n_test: 300, of 330 rows of seed 0, which leaves 30 for the spectrum of 10 units at "
        "resid; allowed: to leave at least 4 rows per unit (40); give more rows, or analysis.views: [score]",
    ),
    "too few to split": (
        lambda: [save(f"data/run_{s}.npz", resid=arrays_of(s)["resid"][:303]) for s in range(3)],
        "models.mine.external.n_test: 300, of 303 rows of seed 0; allowed: 4 to 299; ",
    ),
    "absent dictionary": (
        lambda: Path("saes/again_2.npz").unlink(),
        "decompositions.refits: saes/again_2.npz isn't there; allowed: a folder of sae-lens and the like",
    ),
}


@pytest.fixture
def copied_files(tmp_path, folder, monkeypatch):
    for path in (*folder.glob("data/*"), *folder.glob("saes/*"), *folder.glob("saes/*/*")):
        if path.is_file():
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_with_a_file_is_told_before_the_first_job(case, copied_files, capsys):
    change, text = FILES[case]
    assert check_files(parse_config(config())) == []
    change()
    told = check_files(parse_config(config()))
    assert told
    assert all("\n" not in line for line in told)
    assert told[0].startswith("config.yaml: ")
    assert text in told[0]
    Path("config.yaml").write_text(yaml.safe_dump(config()))
    assert main(["check"]) == 1
    assert text in capsys.readouterr().err


def test_few_rows_will_do_for_codes_whose_null_permutes_inputs(copied_files):
    FILES["few rows"][0]()
    mapping = config()
    for experiment in mapping["experiments"].values():
        experiment["analysis"]["views"] = list(OF_CODES)
    assert check_files(parse_config(mapping)) == []


def wrong(change: Change) -> list[str]:
    mapping = config()
    change(mapping)
    return problems(mapping)


TRAINED = {
    "task": {"name": "digits"}, "architecture": {"name": "mlp", "widths": [8]}, "training": {"steps": 1},
    "activations": {"hook_points": ["hidden_0"]},
}  # fmt: skip
CONFIGS: dict[str, tuple[Change, str]] = {
    "a key too many": (
        lambda c: c["models"]["mine"].update(training={"steps": 3}),
        "models.mine.training: unknown key; allowed here: external; ",
    ),
    "no activations": (lambda c: c["models"]["mine"]["external"].pop("activations"), "external.activations: missing; "),
    "hook point with a slash": (
        lambda c: c["models"]["mine"]["external"].update(hook_points=["a/b", "resid"]),
        "models.mine.external.hook_points: 'a/b'; allowed: letters, digits, underscores and dots",
    ),
    "unknown hook point": (
        lambda c: c["experiments"]["three"].update(hook_points=["residd"]),
        "experiments.three.hook_points: 'residd' isn't a hook point of mine; it has: resid; did you mean resid?",
    ),
    "a seed without a path": (
        lambda c: c["models"]["mine"]["external"].update(activations=["data/run_0.npz", "data/run_1.npz"]),
        "experiments.three.conditions.theirs.seeds: 2, of mine, which has 2 paths; allowed: 0 to 1; add a path",
    ),
    "one run": (
        lambda c: c["experiments"]["three"]["conditions"]["theirs"].update(seeds=[0]),
        "experiments.three.conditions.theirs: one run, so nothing to compare it with",
    ),
    "views of a network": (
        lambda c: c["experiments"]["three"]["analysis"].update(views=["score", "write_out"]),
        "experiments.three.analysis.views: write_out, of external models; allowed: score, score_spearman, ",
    ),
    "both path and by_run": (
        lambda c: c["decompositions"]["theirs"].update(by_run={"mine/seed_0": "x"}),
        "decompositions.theirs.path: given, beside by_run; allowed: exactly one of them",
    ),
    "neither": (
        lambda c: c["decompositions"]["theirs"].pop("path"),
        "decompositions.theirs.path: missing, and so is by_run; ",
    ),
    "a run without a path": (
        lambda c: c["decompositions"].update(theirs={"method": "given", "by_run": {"mine/seed_0": "x"}}),
        "experiments.three.decompositions: theirs has no path for mine/seed_1, mine/seed_2; it has: mine/seed_0; ",
    ),
    "beside trained ones": (
        lambda c: [
            c["models"].update(ours=TRAINED),
            c["experiments"]["three"]["conditions"].update(ours={"models": ["ours"], "seeds": [0, 1]}),
            c["models"]["mine"]["external"].update(hook_points=["resid", "hidden_0"]),
            c["experiments"]["three"].update(hook_points=["hidden_0"]),
        ],
        "experiments.three.conditions: external models (mine) beside models with a task (ours); ",
    ),
    "given of trained ones": (
        lambda c: [
            c["models"].update(ours=TRAINED),
            c["experiments"]["three"]["conditions"].update(theirs={"models": ["ours"], "seeds": [0, 1]}),
            c["experiments"]["three"].update(hook_points=["hidden_0"]),
        ],
        "experiments.three.decompositions: theirs, refits, of models that are trained here (ours); ",
    ),
    "retrained from it": (
        lambda c: c["models"].update(again={"parent": {"model": "mine", "seed": 0}, "reinitialise": ["resid"]}),
        "models.again.parent.model: mine is external, so there are no weights; ",
    ),
    "a partner that isn't there": (
        lambda c: [
            c["decompositions"].update(cca={"method": "cca", "n_latents": 2, "partner": "mlp"}),
            c["experiments"]["three"]["decompositions"].append("cca"),
        ],
        "experiments.three.decompositions: cca: partner 'mlp' isn't a hook point of mine; ",
    ),
    "a crosscoder": (
        lambda c: [
            c["decompositions"].update(cross={"method": "crosscoder", "n_latents": 8, "k": 2}),
            c["experiments"]["three"]["decompositions"].append("cross"),
        ],
        "experiments.three.decompositions: cross, whose loss recovered takes networks, of external models; ",
    ),
    "other test rows": (
        lambda c: [
            c["models"]["one"]["external"].update(n_test=200),
            c["experiments"]["three"]["conditions"].update(more={"models": ["one"], "seeds": [0, 1]}),
        ],
        "experiments.three.conditions: external models with different n_test (mine: 300, one: 200); ",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_what_contradicts_itself_in_a_config_is_told(case):
    change, text = CONFIGS[case]
    told = wrong(change)
    assert any(text in line for line in told), told
    assert all("\n" not in line for line in told)


def test_a_given_dictionary_is_not_fitted_from_python():
    with pytest.raises(ValueError, match=r"method: given, which is read from disk and not fitted; .*homolog.compare"):
        homolog.fit(torch.randn(20, 4), {"method": "given", "path": "x"})


def refused(directions: np.ndarray, bias: float = -0.4, scale: float = 1) -> str:
    np.savez("odd.npz", encoder=scale * directions, directions=directions, encoder_bias=np.full(len(directions), bias))
    stored = open_activations("results/models/mine/seed_0/activations.h5", "resid")
    with pytest.raises(ValueError, match=r".") as caught:
        read_given({"name": "theirs", "paths": ["odd.npz"]}, stored)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_dictionaries_that_dont_fit_their_activations_are_refused(built, folder, monkeypatch, no_shape_checks):
    monkeypatch.chdir(folder)
    one = np.eye(UNITS, dtype=np.float32)
    assert "theirs of mine/seed_0: odd.npz has directions of 9 units, and the activations 10" in refused(one[:, :9])
    assert "none of its 10 latents fires on the 300 test rows" in refused(one, bias=-99)
    assert "has directions of shape (0, 10), and needs (latent, unit)" in refused(one[:0])
    hole = np.where(np.arange(100).reshape(10, 10) == 3, np.nan, one)
    assert "directions holds 1 values that aren't finite" in refused(hole)
    assert "gives codes that aren't finite" in refused(one, bias=0, scale=3e38)


def test_activations_that_are_unfit_are_refused(copied_files, caplog, no_shape_checks):
    def taken(**arrays: np.ndarray) -> Any:
        np.savez("data/run_0.npz", **arrays)
        return read_external(json.loads(plan(config()).spec("take_activations", run=Run("mine", 0))), "mine/seed_0")

    x = np.zeros((ROWS, UNITS), np.float32)
    with pytest.raises(ValueError, match=r"run_0.npz: resid holds 1 values that aren't finite"):
        taken(resid=np.where(np.arange(ROWS * UNITS).reshape(ROWS, UNITS) == 7, np.nan, x))
    assert taken(whatever=x).samples["resid"].units == UNITS, "the only array needs no name"
    assert "mine/seed_0: its files hold no input_id, so its rows are taken for the same inputs" in caplog.text
    sources = [{"hook_point": name, "path": f"data/{name}.npz", "alone": False} for name in ("a", "b")]
    for name in ("a", "b"):
        np.savez(f"data/{name}.npz", **{name: x, "input_id": np.arange(ROWS) + (name == "b")})
    with pytest.raises(ValueError, match=r"mine/seed_0: b and a differ in input_id: sort the rows of both"):
        read_external({"sources": sources, "n_test": None}, "mine/seed_0")
    np.savez("data/b.npz", b=x[:90])
    with pytest.raises(ValueError, match=r"mine/seed_0: b has 90 rows, and a 400: record every hook point"):
        read_external({"sources": sources, "n_test": None}, "mine/seed_0")


def test_without_classes_there_is_no_conditional_null(copied_files):
    np.savez("data/run_0.npz", resid=arrays_of(0)["resid"])
    mapping = config()
    mapping["experiments"]["alone"]["analysis"] |= {"views": ["score"], "null_draws": 1, "matchings": ["hungarian"]}
    found = build(copied_files, mapping, "alone")
    assert found.conditional_null.isnull().all()
    assert found.null.notnull().all()


def test_hdf5_files_are_read_as_npz_are_and_groups_go_by_dots(copied_files):
    with h5py.File("data/run_0.h5", "w") as file:
        for name, array in arrays_of(0).items():
            file["blocks/3/resid" if name == "resid" else name] = array
    source = {"hook_point": "blocks.3.resid", "path": "data/run_0.h5", "alone": False}
    found = read_external({"sources": [source], "n_test": 300}, "mine/seed_0")
    same = read_external(json.loads(plan(config()).spec("take_activations", run=Run("mine", 0))), "mine/seed_0")
    assert torch.equal(found.samples["blocks.3.resid"].whole(), same.samples["resid"].whole())
    assert torch.equal(found.data.input_id, same.data.input_id)
    assert torch.equal(found.data.labels, same.data.labels)


def test_the_example_of_the_page_is_a_right_config():
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    planned = plan(yaml.safe_load(text))
    run = Run("mine", 1)
    assert recorded_files(planned.config, run) == ["data/run_1.npz"]
    where = {"run": run, "hook_point": "resid"}
    assert '"paths":["saes/mine_1/resid"]' in planned.spec("take_dictionaries", **where, decomposition="theirs")
    assert '"task":null' in planned.spec("decompose", **where, decomposition="pca")
