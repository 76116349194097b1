"""Are tracks of an experiment's runs what was planted in them, on the right scale, in its file and in its figures?"""

from __future__ import annotations

import json
import logging
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from making import complete, gaussian, make_rows, seeded
from planted import LATENTS, RETRAINED, UNITS, codes_of, make_run, make_runs, reading
from torch.testing import assert_close
from workspace import ROOT

import homolog
from homolog.alignment.gauge import no_gauge
from homolog.alignment.layer import FOLDS
from homolog.alignment.similarity import standardise
from homolog.analyses.changes import follow
from homolog.analyses.consensus import Groups, Series, level_of, tracked
from homolog.analyses.rival import JointCodes, hold_against, read_joint_codes
from homolog.analyses.scores import Codes, correlate, similarities
from homolog.analyses.stability import stability
from homolog.analyses.tracking import track
from homolog.config import parse_config
from homolog.config.experiments import MadeExperiment
from homolog.config.reading import load_config
from homolog.decompositions.joint import COPIES, RUNS, fit_jointly
from homolog.figures import crosscoder, reinit_depth, tracks, widening
from homolog.figures.latents import draw_latents
from homolog.figures.report import pages
from homolog.planning import Plan
from homolog.registry import METHODS
from homolog.store.activations import Activations
from homolog.store.files import content_hash
from homolog.store.joint import read_joint, read_joint_dictionaries, write_joint
from homolog.store.tracks import read_rivals, read_tracks, with_tracks, write_tracks

