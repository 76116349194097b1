"""Does a crosscoder tell what runs share from what one run has alone, beside its floor and its ceiling?"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from making import complete, gaussian, make_rows, seeded
from workspace import Workspace

import homolog
from homolog.alignment.gauge import Gauge, no_gauge
from homolog.config import parse_config
from homolog.decompositions.joint import (
    COPIES,
    RUNS,
    SHUFFLED,
    WITHIN_CLASS,
    Joint,
    JointDictionary,
    _samples,
    fit_jointly,
)
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.figures.crosscoder import draw, headline
from homolog.planning import Plan
from homolog.registry import METHODS
from homolog.store.activations import Activations
from homolog.store.joint import read_joint, write_joint

SHARED, OWN, SAMPLES, UNITS = 10, 4, 3000, (16, 20)
QUICK = {"n_latents": 12, "k": 2, "steps": 60, "batch_size": 64, "lr": 1e-2}
PROVENANCE = {"code": "none", "homolog_version": "0", "git_commit": "none"}


def runs_of(values, labels=None, digest="same", gauges=None):
    rows = make_rows(len(values[0]))
    rows = rows if labels is None else replace(rows, label=labels)
    gauges = gauges or [no_gauge(x.shape[1]) for x in values]
    return [
        Activations(f"made/seed_{i}", "hidden_1", x, rows, gauge, None, {"data": digest})
        for i, (x, gauge) in enumerate(zip(values, gauges, strict=True))
    ]


def spec_of(seeds=(0,), **options):
    method = METHODS["crosscoder"]
    grid = [complete("crosscoder", **QUICK | options)]
    return {
        "name": "cross",
        "method": method,
        "gauge": "write_out_norm",
        "grid": grid,
        "labels": ["cross"],
        "seeds": list(seeds),
    }


def planted():
    """Features that fire on 8 % of the samples: ten in directions of their own in both runs, four in each run alone.

    No noise, one and a half features a sample, half as many features as units, more latents than features: easy.
    """
    features, units = SHARED + OWN * len(UNITS), sum(UNITS)
    fires = torch.rand(SAMPLES, features, generator=seeded(0)) < 0.08
    codes = fires * (0.5 + torch.rand(SAMPLES, features, generator=seeded(1)))
    directions = gaussian(features, units, seed=2, dtype=torch.float32)
    directions[SHARED : SHARED + OWN, UNITS[0] :] = 0
    directions[SHARED + OWN :, : UNITS[0]] = 0
    parts = [part / part.norm(dim=1, keepdim=True).clamp_min(1e-9) for part in directions.split(UNITS, 1)]
    return codes, [codes @ part for part in parts]


@pytest.fixture(scope="module")
def world():
    codes, values = planted()
    runs = runs_of(values)
    fitted = fit_jointly(spec_of(n_latents=24, steps=400), runs)
    # Not measured, for there are no networks here: any numbers will do.
    losses = gaussian(len(fitted), 2, seed=7)
    fitted = [replace(m, loss={"loss_recovered": loss}) for m, loss in zip(fitted, losses, strict=True)]
    return codes, values, {(m.dictionary.member["control"], m.dictionary.member["rows"]): m for m in fitted}


def alive(values):
    return values[~values.isnan()]


# What is shared, on planted data


def test_planted_features_get_the_shares_that_they_have(world):
    """A feature counts as found when a latent's code correlates with it above 0.95; most are."""
    codes, values, fitted = world
    member = fitted[RUNS, "all"]
    x = torch.cat([part * factor for part, factor in zip(values, member.factors, strict=True)], 1)
    read = member.dictionary.codes(x)
    correlation = torch.nan_to_num(torch.corrcoef(torch.cat([codes, read], 1).T))[: codes.shape[1], codes.shape[1] :]
    best, latent = correlation.max(1)
    found, share = best > 0.95, member.share[latent, 0]
    assert found[:SHARED].sum() >= 7
    assert found[SHARED:].sum() >= 6
    assert ((share - 0.5).abs() < 0.15)[:SHARED][found[:SHARED]].all()
    own = torch.cat([share[SHARED : SHARED + OWN], 1 - share[SHARED + OWN :]])
    assert (own[found[SHARED:]] > 0.95).all()


def test_inputs_paired_at_random_leave_nothing_to_share(world):
    member = world[2][SHUFFLED, "all"]
    effective = alive(member.effective_runs)
    assert len(effective) >= 12
    assert (effective < 1.1).double().mean() > 0.9
    assert alive(world[2][RUNS, "all"].effective_runs).mean() > 1.4


