"""Are worlds what their options say, do measures of recovery know the truth, and do methods find what is planted?"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import yaml
from making import make_member, method_of, seeded
from torch.testing import assert_close
from workspace import ROOT

from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.recovered import (
    at_best,
    codes_found,
    features_found,
    oracle_codes,
    oracle_features,
    stable_and_true,
)
from homolog.analyses.recovery import recovery
from homolog.config import parse_config
from homolog.config.planted import RecoveryOptions
from homolog.config.worlds import PlantedOptions, SourcesOptions
from homolog.decompositions.fit import fit_members
from homolog.figures.which_method import headline
from homolog.planning.plan import Plan
from homolog.registry import METHODS, WORLDS
from homolog.worlds.base import Drawn, World, orthonormal
from homolog.worlds.planted import planted
from homolog.worlds.sources import sources
from homolog.worlds.trials import Trial

ROWS = 40_000


def world_of(**options):
    return planted(PlantedOptions(world="planted", **options).expand()[0], seeded(0))


def sources_of(**options):
    return sources(SourcesOptions(world="sources", **options).expand()[0], seeded(0))


@pytest.mark.parametrize("changes", [{}, {"together": 0.8}, {"zipf": 1.0}, {"hierarchy": 0.5}], ids=str)
def test_so_many_features_are_on_as_is_said(changes):
    drawn = world_of(**changes).draw(ROWS, seeded(1))
    count = (drawn.codes != 0).double().sum(1)
    assert float(count.mean()) == pytest.approx(3, abs=6 * float(count.std()) / ROWS**0.5)


def test_rates_fall_as_zipf_says():
    rates = (world_of(zipf=1.0, active=2.0).draw(ROWS, seeded(1)).codes != 0).double().mean(0)
    assert float(rates[0] / rates[3]) == pytest.approx(4, rel=0.05)


def test_children_are_on_in_half_of_the_rows_of_their_parents_and_in_no_others():
    on = world_of(features=10, hierarchy=0.5).draw(ROWS, seeded(1)).codes != 0
    parents, children = on[:, :5], on[:, 5:]
    assert not (children & ~parents).any()
    assert float(children.double().sum() / parents.double().sum()) == pytest.approx(0.5, abs=0.02)


def test_neighbours_come_together_as_the_copula_says():
    """The Gaussian copula of two halves: P(both on) = 1/4 + arcsin(correlation) / (2 pi)."""
    on = world_of(features=4, active=2.0, together=0.5).draw(ROWS, seeded(1)).codes != 0
    both = float((on[:, 0] & on[:, 1]).double().mean())
    assert both == pytest.approx(1 / 4 + math.asin(0.5) / (2 * math.pi), abs=0.01)


def test_oblique_features_have_the_overlap_that_is_said():
    features = world_of(directions="oblique", units=400, features=40, overlap=0.3).features
    assert_close(features.norm(dim=1), torch.ones(40))
    between = (features @ features.T)[~torch.eye(40, dtype=torch.bool)]
    assert float(between.mean()) == pytest.approx(0.3, abs=0.01)


def test_noise_is_as_long_as_is_said():
    drawn = world_of(noise=0.5)
    rows = drawn.draw(ROWS, seeded(1))
    left = rows.rows - rows.codes @ drawn.features
    assert float(left.square().sum(1).mean()) == pytest.approx(0.25, rel=0.02)


def test_a_rate_above_one_is_refused():
    with pytest.raises(ValueError, match=r"would need one on in 1\.34 of the rows"):
        world_of(zipf=1.0, active=5.74)


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "laplace", "sparse"])
@pytest.mark.parametrize("variances", ["equal", "falling"])
def test_sources_have_the_variances_that_are_said(kind, variances):
    codes = sources_of(distribution=kind, variances=variances).draw(ROWS, seeded(1)).codes
    expected = torch.logspace(0, -math.log10(16), 8) if variances == "falling" else torch.ones(8)
    assert_close(codes.var(0), expected, rtol=0.08, atol=0)
    correlations = torch.corrcoef(codes.T) - torch.eye(8)
    assert float(correlations.abs().max()) < 0.03


def test_the_partner_sees_the_same_sources():
    made = sources_of(noise=0.0)
    drawn = made.draw(100, seeded(1))
    again = torch.linalg.lstsq(drawn.rows, drawn.partner).solution
    assert_close(drawn.rows @ again, drawn.partner, atol=1e-4, rtol=0)
    assert not torch.allclose(drawn.rows, drawn.partner)


def test_truth_is_recovered_by_itself_and_signs_are_told_apart():
    features = world_of().features
    assert features_found(features, features, 0.9) == {
        "f1": 1, "f1_signed": 1, "mmcs": pytest.approx(1), "mmcs_back": pytest.approx(1)
    }  # fmt: skip
    turned = features_found(features, -features, 0.9)
    assert (turned["f1"], turned["f1_signed"]) == (1, 0)


def test_f1_counts_what_is_missing_and_what_is_too_much():
    features = torch.eye(4, 8)
    assert features_found(features, features[:2], 0.9)["f1"] == pytest.approx(2 * 2 / (4 + 2))
    assert features_found(features, torch.eye(8), 0.9)["f1"] == pytest.approx(2 * 4 / (4 + 8))
    assert features_found(features, features[[0, 0, 0]], 0.9)["f1"] == pytest.approx(2 * 1 / (4 + 3))
    assert features_found(features, features[:0], 0.9)["f1"] == 0


def test_what_returns_and_what_is_true_are_counted_apart():
    features, space = torch.eye(2, 8), torch.eye(8)
    seen = stable_and_true(space[[0, 1, 4, 5]], space[[0, 4, 5, 7]], features, 0.9)
    assert seen["stable"] == 3 / 4
    assert seen["true_if_stable"] == pytest.approx(1 / 3)
    assert seen["true_if_not"] == 1


def test_without_noise_known_codes_give_everything_back():
    made = world_of(noise=0.0)
    train, test = made.draw(4000, seeded(1)), made.draw(400, seeded(2))
    found, offset = oracle_features(train)
    assert_close(found, made.features, atol=1e-3, rtol=0)
    assert float(offset.abs().max()) < 1e-3
    # Rows on whose support the features aren't independent have no unique codes: there are none with so few.
    codes = oracle_codes(test.rows, test.codes != 0, made.features)
    near = (test.codes != 0).sum(1) <= 5
    assert_close(codes[near].float(), test.codes[near], atol=5e-3, rtol=0)
    best = at_best(train, test, made.features, 0.9)
    assert best["f1"] == 1
    assert best["fvu"] < 1e-3
    assert best["codes"] > 0.99
    assert codes_found(test, made.features, test.codes[:, [1, 0]], made.features[[1, 0]]) == pytest.approx(2 / 40)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("method", ["topk_sae", "relu_sae", "jumprelu_sae"])
def test_members_that_step_together_learn_what_each_learns_alone(method):
    """Up to rounding, which training makes more of: so few steps."""
    x = world_of().draw(512, seeded(1)).rows
    own = {"k": 3} if method == "topk_sae" else {"coefficient": 0.1}
    options = {"n_latents": 40, "steps": 12, "batch_size": 64, "engine": "plain", **own}
    members = [make_member(method, x, seed=seed, **options) for seed in range(3)]
    others = [make_member(method, x, seed=3, **options | {"n_latents": 30})]
    together = fit_members(METHODS[method], [*members, *others], together=2)
    alone = [method_of(method).fit([member])[0] for member in (*members, *others)]
    for one, other in zip(together, alone, strict=True):
        assert_close(one.directions, other.directions, atol=1e-4, rtol=0)
        assert float(one.moved.max()) > 1e-3


def test_methods_are_told_what_the_world_says_as_far_as_they_can_find_so_many():
    made = world_of()
    options = PlantedOptions(world="planted", guess_features=2.0, guess_active=0.34).expand()[0]
    none = made.draw(2, seeded(0))
    trial = Trial({"options": options, "group": "a", "label": "a"}, 0, made, none, none)
    assert trial.told({"n_latents": 8, "k": 1, "lr": 1.0}, False) == {"n_latents": 80, "k": 1, "lr": 1.0}
    assert trial.told({"n_latents": 8, "solver": "auto"}, True) == {"n_latents": 20, "solver": "auto"}
    assert trial.told({"target_l0": None}, True) == {"target_l0": None}


def test_every_world_has_options_and_a_list_makes_a_world_of_each():
    options = RecoveryOptions(
        name="recovery", worlds={"noise": PlantedOptions(world="planted", noise=[0.1, 1.0], zipf=1.0)}
    )
    assert options.worlds["noise"].varying() == ["noise=0.1", "noise=1.0"]
    assert WORLDS.keys() == {"planted", "sources", "digits", "square", "mixture", "animals", "combinations"}


def test_pca_finds_orthogonal_sources_of_unequal_variance_and_ica_those_that_are_not_gaussian():
    """Comon (1994): what isn't Gaussian is identified up to scale and order; a covariance only up to a rotation."""
    config = parse_config({
        "models": yaml.safe_load((ROOT / "config.yaml").read_text())["models"],
        "decompositions": {
            "pca": {"method": "pca", "n_latents": 8},
            "ica": {"method": "ica", "n_latents": 8, "seeds": [0, 1], "max_iterations": 60},
        },
        "experiments": {"sources": {
            "analysis": {"name": "recovery", "rows": 2048, "test_rows": 512, "worlds": {
                "turned": {"world": "sources", "variances": "falling"},
                "mixed": {"world": "sources", "directions": "oblique", "distribution": ["laplace", "gaussian"]},
            }},
            "figure": "which_method",
            "decompositions": ["pca", "ica"],
        }},
    })  # fmt: skip
    found = recovery(json.loads(Plan(config).spec("analyse", experiment="sources")), {})
    assert found.world.values.tolist() == ["turned", "mixed laplace", "mixed gaussian"]
    assert found.f1.sel(world="turned", decomposition="pca") > 0.95
    assert found.f1.sel(world="mixed laplace", decomposition="ica") > 0.95
    assert found.codes.sel(world="mixed laplace", decomposition="ica") > 0.9
    assert found.stable.sel(world="mixed laplace", decomposition="ica") > 0.95
    assert (found.f1.sel(world="mixed gaussian") < 0.5).all()
    assert (found.f1_null < 0.3).all()
    assert (found.f1_ceiling > 0.95).all()
    said = headline(found)
    assert "No method: mixed gaussian." in said
    assert "pca in turned (least 1.00" in said