PROVENANCE = {"homolog_version": "0", "git_commit": "none", "code": "none"}
OPTIONS = {"quorum": 0.5, "least_runs": 3, "null_draws": 19, "level": 0.95, "tolerance": 0.05}


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    """Of quantiles over all links of all draws, and over all latents of all draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homolog.analyses.consensus.LEVEL_DRAWS", 5)
        patch.setattr("homolog.analyses.changes.DRAWS", 13)
        patch.setattr("homolog.analyses.rival.DRAWS", 13)
        yield


def member(run, unit, base="base", initial=None):
    return {"run": run, "unit": unit, "base": base, "initial": initial or f"{run}-untrained"}


def spec_of(retrained=RETRAINED, names=("planted",), groups=None, changes=(), wider=(), **options):
    retrainings = {"retrained": [member(run, run) for run in retrained]} if groups is None else groups
    return {
        "experiment": "made",
        "options": OPTIONS | options,
        "hook_points": ["hidden_1"],
        "decompositions": [{"name": name, "gauge": "write_out_norm"} for name in names],
        "joint": [],
        "runs": ["base", *retrained],
        "groups": [["base", [member("base", "base", initial="base")]], *([*one] for one in retrainings.items())],
        "changes": list(changes),
        "wider": list(wider),
        "references": {run: ["base"] for run in retrained},
    }


def reading_units(*units, **how):
    """A member whose latents are these units, one after the other."""
    return [reading(torch.eye(UNITS).double()[list(units)], rows=rows, **how) for rows in ("all", "a", "b")]


def without(lost):
    """Runs on the same activations, of which each reads the first four units but those in `lost`, which are its own."""

    def members(i):
        own = lambda unit: 4 if i % 2 else 5  # noqa: E731
        return {"planted": reading_units(*(own(u) if i in lost.get(u, ()) else u for u in range(LATENTS)))}

    return make_runs(codes=lambda i: codes_of(0 if i < 100 else i), members=members)


# What was planted


def test_what_all_runs_share_is_found_in_all_of_them():
    found = track(spec_of(), without({}))
    assert found.latent.values.tolist() == [[a] * 5 for a in np.argsort(found.latent[:, 0].values).argsort()]
    assert (found.found == 5).all()
    assert (found.adjusted_p_value <= 0.05).all()
    assert (found.conditional_adjusted_p_value <= 0.05).all()  # The planted labels say nothing of the activations.
    assert (found.found_in.sel(group="retrained") == 4).all()
    assert found.found_in_low.sel(group="retrained").values == pytest.approx(0.05**0.25)
    point = found.sel(hook_point="hidden_1", decomposition="planted")
    assert point.survival.values.tolist() == [1] * 6
    assert point.ceiling_survival.values.tolist() == [1] * 4
    for name, low, high in (("coverage", 1, 1), ("ceiling_coverage", 1, 1), ("null_coverage", 0, 0.1)):
        values = point[name].values[[0, 1, 1], [1, 0, 1]]
        assert ((values >= low) & (values <= high)).all(), name
    assert (point.null_survival[1:] < 0.1).all()
    assert (point.conditional_null_survival[1:] < 0.1).all()
    assert np.isnan(point.coverage.values[0, 0])


def test_latents_that_some_runs_lost_are_found_where_they_are():
    """Unit 1 is gone in one retraining, unit 2 in three, and unit 3 in all four: that is no track."""
    found = track(spec_of(), without({1: (1,), 2: (1, 2, 3), 3: (1, 2, 3, 4)}))
    point = found.sel(hook_point="hidden_1", decomposition="planted")
    assert point.reference_survival.sel(target="retrained").values.tolist() == [1, 0.75, 0, 0]
    assert np.isnan(point.reference_survival.sel(target="base")).all()
    # Two runs are not enough for a track of unit 2, which base and one retraining have.
    assert point.coverage.sel(source="base", target="retrained") == pytest.approx(1.75 / 4)
    rows = {tuple(row) for row in found.latent.values.tolist()}
    assert {(0, 0, 0, 0, 0), (1, -1, 1, 1, 1)} <= rows
    assert point.survival.values[5] == pytest.approx(1 / 4)


def test_before_training_is_what_untrained_networks_share():
    """Retrainings share the base's activations, their untrained networks only each other's."""
    runs = make_runs(
        codes=lambda i: codes_of(0 if i < 100 else 9), members=lambda i: {"planted": reading_units(0, 1, 2, 3)}
    )
    point = track(spec_of(), runs).sel(hook_point="hidden_1", decomposition="planted")
    assert point.initial_coverage.sel(source="base", target="retrained") < 0.1
    assert point.initial_coverage.sel(source="retrained", target="retrained") == 1


def test_dead_latents_are_no_part_of_any_share():
    runs = without({})
    dead = torch.eye(UNITS).double()[:LATENTS].clone()
    dead[3] = 0
    runs["base"].members["planted"] = [reading(dead, rows=rows) for rows in ("all", "a", "b")]
    found = track(spec_of(), runs)
    point = found.sel(hook_point="hidden_1", decomposition="planted")
    assert point.live_latents.values.tolist() == [3, 4, 4, 4, 4]
    assert point.coverage.sel(source="base", target="retrained") == 1
    assert point.coverage.sel(source="retrained", target="base") == 0.75
    assert found.latent[:, 0].values.max() == 2
    assert np.isnan(point.reference_survival.sel(target="retrained").values[3])


def test_a_method_without_signs_is_tracked_through_flips():
    runs = without({})
    for i, name in enumerate(RETRAINED):
        flips = torch.tensor([(-1.0) ** (i + a) for a in range(LATENTS)]).double()
        encoder = torch.eye(UNITS).double()[:LATENTS] * flips[:, None]
        runs[name].members["planted"] = [reading(encoder, rows=rows) for rows in ("all", "a", "b")]
        runs[name].members["signed"] = [reading(encoder, "signed", rows=r, signed=True) for r in ("all", "a", "b")]
    for run in runs.values():
        run.members.setdefault("signed", reading_units(0, 1, 2, 3, label="signed", signed=True))
    found = track(spec_of(names=("planted", "signed")), runs).sel(hook_point="hidden_1")
    both = found.coverage.sel(source="base", target="retrained")
    assert both.sel(decomposition="planted") == 1
    assert both.sel(decomposition="signed") < 1
    assert [str(name) for name in found.decomposition.values] == ["planted", "signed"]


# Groups


def test_latents_are_followed_between_runs_of_one_base_only():
    """Two bases with two retrainings each, and nothing shared between the bases: that is no loss."""
    one, other = RETRAINED[:2], RETRAINED[2:]
    runs = make_runs(
        codes=lambda i: codes_of(1 if i in (0, 1, 2) else 2 if i < 100 else i),
        members=lambda i: {"planted": reading_units(0, 1, 2, 3)},
    )
    runs["second"] = make_run("second", codes_of(2), {"planted": reading_units(0, 1, 2, 3)})
    groups = {"retrained": [member(run, base, base) for base, two in (("base", one), ("second", other)) for run in two]}
    spec = spec_of(groups=groups)
    spec["groups"][0][1].append(member("second", "second", "second", "second"))
    spec["runs"].insert(1, "second")
    found = track(spec, runs)
    assert found.coverage.sel(source="base", target="retrained").item() == 1
    assert set(found.found.values.tolist()) == {3}
    assert (found.found_in.sel(group="retrained") == 2).all()
    # Retrainings of several bases are no independent trials.
    assert np.isnan(found.found_in_low.sel(group="retrained")).all()
    assert (found.found_in_low.sel(group="base") > 0).all()


def test_independent_runs_are_one_group_without_a_base():
    facts = [{"run": run, "unit": run, "base": "", "initial": f"{run}-untrained"} for run in RETRAINED]
    places = Groups([["apart", facts]], RETRAINED)
    assert len(places.pairs("apart", "apart")) == 12
    assert places.initial_runs == [f"{run}-untrained" for run in RETRAINED]
    assert places.independent("apart")


def taken():
    """Four runs that others recorded, which share three latents; in the last the fourth is another."""
    runs = {}
    for i, name in enumerate(RETRAINED):
        runs[name] = make_run(name, codes_of(0), {"planted": reading_units(0, 1, 2, 5 if i == 3 else 3)})
        runs[name].layers["hidden_1"].labels = {}
    facts = [{"run": run, "unit": run, "base": "", "initial": ""} for run in RETRAINED]
    spec = spec_of() | {"runs": RETRAINED, "groups": [["theirs", facts]], "references": {run: [] for run in RETRAINED}}
    return spec, runs


def test_runs_that_others_recorded_have_tracks_but_no_step_0_and_without_classes_one_null():
    spec, runs = taken()
    found = track(spec, runs)
    assert sorted(found.found.values.tolist()) == [3, 4, 4, 4]
    assert (found.adjusted_p_value <= 0.05).all()
    assert (found.found_in_low.sel(group="theirs").max()) == pytest.approx(0.05**0.25)
    point = found.sel(hook_point="hidden_1", decomposition="planted")
    assert point.survival.values.tolist() == [1, 15 / 16, 15 / 16, 15 / 16, 3 / 4]
    # Of 12 ordered pairs, the 6 of the first three runs share all, the others three of four.
    assert point.coverage.item() == pytest.approx((6 * 1 + 6 * 3 / 4) / 12)
    assert (point.null_survival[1:] < 0.1).all()
    unknown = ["initial_coverage", "conditional_null_coverage", "conditional_null_survival", "conditional_null_found"]
    assert all(bool(point[name].isnull().all()) for name in unknown)
    assert found.conditional_adjusted_p_value.isnull().all()
    assert "change" not in found.dims
    labelled = runs | {name: make_run(name, codes_of(0), runs[name].members) for name in RETRAINED}
    assert track(spec, labelled).conditional_adjusted_p_value.notnull().all()


def test_the_figure_of_tracks_says_where_no_untrained_reference_exists(whole):
    spec, runs = taken()
    found = track(spec, runs)
    (figure,) = tracks.draw(found)
    drawn(figure)
    said = tracks.headline(found, "hidden_1")
    assert "There is no untrained reference" in said
    assert "classes" not in said
    keys = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert keys == ["these runs", "ceiling: as many refits of one run", "null: inputs shuffled"]
    assert "no untrained reference" not in tracks.headline(read_tracks(whole / "tracks.nc"), "hidden_1")


# Which runs count


def test_rejected_runs_take_no_part():
    losses = {RETRAINED[1]: (2.0, 1.0)}
    lost = without({3: (2,)})
    for name, (first, last) in losses.items():
        lost[name].loss = (first, last)
    found = track(spec_of(), lost)
    assert found.accepted_run.values.tolist() == [True, True, False, True, True]
    assert (found.latent.sel(run=RETRAINED[1]) == -1).all()
    assert found.similarity.sel(run=RETRAINED[1]).isnull().all()
    assert (found.found == 4).all()
    assert found.sizes["r"] == 5
    assert (found.n_latents.sel(run=RETRAINED[1]) == 0).all()


def test_too_few_accepted_runs_leave_a_file_that_says_so(tmp_path, caplog):
    runs = without({})
    for name in RETRAINED[1:]:
        runs[name].loss = (2.0, 1.0)
    with caplog.at_level(logging.WARNING):
        found = track(spec_of(), runs)
    assert "2 of 5 runs count, too few for any (3 needed)" in caplog.text
    write_tracks(tmp_path / "tracks.nc", found, PROVENANCE)
    again = read_tracks(tmp_path / "tracks.nc")
    assert again.latent.shape == (0, 5)
    assert again.accepted_run.values.tolist() == [True, True, False, False, False]
    (page,) = tracks.draw(again)
    drawn(page)
    assert "of 5 runs only 2 count" in tracks.headline(again)


def test_what_cannot_be_tracked_is_told_in_one_line():
    with pytest.raises(
        ValueError, match=r"tracks of experiment made: .* at least 3 runs, but it compares 2 \(base, ag"
    ):
        track(spec_of(RETRAINED[:1]), without({}))
    with pytest.raises(ValueError, match=r"quorum is a share .* in \(0, 1\], but is 1.5"):
        track(spec_of(quorum=1.5), without({}))
    with pytest.raises(ValueError, match="at least 19 draws, but has 5"):
        track(spec_of(null_draws=5), without({}))
    runs = without({})
    runs[RETRAINED[2]].layers["hidden_1"].input_digest = "other"
    with pytest.raises(ValueError, match=rf"runs base and {RETRAINED[2]} were read on different inputs"):
        track(spec_of(), runs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quorum": 0}, r"tracks.quorum: 0"),
        ({"quorum": 1.1}, r"tracks.quorum: 1.1"),
        ({"least_runs": 2}, r"tracks.least_runs: 2"),
        ({"null_draws": 18}, r"tracks.null_draws: 18"),
        ({"level": 1.0}, r"tracks.level: 1.0"),
    ],
)
def test_options_out_of_range_are_one_line_of_the_config(options, said):
    config = load_config(ROOT / "tests" / "tiny.yaml").model_dump(mode="json")
    config["experiments"]["stability"]["tracks"] = options
    with pytest.raises(homolog.config.ConfigError) as error:
        parse_config(config)
    (problem,) = error.value.problems
    assert re.search(said, str(problem)), problem


# The same again


def test_the_same_runs_give_the_same_bits():
    one, two = (track(spec_of(RETRAINED[:2]), without({1: (1,)})) for _ in range(2))
    hashes = {content_hash((str(name), v.values) for name, v in found.variables.items()) for found in (one, two)}
    assert len(hashes) == 1


def test_codes_that_are_never_a_matrix_correlate_alike(monkeypatch):
    generator = seeded(0)
    layer = make_run("base", codes_of(0)).layer("hidden_1", "none")
    sides = [Codes.read(layer, reading(torch.randn(5, UNITS, generator=generator).double())) for _ in range(2)]
    monkeypatch.setattr("homolog.analyses.scores.LARGE", 1)
    for signed in (True, False):
        for dense, pairs in zip(correlate(*sides, signed), similarities(sides, signed)(0, 1), strict=True):
            rows, columns = np.divmod(np.arange(25), 5)
            np.testing.assert_allclose(pairs.exact(rows, columns), dense.numpy().ravel(), atol=1e-12)


def test_shuffled_codes_keep_what_each_latent_is_and_the_class_where_asked():
    layer = make_run("base", codes_of(0)).layer("hidden_1", "none")
    codes = Codes.read(layer, reading(torch.eye(LATENTS, UNITS).double()))
    for warm in (False, True):
        within = codes.shuffled(seeded(0), within_class=True)
        for fold, values in within.values.items():
            for label in range(5):
                here = codes.labels[fold] == label
                assert values[here].sort(0).values.equal(codes.values[fold][here].sort(0).values)
            torch.testing.assert_close(within.rows[fold], Codes(codes.live, within.values, codes.labels).rows[fold])
            assert not values.equal(codes.values[fold])
        assert warm or codes.rows  # From now on the standardised rows are moved along.


# Changes


def series_of(**members):
    """Series by label, all of one run on the same activations."""
    layer = make_run("base", codes_of(1)).layer("hidden_1", "none")
    return {
        name: Series("hidden_1", name, True, {"base": {("all", 0): Codes.read(layer, reading(encoder))}})
        for name, encoder in members.items()
    }


def test_a_latent_that_becomes_two_is_a_split_and_what_is_new_is_born():
    eye = torch.eye(UNITS).double()
    first = eye[0] * 1.0
    halves = torch.stack([first + 0.8 * eye[4], first - 0.8 * eye[4]])
    series = series_of(narrow=eye[:4], wide=torch.cat([halves, eye[1:3], eye[5:]]))
    change = {"kind": "wider dictionary", "group": "", "before": "base", "after": "base", "hook_point": "hidden_1"}
    found = follow(change | {"decomposition_before": "narrow", "decomposition_after": "wide"}, series, 0.98)
    assert found.child.values.tolist()[1:] == [2, 3, -1]
    assert found.parent.values.tolist() == [0, 0, 1, 2, -1]
    assert [float(found[name]) for name in ("kept", "split", "gone")] == [0.5, 0.25, 0.25]
    assert [float(found[name]) for name in ("merged", "born")] == [0, 0.2]
    back = follow(change | {"decomposition_before": "wide", "decomposition_after": "narrow"}, series, 0.98)
    assert [float(back[name]) for name in ("merged", "gone", "born")] == [0.25, 0.2, 0.25]
    assert (found.null_born > 0.9).all()
    assert (found.null_split < 0.05).all()


def test_changes_name_the_runs_that_count_and_the_sizes_within_each():
    changes = [{"kind": "retrained", "group": "retrained", "before": "base", "after": run} for run in RETRAINED[:3]]
    runs = without({})
    for run in runs.values():
        run.members["planted"] += reading_units(0, 1, 2, 3, 4, label="wide")
    runs[RETRAINED[0]].loss = (2.0, 1.0)
    found = track(spec_of(RETRAINED[:3], changes=changes, wider=[("planted", "wide")]), runs)
    kinds, after = found.change_kind.values.tolist(), found.change_after.values
    assert kinds.count("retrained") == 4
    assert kinds.count("wider dictionary") == 3
    assert RETRAINED[0] not in after
    grown = found.isel(change=found.change_kind.values == "wider dictionary")
    assert (grown.kept == 1).all()
    assert grown.born.values == pytest.approx(0.2)
    assert (grown.parent.values[:, 4] == -1).all()


# Beside a crosscoder


def joint_codes(encoder, shared, seed=0):
    layer = make_run("base", codes_of(0)).layer("hidden_1", "none")
    return JointCodes("cross", seed, Codes.read(layer, reading(encoder, signed=True)), np.asarray(shared))


def tracked_units(*units):
    layers = [make_run(f"run {k}", codes_of(0)).layer("hidden_1", "none") for k in range(3)]
    codes = [Codes.read(layer, reading(torch.eye(UNITS).double()[list(units)], signed=True)) for layer in layers]
    return tracked(codes, True, OPTIONS, 0.3)


def test_a_crosscoders_latents_are_held_against_tracks_both_ways():
    """It has units 0, 1, 2 and 5, of which it calls the first and the last shared; tracks have 0 to 3."""
    eye = torch.eye(UNITS).double()
    one = joint_codes(eye[[0, 1, 2, 5]], [True, False, False, True])
    other = joint_codes(eye[[5, 0, 1]], [False, True, True], seed=1)
    found = tracked_units(0, 1, 2, 3)
    first, _ = hold_against([one, other], found, True, ("test",), 0.98)
    units = {int(found.tracks.latent[t, 0]): t for t in range(4)}
    assert first.joint_track.values.tolist() == [units[0], units[1], units[2], -1]
    assert first.joint_shared.values.tolist() == [1, 0, 0, 1]
    assert first.track_joint.values[[units[u] for u in range(4)]].tolist() == [0, 1, 2, -1]
    assert float(first.shared_with_track) == 0.5
    assert float(first.tracks_with_latent) == 0.75
    assert float(first.null_shared_with_track) < 0.1
    # Of the shared latents, 0 and 5, the other seed calls one shared, and has the other but not as shared.
    assert float(first.ceiling_shared_with_track) == 0.5


SMALL = {"n_latents": 12, "k": 2, "steps": 60, "batch_size": 64, "lr": 1e-2, "engine": "plain"}


def fitted_jointly(values, seeds=(0,), **options):
    rows = make_rows(len(values[0]))
    runs = [
        Activations(f"made/seed_{i}", "hidden_1", x, rows, no_gauge(x.shape[1]), None, {"data": "same"})
        for i, x in enumerate(values)
    ]
    spec = {"name": "cross", "method": METHODS["crosscoder"], "gauge": "none", "labels": ["cross"]}
    return fit_jointly(spec | {"grid": [complete("crosscoder", **SMALL | options)], "seeds": list(seeds)}, runs)


def with_losses(members):
    return [replace(m, loss={"loss_recovered": torch.ones(len(m.widths)).double()}) for m in members]


def test_a_joint_dictionary_comes_back_from_its_file_with_the_same_codes(tmp_path):
    """Of runs of different widths."""
    values = [gaussian(200, width, seed=width, dtype=torch.float32) for width in (5, 7, 4)]
    members = fitted_jointly(values, steps=10)
    path = tmp_path / "cross.h5"
    write_joint(path, [f"made/seed_{i}" for i in range(3)], {"hidden_1": with_losses(members)}, PROVENANCE)
    again = read_joint_dictionaries(path, "hidden_1")
    assert len(again) == len(members)
    for one, two in zip(members, again, strict=True):
        assert (one.widths, one.factors, one.control) == (two.widths, two.factors, two.control)
        assert one.dictionary.member["rows"] == two.dictionary.member["rows"]
        of_runs = [values[0]] * 3 if one.control == COPIES else values
        x = torch.cat([v * f for v, f in zip(of_runs, one.factors, strict=True)], 1)
        assert one.dictionary.codes(x).equal(two.dictionary.codes(x))
        torch.testing.assert_close(one.effective_runs, two.effective_runs, equal_nan=True)


def test_joint_codes_are_read_in_each_runs_own_order_of_units():
    values = [gaussian(200, UNITS, seed=s, dtype=torch.float32) for s in (0, 1)]
    members = fitted_jointly(values, steps=10)
    layers = []
    for x in values:
        order = torch.randperm(UNITS, generator=seeded(3))
        layer = make_run("run", x.double()[:, order]).layer("hidden_1", "none")
        layer.order = order
        layers.append(layer)
    (read,) = read_joint_codes(members, layers)
    member = next(m for m in members if (m.control, m.dictionary.member["rows"]) == (RUNS, "all"))
    x = torch.cat([v.double() * f for v, f in zip(values, member.factors, strict=True)], 1)
    codes = member.dictionary.to(torch.float64).codes(x)
    torch.testing.assert_close(read.codes.values["match"], codes[::2][:, torch.as_tensor(read.codes.live)])


# The file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset with everything in it, through its file."""
    runs, folder = without({1: (1,), 3: (1, 2)}), tmp_path_factory.mktemp("whole")
    for name, run in runs.items():
        wide = (
            reading_units(0, 1, 2, 3, 4, label="wide") if "untrained" not in name else reading_units(4, 5, label="wide")
        )
        run.members["planted"] = [*run.members["planted"], *wide]
    changes = [{"kind": "retrained", "group": "retrained", "before": "base", "after": run} for run in RETRAINED[:1]]
    changes += [
        {"kind": "trained", "group": "retrained", "before": f"{r}-untrained", "after": r} for r in RETRAINED[:1]
    ]
    spec = spec_of(RETRAINED[:3], changes=changes, wider=[("planted", "wide")]) | {
        "joint": [{"name": "cross", "gauge": "none"}]
    }
    values = [torch.cat(list(runs[r].layers["hidden_1"].activations.values())).float() for r in spec["runs"]]
    write_joint(
        folder / "cross.h5",
        spec["runs"],
        {"hidden_1": with_losses(fitted_jointly(values, (0, 1), n_latents=6, steps=5))},
        PROVENANCE,
    )
    write_tracks(folder / "tracks.nc", track(spec, runs, [folder / "cross.h5"]), PROVENANCE)
    return folder