def test_a_run_beside_its_copy_shares_all(world):
    """Only nearly: a latent's two parts start apart, and come together as far as it has fired."""
    shares = alive(world[2][COPIES, "all"].share[:, 0])
    assert (shares - 0.5).abs().median() < 0.01
    assert alive(world[2][COPIES, "all"].effective_runs).mean() > 1.95


@pytest.mark.parametrize("steps", [1, 60])
def test_parts_that_start_equal_in_copies_stay_equal(steps):
    """Directions that start as samples are equal in both copies, and so is every gradient."""
    values = gaussian(200, 6, dtype=torch.float32)
    members = fit_jointly(spec_of(directions_init="data", steps=steps), runs_of([values, values]))
    for member in members:
        if member.dictionary.member["control"] in (RUNS, COPIES):
            shares = alive(member.share)
            assert len(shares) > 0
            assert torch.allclose(shares, torch.full_like(shares, 0.5), atol=1e-5)


def test_a_member_that_diverges_has_an_fvu_in_no_run(caplog):
    """Beside one that doesn't: what is left of it would write zeros, of which an FVU is a number like any other."""
    spec = spec_of(steps=5)
    spec |= {"grid": [options | {"lr": lr} for options in spec["grid"] for lr in (1e-3, 1e30)], "labels": ["a", "b"]}
    members = fit_jointly(spec, runs_of([gaussian(200, 6, seed=s, dtype=torch.float32) for s in range(2)]))
    assert "6 of 12 members diverged" in caplog.text
    for member in members:
        diverged = member.dictionary.member["label"] == "b"
        for fvu in (member.fvu, member.fvu_test):
            assert fvu.isnan().tolist() == [diverged] * 2


def test_shares_sum_to_one_and_every_control_is_there(world):
    assert set(world[2]) == {(RUNS, "all"), (RUNS, "a"), (RUNS, "b")} | {
        (control, "all") for control in (SHUFFLED, WITHIN_CLASS, COPIES)
    }
    for member in world[2].values():
        total = member.share.sum(1)
        assert torch.allclose(total[~total.isnan()], torch.ones(1).double())
        assert torch.equal(total.isnan(), member.dictionary.firing_rate == 0)


def test_the_fvu_of_all_is_the_mean_over_the_runs(world):
    """Each run comes with unit variance."""
    for member in (world[2][RUNS, "all"], world[2][COPIES, "all"]):
        assert float(member.fvu.mean()) == pytest.approx(member.dictionary.member["fvu"], rel=1e-5)