def test_bases_are_orthonormal():
    rows = orthonormal(5, 8, seeded(0))
    assert_close(rows @ rows.T, torch.eye(5), atol=1e-5, rtol=0)


def test_numbers_of_trials_stand_by_world_column_and_replicate():
    worlds = [{"options": {}, "group": name, "label": name} for name in "ab"]
    fits = [{"labels": ["one", "two"], "grid": [{}, {}]}, {"labels": ["three"], "grid": [{}]}]
    spec = {"worlds": worlds, "decompositions": fits, "options": {"replicates": 3}}
    none = Drawn(torch.empty(0, 2), torch.empty(0, 0))
    nowhere = World(torch.empty(0, 2), lambda *_: none, 0.0)
    trials = [Trial(world, replicate, nowhere, none, none) for world in worlds for replicate in range(3)]
    found = ByTrial.of(spec, ["beside"])
    assert found.labels == ["one", "two", "three", "beside"]
    assert [first for first, _ in with_first_column(fits)] == [0, 2]
    for number, trial in enumerate(trials):
        found.put(trial, {"best": number})
        found.put(trial, {"f1": number, "curve": np.arange(5) + number}, 2)
    values = found.values({"curve": ("step",)})
    assert {name: dims for name, (dims, _) in values.items()} == {
        "best": ("world", "replicate"),
        "f1": ("world", "decomposition", "replicate"),
        "curve": ("world", "decomposition", "replicate", "step"),
    }
    assert values["best"][1].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert values["f1"][1][:, 2].tolist() == values["best"][1].tolist()
    assert np.isnan(values["f1"][1][:, [0, 1, 3]]).all()
    assert values["curve"][1][1, 2, 0].tolist() == [3, 4, 5, 6, 7]