def test_every_variable_of_the_file_is_documented_and_no_other(whole):
    dataset = read_tracks(whole / "tracks.nc")
    text = (ROOT / "docs" / "files.md").read_text().split("## tracks.nc")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| ([a-z_, –]+) \|", text, re.MULTILINE)
    documented = {name: dims for names, dims in rows for name in re.findall(r"`(\w+)`", names)}
    assert documented == {name: ", ".join(one.dims) or "–" for name, one in dataset.data_vars.items()}
    named = {"experiment", "quorum", "least_runs", "null_draws", "level", "confidence"}
    assert named <= set(dataset.attrs)
    assert all(f"`{name}`" in text for name in (*named, *dataset.dims))


def test_tracks_are_numbered_through_the_file(whole):
    dataset = read_tracks(whole / "tracks.nc")
    assert dataset.track.values.tolist() == list(range(dataset.sizes["track"]))
    for at in range(dataset.sizes["rival"]):
        one = dataset.isel(rival=at)
        mine = np.flatnonzero(dataset.decomposition_of_track == one.rival_decomposition)
        assert set(one.joint_track.values) <= {-1, *mine}
        assert one.track_joint_similarity.values[mine].size
        others = np.setdiff1d(dataset.track.values, mine)
        assert np.isnan(one.track_joint_similarity.values[others]).all()
        assert (one.track_joint.values[others] == -1).all()
    assert set(dataset.rival_decomposition.values) == {"planted", "wide"}
    assert dataset.sizes["rival"] == 4