def test_effective_runs_are_all_for_equal_shares_and_one_for_one():
    directions = torch.tensor([[1.0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [3, 0, 0, 0, 4, 0], [1, 0, 0, 0, 0, 0]])
    directions = directions / directions.norm(dim=1, keepdim=True)
    zeros, rate = torch.zeros(4), torch.tensor([0.1, 0.1, 0.1, 0.0])
    dictionary = Dictionary(directions, directions, zeros, torch.zeros(6), rate, rate)
    member = JointDictionary(dictionary, [3, 1, 2], [1.0] * 3, torch.zeros(3), torch.zeros(3))
    expected = torch.tensor([3, 1, 1 / (0.36**2 + 0.64**2), torch.nan]).double()
    assert torch.allclose(member.effective_runs, expected, equal_nan=True)
    assert torch.allclose(member.share[2], torch.tensor([9.0, 0, 16]).double() / 25)


# What must not matter


def test_the_scale_of_a_run_does_not_matter():
    """By a power of two, to the last bit."""
    first, second = gaussian(200, 5, dtype=torch.float32), gaussian(200, 7, seed=1, dtype=torch.float32)
    plain, scaled = (fit_jointly(spec_of(), runs_of([first, x])) for x in (second, 1024 * second))
    for a, b in zip(plain, scaled, strict=True):
        assert torch.equal(a.dictionary.directions, b.dictionary.directions)
        if a.dictionary.member["control"] != COPIES:  # Which are of the first run.
            assert a.factors[1] == 1024 * b.factors[1]


def test_directions_come_back_in_each_runs_own_order():
    """The same network with its units in another order: the gauge undoes it, and the result is in that order."""
    first, second = gaussian(200, 5, dtype=torch.float32), gaussian(200, 7, seed=1, dtype=torch.float32)
    order = torch.randperm(7, generator=seeded(3))
    gauges = [no_gauge(5), Gauge(torch.ones(7).double(), order.argsort())]
    plain = fit_jointly(spec_of(), runs_of([first, second]))
    moved = fit_jointly(spec_of(), runs_of([first, second[:, order]], gauges=gauges))
    columns = torch.cat([torch.arange(5), 5 + order])
    for a, b in zip(plain, moved, strict=True):
        if a.dictionary.member["control"] != COPIES:
            assert torch.equal(b.dictionary.directions, a.dictionary.directions[:, columns])
            assert torch.equal(b.dictionary.encoder, a.dictionary.encoder[:, columns])
            assert torch.equal(b.dictionary.bias, a.dictionary.bias[columns])


def test_pairing_within_classes_keeps_what_depends_on_the_class_alone():
    labels = torch.arange(120) % 4
    values = [gaussian(4, units, seed=units, dtype=torch.float32)[labels] for units in (3, 5)]
    runs = runs_of(values, labels)
    samples = _samples(runs, [run.gauge for run in runs], ("test",), "cpu")
    for rows in ("all", "test"):
        assert torch.equal(samples[WITHIN_CLASS, rows].whole(), samples[RUNS, rows].whole())
        assert not torch.equal(samples[SHUFFLED, rows].whole(), samples[RUNS, rows].whole())


def test_shuffling_only_moves_rows():
    runs = runs_of([gaussian(80, units, dtype=torch.float32) for units in (3, 5)])
    samples = _samples(runs, [run.gauge for run in runs], ("test",), "cpu")
    for control in (SHUFFLED, WITHIN_CLASS):
        for part in (slice(0, 3), slice(3, 8)):
            a, b = (samples[name, "all"].whole()[:, part] for name in (RUNS, control))
            assert torch.equal(a[a[:, 0].argsort()], b[b[:, 0].argsort()])


# What is refused


def test_runs_of_other_inputs_are_refused():
    values = [gaussian(40, 3, dtype=torch.float32)] * 2
    runs = runs_of(values)
    other = [runs[0], replace(runs[1], attributes={"data": "other"})]
    with pytest.raises(
        ValueError, match=r"same inputs.*made/seed_0: same, made/seed_1: other.*choose runs of one task"
    ):
        fit_jointly(spec_of(), other)
    with pytest.raises(ValueError, match=r"made/seed_1: unknown"):
        fit_jointly(spec_of(), [runs[0], replace(runs[1], attributes={})])
    with pytest.raises(ValueError, match=r"1 run \(made/seed_0\): give two"):
        fit_jointly(spec_of(), runs[:1])


def test_a_run_that_is_constant_is_named():
    values = [gaussian(40, 3, dtype=torch.float32), torch.ones(40, 3)]
    with pytest.raises(ValueError, match=r"cross, made/seed_1: .* same for every sample"):
        fit_jointly(spec_of(), runs_of(values))


def test_runs_of_unequal_length_are_refused():
    parts = [InMemory(gaussian(n, 3, dtype=torch.float32)) for n in (4, 5)]
    with pytest.raises(ValueError, match=r"\[4, 5\] samples"):
        Joint(parts, [1.0, 1.0])


# The file and its figure


@pytest.fixture(scope="module")
def file(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("joint") / "cross.h5"
    write_joint(path, ["made/seed_0", "made/seed_1"], {"hidden_1": list(world[2].values())}, PROVENANCE)
    return path


def test_a_joint_dictionary_is_loaded_by_hook_point(world, file, tmp_path):
    with homolog.load(file) as loaded, xr.open_dataset(file, engine="h5netcdf", group="hidden_1") as stored:
        xr.testing.assert_equal(loaded[list(stored.variables)], stored)
        assert loaded.attrs["homolog_artefact"] == "joint dictionary"
        assert loaded.attrs["activation"] == stored.attrs["activation"]
    two, members = tmp_path / "two.h5", list(world[2].values())
    write_joint(two, ["made/seed_0", "made/seed_1"], {"hidden_0": members[:1], "hidden_1": members[1:]}, PROVENANCE)
    with homolog.load(two, "hidden_1") as loaded:
        assert loaded.sizes["member"] == len(members) - 1
    with pytest.raises(ValueError, match=r"has no hook point None; choose one of hidden_0, hidden_1"):
        homolog.load(two)


def test_the_file_opens_with_named_dims_and_pads_the_narrower_run(world, file):
    members = list(world[2].values())
    with xr.open_dataset(file, engine="h5netcdf", group="hidden_1") as stored:
        assert stored.dictionary.dims == ("latent", "run", "unit")
        assert stored.run.values.tolist() == ["made/seed_0", "made/seed_1"]
        assert stored.units.values.tolist() == list(UNITS)
        for i, member in enumerate(members):
            mine = stored.isel(latent=stored.member_of_latent.values == i, member=i)
            for r, part in enumerate(member.dictionary.directions.split(member.widths, 1)):
                assert np.array_equal(mine.dictionary.values[:, r, : part.shape[1]], part.numpy())
                assert np.isnan(mine.dictionary.values[:, r, part.shape[1] :]).all()
            assert np.array_equal(mine.share.values, member.share.numpy(), equal_nan=True)
            assert mine.control.item() == member.dictionary.member["control"]
            assert mine.fvu.item() == member.dictionary.member["fvu"]
            assert np.array_equal(mine.run_fvu.values, member.fvu.numpy())
            assert np.array_equal(mine.run_loss_recovered.values, member.loss["loss_recovered"].numpy())


def test_a_file_that_is_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="isn't there"):
        read_joint(tmp_path / "cross.h5")


def test_the_figure_says_where_the_runs_stand_between_floor_and_ceiling(world, file):
    (page,) = read_joint(file)
    text = headline(page, "cross")
    mean = {name: alive(world[2][name, "all"].effective_runs).mean() for name in (RUNS, SHUFFLED, COPIES)}
    excess = (mean[RUNS] - mean[SHUFFLED]) / (mean[COPIES] - mean[SHUFFLED])
    assert f"{mean[RUNS]:.2f} of 2 runs" in text
    assert f"excess {excess:.2f}" in text
    (figure,) = draw(page)
    assert len(figure.axes) == 5  # Four panels and a scale of colours.
    for axes, name in zip(figure.axes[2:4], ("run_fvu_test", "run_loss_recovered"), strict=True):
        shown = [
            list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2 and line.get_marker() == "o"
        ]
        chosen = page[name].values[page["rows"].values == "all"].tolist()
        assert sorted(shown) == sorted(chosen)


# Planning


def with_cross(config):
    config["decompositions"]["cross"] = {"method": "crosscoder", "n_latents": 16, "k": 2, "steps": 40}
    config["experiments"] = {"stability": config["experiments"]["stability"]}
    config["experiments"]["stability"]["decompositions"] = ["pca", "cross"]


@pytest.mark.every
def test_a_joint_decomposition_is_planned_once_for_the_experiment(tmp_path):
    workspace = Workspace.fresh(tmp_path)
    workspace.configure(with_cross)
    done = workspace.snakemake("--dry-run", "stability")
    assert done.returncode == 0, done.stdout
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert counts["decompose_jointly"] == counts["plot_crosscoder"] == "1"
    assert "by cross" in done.stdout
    assert not re.search(r"decompose hidden_1 of .* by cross", done.stdout)
    # Base and two retrainings, what they were before training, and the gauge control: by PCA alone.
    assert counts["decompose"] == counts["dump_activations"]


def test_what_is_compared_is_decomposed_together_and_nothing_else(tmp_path):
    workspace = Workspace.fresh(tmp_path)
    workspace.configure(with_cross)
    plan = Plan(parse_config(workspace.config))
    planned = plan.experiment("stability")
    assert [str(run) for run in planned.compared] == [
        "digits_mlp/seed_0", "digits_mlp_retrained/seed_0", "digits_mlp_retrained/seed_1"
    ]  # fmt: skip
    assert planned.decompositions == ["pca"]
    assert planned.joint_decompositions == ["cross"]
    assert '"name":"cross"' not in plan.spec("analyse", experiment="stability")
    assert METHODS["crosscoder"] in plan.spec("decompose_jointly", experiment="stability", decomposition="cross")


@pytest.mark.slow
def test_the_workflow_builds_it_and_knows_when_it_is_done(copied):
    copied.configure(with_cross)
    figure = "results/figures/stability/crosscoder.pdf"
    copied.build("--cores", "1", figure)
    assert (copied.folder / figure).read_bytes().startswith(b"%PDF")
    (page,) = read_joint(copied.results / "experiments" / "stability" / "cross.h5")
    assert page.run.values.tolist() == [
        "digits_mlp/seed_0",
        "digits_mlp_retrained/seed_0",
        "digits_mlp_retrained/seed_1",
    ]
    assert page.sizes["latent"] == 16 * page.sizes["member"]
    assert (page.run_loss_spliced >= 0).all()
    assert page.run_loss_recovered.dims == ("member", "run")
    assert "Nothing to be done" in copied.snakemake("--dry-run", figure).stdout