# The figures


def drawn(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()


def test_the_figure_of_tracks_draws_the_curves_and_says_the_numbers(whole):
    dataset = read_tracks(whole / "tracks.nc")
    (figure,) = tracks.draw(dataset)
    drawn(figure)
    said = tracks.headline(dataset, "hidden_1")
    assert "nan" not in said
    for method in ("planted", "wide"):
        mine = dataset.isel(track=dataset.decomposition_of_track.values == method)
        assert f"{method} {mine.sizes['track']} (" in said
        panel = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(f"{method}:"))
        shown = [line.get_ydata().tolist() for line in panel.lines]
        point = dataset.sel(hook_point="hidden_1", decomposition=method)
        for name in ("survival", "null_survival", "conditional_null_survival"):
            assert point[name].values.tolist() in shown
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert {"base to retrained", "before to after training", "dictionary to the next larger one"} <= set(titles)


PAIRED = [
    {
        "condition": "retrained", "kind": "base-retrained", "a": "base", "b": run, "initial_a": "base",
        "initial_b": f"{run}-untrained", "unit_a": "base", "unit_b": run,
    }
    for run in RETRAINED
]  # fmt: skip


@pytest.mark.parametrize("figure", [widening, reinit_depth])
def test_figures_along_conditions_show_tracks_at_their_values(whole, figure):
    views = ["homolog.alignment.views.score:Score"]
    options = {"matchings": ["rank", "hungarian", "best_a_to_b", "best_b_to_a"], "null_draws": 2, "tolerance": 0.05}
    spec = spec_of() | {"options": options | {"views": views}, "pairs": PAIRED, "controls": {}}
    analysed = stability(spec, without({1: (1,), 3: (1, 2)}))
    plain, dataset = with_tracks(analysed, []), with_tracks(analysed, [whole / "tracks.nc"])
    xr.testing.assert_identical(plain, analysed)
    share = float(dataset.coverage.sel(decomposition="planted", source="base", target="retrained").item())
    assert 0 < share < 1
    (page,) = pages(dataset)
    drawn(figure.draw(page))
    panel = next(a for a in figure.draw(page).axes if a.get_title(loc="left").startswith("tracks"))
    assert any(np.allclose(line.get_ydata(), share) for line in panel.lines)
    assert f"planted {share:.0%} (refit" in figure.headline(dataset)
    assert "refit" not in figure.headline(plain).replace("what a refit finds", "")


def test_the_figure_of_a_crosscoder_holds_it_against_tracks(whole):
    (page,) = read_joint(whole / "cross.h5")
    rivals = read_rivals([whole / "tracks.nc"])
    (figure,) = crosscoder.draw(page, rivals)
    drawn(figure)
    said = crosscoder.headline(page, "cross", rivals)
    mean = rivals.isel(rival=rivals.rival_decomposition.values == "planted").mean("rival")
    assert f"{float(mean.tracks_with_latent):.0%}" in said
    assert "of planted" in said
    assert len(figure.axes) == len(crosscoder.draw(page)[0].axes) + 1
    assert "tracks" not in crosscoder.headline(page, "cross", read_rivals([]))


# Planning


def test_planning_names_groups_and_changes():
    plan = Plan(load_config(ROOT / "config.yaml"))
    spec = json.loads(plan.spec("track", experiment="widening"))
    groups = dict(spec["groups"])
    assert list(groups) == ["base", "width 32", "width 64", "width 128"]
    assert groups["base"] == [
        member("digits_mlp/seed_0", "digits_mlp/seed_0", "digits_mlp/seed_0", "digits_mlp/seed_0")
    ]
    one = groups["width 64"][2]
    assert one == member(
        "digits_mlp_wide_64/seed_2",
        "digits_mlp_wide_64/seed_2",
        "digits_mlp/seed_0",
        "digits_mlp_wide_64-untrained/seed_2",
    )
    kinds = [change["kind"] for change in spec["changes"]]
    assert kinds.count("retrained") == kinds.count("trained") == 9
    nested = dict(json.loads(plan.spec("track", experiment="bases"))["groups"])
    assert {one["unit"] for one in nested["one layer retrained"]} == {f"digits_mlp/seed_{i}" for i in range(3)}
    assert {one["base"] for one in nested["trained independently"]} == {""}
    assert nested["trained independently"][0]["initial"] == "digits_mlp-untrained/seed_0"
    made = {name for name, one in plan.config.experiments.items() if isinstance(one, MadeExperiment)}
    assert "traps" in made
    without = {name for name, one in plan.config.experiments.items() if one.analysis.name != "stability"}
    assert made < without
    assert {name for name in plan.config.experiments if not plan.experiment(name).has_tracks} == without
    assert json.loads(plan.spec("track", experiment="crosscoder"))["joint"] == [
        {"name": "cross", "gauge": "write_out_norm"}
    ]


def test_two_runs_have_no_tracks_and_sizes_of_a_grid_follow_each_other():
    config = load_config(ROOT / "tests" / "tiny.yaml").model_dump(mode="json", exclude_unset=True)
    config["experiments"]["stability"]["conditions"]["retrained"]["seeds"] = [0]
    config["decompositions"]["topk"] |= {"n_latents": [16, 8, 32], "k": [2, 3]}
    plan = Plan(parse_config(config))
    assert not plan.experiment("stability").has_tracks
    wider = json.loads(plan.spec("track", experiment="stability"))["wider"]
    sizes = [[int(re.search(r"n_latents=(\d+)", label)[1]) for label in pair] for pair in wider]
    assert sorted(sizes) == [[8, 16], [8, 16], [16, 32], [16, 32]]
    assert all(re.search(r"k=(\d)", a)[1] == re.search(r"k=(\d)", b)[1] for a, b in wider)


# Truth: tracks of autoencoders of each run, and a crosscoder over all of them

WORLD = {"runs": 6, "units": 32, "features": 24, "samples": 6000, "rate": 0.05}


def world(seed):
    """Features of survival 1, 2/3, 1/2 and 1/3: which of them each run has, codes, and activations by run."""
    generator = seeded(seed)
    runs, units, features, samples = (WORLD[name] for name in ("runs", "units", "features", "samples"))
    survival = torch.tensor([1.0, 2 / 3, 1 / 2, 1 / 3]).repeat_interleave(features // 4)
    there = torch.stack([torch.rand(runs, generator=generator).argsort().argsort() < s * runs - 0.5 for s in survival])
    codes = (torch.rand(samples, features, generator=generator) < WORLD["rate"]) * (
        0.5 + torch.rand(samples, features, generator=generator)
    )
    values = []
    for run in range(runs):
        directions = torch.nn.functional.normalize(torch.randn(features, units, generator=generator), dim=1)
        noise = 0.02 * torch.randn(samples, units, generator=generator)
        values.append((codes * there[:, run]) @ directions + noise)
    return there.numpy(), codes, values


def named(rows, features):
    """The feature that each latent's code follows, by a correlation above one half; -1 for none."""
    r = rows @ features.T
    best, index = r.max(1)
    return torch.where(best > 0.5, index, -1).numpy()


def right(claims, there):
    """Precision of (feature, run) claims, and recall by survival."""
    claimed = np.zeros_like(there)
    for feature, runs in claims:
        if feature >= 0:
            claimed[feature, runs] = True
    levels = np.repeat(np.arange(4), len(there) // 4)
    recall = [(claimed & there)[levels == k].sum() / there[levels == k].sum() for k in range(4)]
    return (claimed & there).sum() / max(claimed.sum(), 1), recall


def from_tracks(values, codes):
    rows = torch.arange(WORLD["samples"])
    folds = {"match": rows[rows % 4 == 0], "score": rows[rows % 4 == 1]}
    train, labels = rows[rows % 4 > 1], {fold: torch.zeros(len(at), dtype=torch.long) for fold, at in folds.items()}
    spec = {"method": "batch_topk_sae", "n_latents": 32, "k": 2, "steps": 2000, "batch_size": 128, "lr": 5e-3}
    members = {}
    for run, x in enumerate(values):
        (dictionary,) = homolog.fit(x[train], spec, seed=run)
        members[str(run)] = {("all", 0): Codes.of({f: dictionary.codes(x[at]) for f, at in folds.items()}, labels)}
    series = Series("made", "sae", True, members)
    at_least = level_of(series, list(members), OPTIONS)
    found = tracked([series.first(run) for run in members], True, OPTIONS, at_least)
    truth = Codes.of({fold: codes[at] for fold, at in folds.items()}, labels)
    claims = []
    for row in found.tracks.latent:
        inside = np.flatnonzero(row >= 0)
        names = [
            named(found.codes[k].rows["score"][[np.cumsum(found.codes[k].live)[row[k]] - 1]], truth.rows["score"])[0]
            for k in inside
        ]
        claims.append((max(set(names), key=names.count), inside))
    return claims


def from_crosscoder(values, codes):
    members = fitted_jointly(values, n_latents=48, k=2, steps=2000, batch_size=128, lr=5e-3)
    member = members[0]
    x = torch.cat([v * f for v, f in zip(values, member.factors, strict=True)], 1)
    nothing = {"all": torch.zeros(len(x), dtype=torch.long)}
    read, truth = Codes.of({"all": member.dictionary.codes(x)}, nothing), Codes.of({"all": codes}, nothing)
    share = member.share.numpy()[read.live]
    # A latent is in a run where its part has at least half the norm of its largest part.
    there = share >= share.max(1, keepdims=True) / 4
    return [(f, np.flatnonzero(row)) for f, row in zip(named(read.rows["all"], truth.rows["all"]), there, strict=True)]


@pytest.mark.slow
def test_tracks_and_a_crosscoder_read_planted_survival_back(monkeypatch):
    """The crosscoder more of it: it sees a shared feature in all its runs at once (docs/science.md)."""
    monkeypatch.setattr("homolog.decompositions.joint.FITTED", [(RUNS, "all")])
    seen = {"tracks": [], "crosscoder": []}
    for seed in range(2):
        there, codes, values = world(seed)
        seen["tracks"].append(right(from_tracks(values, codes), there))
        seen["crosscoder"].append(right(from_crosscoder(values, codes), there))
    mean = {name: (np.mean([p for p, _ in rows]), np.mean([r for _, r in rows], axis=0)) for name, rows in seen.items()}
    for name, least in (("tracks", 0.7), ("crosscoder", 0.9)):
        precision, recall = mean[name]
        assert precision > 0.9
        assert (recall[:2] > least).all()
    assert mean["tracks"][1][3] == 0  # Two runs are no track.
    assert mean["crosscoder"][1][3] > 0.5


def test_where_rows_belong_to_documents_these_are_shuffled_whole():
    values = {fold: gaussian(60, 3, seed=seed).relu() for seed, fold in enumerate(FOLDS)}
    labels = {fold: torch.arange(60) % 2 for fold in FOLDS}
    documents = {fold: torch.arange(60) // 6 for fold in FOLDS}
    codes = Codes.of(values, labels, documents)
    moved = codes.shuffled(seeded(0), within_class=False)
    for fold in FOLDS:
        before, after = (one.values[fold].reshape(10, 6, -1) for one in (codes, moved))
        order = [next(i for i in range(10) if torch.equal(before[i], part)) for part in after]
        assert sorted(order) == list(range(10)) != order
    within = codes.shuffled(seeded(0), within_class=True)
    assert torch.equal(within.values["match"][::2].sort(0).values, codes.values["match"][::2].sort(0).values)


def test_the_plan_tells_tracks_what_the_conditional_null_keeps():
    config = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())
    config["experiments"]["stability"]["analysis"] |= {"conditional_on": "token_id", "documents": "document"}
    spec = json.loads(Plan(parse_config(config)).spec("track", experiment="stability"))
    assert spec["options"]["conditional_on"] == "token_id"
    assert spec["options"]["documents"] == "document"


def test_survival_is_drawn_on_the_page_of_latents_where_there_are_tracks(whole):
    views = ["homolog.alignment.views.score:Score"]
    options = {"matchings": ["rank", "hungarian"], "null_draws": 2, "tolerance": 0.05}
    spec = spec_of() | {"options": options | {"views": views}, "pairs": PAIRED, "controls": {}}
    plain = stability(spec, without({1: (1,), 3: (1, 2)}))
    dataset = with_tracks(plain, [whole / "tracks.nc"])
    for one, expected in ((plain, 0), (dataset, len(dataset.decomposition))):
        figure = draw_latents(pages(one)[0])
        figure.draw_without_rendering()
        shown = [axes for axes in figure.axes if axes.get_xlabel() == "in a track of at least this share of runs"]
        assert len(shown) == expected
    cell = pages(dataset)[0].isel(decomposition=0)
    drawn_shares = next(line.get_ydata() for line in shown[0].lines if line.get_lw() == 1.6 and line.get_ls() == "-")
    np.testing.assert_array_equal(drawn_shares, cell.survival.values)


@pytest.mark.parametrize("signed", [True, False])
def test_sparse_codes_correlate_as_dense_ones_do_shuffled_or_not(signed):
    generator = seeded(0)
    dense = {fold: gaussian(400, 12, seed=n) for n, fold in enumerate(FOLDS)}
    few = {fold: x * (torch.rand(x.shape, generator=generator) < 0.05) for fold, x in dense.items()}
    labels = {fold: torch.arange(400) % 7 for fold in FOLDS}
    a, b = Codes.of(few, labels), Codes.of({fold: few[fold] + x * (x > 2.5) for fold, x in dense.items()}, labels)
    assert a.are_few
    assert not Codes.of(dense, labels).are_few
    assert b.sparse.keys() == {*FOLDS}
    for other in (b, b.shuffled(seeded(1), within_class=False), b.shuffled(seeded(2), within_class=True)):
        for fold, found in zip(FOLDS, correlate(a, other, signed), strict=True):
            expected = standardise(a.values[fold]) @ standardise(other.values[fold]).T
            assert_close(found, expected if signed else expected.abs(), rtol=0, atol=1e-12)
