"""Are repeated trainings taken apart as they were put together: starts, orders, rows, fixed directions, numbers?"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from making import make_member, method_of, seeded
from numpy.testing import assert_array_equal
from torch.testing import assert_close
from workspace import ROOT

from homolog.analyses.counting import detectable, gaussian_length, length_at_best, length_by, mmcs, stable_latents
from homolog.analyses.fixed_features import fixed_features
from homolog.analyses.how_many import estimates, how_many
from homolog.analyses.recovered import auc_between, oracle_features
from homolog.analyses.sae_twice import COMPONENTS, SHARED, alike, components, design, sae_twice, shared_by
from homolog.analyses.self_simulation import self_simulation, told_apart
from homolog.analyses.suggested import evidence, suggest
from homolog.config import parse_config
from homolog.config.worlds import PlantedOptions
from homolog.decompositions.fit import fit_members
from homolog.dictionary import Dictionary
from homolog.figures import fixed_features as fixed_features_figure
from homolog.figures import how_many as how_many_figure
from homolog.figures import no_features as no_features_figure
from homolog.figures import sae_twice as sae_twice_figure
from homolog.figures import self_simulation as self_simulation_figure
from homolog.planning.plan import Plan
from homolog.registry import METHODS
from homolog.worlds.base import unit
from homolog.worlds.digits import digits
from homolog.worlds.mixture import mixture
from homolog.worlds.planted import planted
from homolog.worlds.simulated import KINDS as KINDS_OF_ROWS
from homolog.worlds.simulated import draw_codes, simulate, tetrachoric
from homolog.worlds.square import square

SMALL = {"units": 8, "features": 12, "active": 1.5}
TINY = {"steps": 12, "batch_size": 32, "lr": 1e-2}


def small(analysis: dict, decompositions: dict, worlds: dict | None = None, rows: int = 256) -> dict:
    """The spec of an analysis of worlds with the fewest replicates."""
    told = {"worlds": worlds or {"planted": {"world": "planted", **SMALL}}, "rows": rows, "test_rows": 128}
    config = parse_config({
        "models": yaml.safe_load((ROOT / "config.yaml").read_text())["models"],
        "decompositions": decompositions,
        "experiments": {"one": {
            "analysis": told | analysis, "figure": analysis["name"], "decompositions": list(decompositions),
        }},
    })  # fmt: skip
    return json.loads(Plan(config).spec("analyse", experiment="one"))


def test_variance_components_are_those_that_were_put_in():
    """Random effects of known variance in many dimensions, where squared distances are their expectations."""
    variances = dict(zip(COMPONENTS, (0.3, 0.05, 0.1, 0.15, 0.4), strict=True))
    effects: dict[tuple, torch.Tensor] = {}

    def effect(name: str, *levels: object) -> torch.Tensor:
        drawn = torch.randn(50_000, generator=seeded(len(effects)), dtype=torch.float64)
        return effects.setdefault((name, *levels), drawn * variances[name] ** 0.5)

    def made(cell) -> torch.Tensor:
        order = cell.half, cell.order
        levels = ((cell.init,), (cell.half,), order, (cell.init, cell.half), (cell.init, *order))
        return sum(effect(name, *at) for name, at in zip(COMPONENTS, levels, strict=True))

    cells = design(2, 2)
    seen: dict[str, list[float]] = {name: [] for name in SHARED}
    for i, one in enumerate(cells):
        for other in cells[:i]:
            apart = float((made(one) - made(other)).square().mean()) / 2
            seen[shared_by(one, other)].append(1 - apart)
    assert all(seen.values())
    found = components(np.array([np.mean(seen[name]) for name in SHARED]))
    # A mean of 50,000 squares of variance 1 deviates by .04 once in 10^9 times.
    np.testing.assert_allclose(found, list(variances.values()), atol=0.04)
    assert found.sum() == pytest.approx(1)


def test_the_design_crosses_starts_and_orders_and_repeats_each_start_on_other_rows():
    cells = design(4, 4)
    assert len(set(cells)) == len(cells) == 16 + 4
    assert {shared_by(cells[0], other) for other in cells[1:]} == set(SHARED)


def test_latents_without_a_partner_count_as_nothing():
    space = torch.eye(6)
    assert alike(space[:4], space[[2, 1, 0, 3]]) == pytest.approx(1)
    assert alike(space[:4], space[:2]) == pytest.approx(2 * 2 / 6)
    assert alike(space[:4], -space[:4]) == pytest.approx(0)
    assert alike(space[:0], space) == 0


def test_a_start_that_is_given_is_taken_whatever_the_rows_and_orders_step_together_as_alone():
    x, start = torch.randn(128, 8, generator=seeded(0)), torch.randn(12, 8, generator=seeded(1))
    options = {"n_latents": 12, "k": 2, **TINY, "engine": "plain"}
    members = [make_member("topk_sae", x, order_seed=order, start=start, **options) for order in (0, 1, 0)]
    together = fit_members(METHODS["topk_sae"], members, together=3)
    assert torch.equal(together[0].directions, together[2].directions)
    assert not torch.allclose(together[0].directions, together[1].directions, atol=1e-3)
    for one, member in zip(together, members, strict=True):
        assert_close(method_of("topk_sae").fit([member])[0].directions, one.directions, atol=1e-4, rtol=0)
        still = torch.nn.functional.cosine_similarity(one.directions, start)
        assert_close(1 - one.moved, still, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("method", "start", "said"),
    [("topk_sae", torch.ones(3, 8), "start has shape"), ("archetypal_sae", torch.ones(12, 8), "starts at candidates")],
)
def test_a_start_that_cannot_be_taken_is_refused(method, start, said):
    member = make_member(method, torch.randn(64, 8, generator=seeded(0)), start=start, n_latents=12)
    with pytest.raises(ValueError, match=said):
        method_of(method).fit([member])


def test_the_layer_of_digits_knows_no_feature_and_measures_on_other_images():
    world = digits({"units": 16, "steps": 5}, seeded(0))
    train, test = world.draw(5000, seeded(1)), world.held_out(5000, seeded(2))
    assert (len(train.rows), len(test.rows), len(world.features)) == (1297, 500, 0)
    assert len(torch.unique(torch.cat([train.rows, test.rows]), dim=0)) > 1700
    assert len(world.draw(100, seeded(1)).rows) == 100


def test_trainings_that_share_more_are_more_alike():
    options = {"method": "topk_sae", "n_latents": 12, "k": 2, "seeds": [0], **TINY}
    found = sae_twice(small({"name": "sae_twice", "inits": 2, "orders": 2}, {"topk": options}), {})
    similarity = found.similarity.squeeze()
    assert similarity.sel(shared="data, start") > similarity.sel(shared="data")
    assert_close(float(found.explained.sum()), 1.0)
    assert float(found.similarity_ceiling.squeeze()) > 0.9
    assert sae_twice_figure.headline(found).startswith("Planted, topk: from another start in another order")


def test_areas_under_the_curve_of_known_orders():
    one, other = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.5])
    assert (auc_between(one, other), auc_between(other, one), auc_between(one, one)) == (1, 0, 0.5)
    assert auc_between(torch.tensor([1.0, 3.0]), torch.tensor([2.0])) == 0.5


def test_suggested_directions_are_what_their_kinds_say():
    rows = torch.randn(5000, 10, generator=seeded(0)) * torch.tensor([5.0] + [0.1] * 9)
    truth = torch.eye(40, 10) + 1e-3 * torch.randn(40, 10, generator=seeded(1))
    true, perturbed, twice, covariance, random = suggest(truth[:10], rows, 4, 0.8, seeded(2)).reshape(5, 4, 10)

    def near(one: torch.Tensor) -> torch.Tensor:
        return (one @ torch.nn.functional.normalize(truth[:10]).T).amax(1)

    assert_close(near(true), torch.ones(4), atol=1e-5, rtol=0)
    assert_close(near(perturbed), torch.full((4,), 0.8), atol=0.05, rtol=0)
    assert_close(near(twice), torch.ones(4), atol=1e-5, rtol=0)
    assert torch.equal(twice[:2], twice[2:])
    assert float((covariance[:, 0].abs()).min()) > 0.9, "along what varies"
    assert_close(random.norm(dim=1), torch.ones(4))
    with pytest.raises(ValueError, match="needs 10 true directions, but there are 5"):
        suggest(truth[:5], rows, 4, 0.8, seeded(2))


def test_evidence_is_counted_on_codes():
    bias = torch.tensor([0.0, -2.0])
    identity = Dictionary(torch.eye(2), torch.eye(2), bias, torch.zeros(2), *torch.zeros(2, 2), "relu")
    shown = evidence(identity, torch.tensor([[1.0, 1.0], [2.0, 3.0]]))
    assert_close(shown, torch.tensor([[1.0, 0.5], [0.75, 0.25], [0.75, 0.25]]).double())


def test_true_directions_that_are_fixed_are_used_and_stay():
    options = {"method": "relu_sae", "n_latents": 12, "coefficient": 0.1, "seeds": [0], **TINY, "steps": 150}
    worlds = {"planted": {"world": "planted", "units": 8, "features": 16, "active": 1.5}}
    spec = small({"name": "fixed_features", "each": 4}, {"l1": options}, worlds, rows=512)
    found = fixed_features(spec, {}).squeeze()
    mass = found.evidence.sel(by="mass")
    assert mass.sel(kind="true") > 1.5 * mass.sel(kind="random")
    assert found.auc.sel(by="mass", other="random") > 0.6
    assert found.fvu.sel(role="known") < found.fvu.sel(role="frozen")
    one = found.expand_dims(["world", "decomposition"])
    said = fixed_features_figure.headline(one.assign(known=found.known.expand_dims("world")))
    assert said.startswith("Planted: l1 switches off")
    assert_close(found.auc.values - found.auc_initial.values, found.auc_gain.values)


def test_latents_are_stable_where_they_return_in_most_others():
    space = torch.eye(8)
    runs = [space[[0, 1, 2]], space[[0, 1, 3]], space[[0, 1, 4]], space[[0, 5]]]
    # 0 returns in all three others, 1 in two of three.
    assert stable_latents(runs, runs, 0.9, 0.8) == 1
    assert stable_latents(runs, runs, 0.9, 2 / 3) == pytest.approx((2 + 2 + 2 + 1) / 4)
    assert stable_latents(runs, [-one for one in runs], 0.9, 1.0) == 0
    assert mmcs(runs[0], runs[3]) == pytest.approx(1 / 3)


def test_the_bound_says_which_features_known_codes_can_teach():
    """Against what least squares finds, at a bound in the middle of the rates."""
    options = PlantedOptions(world="planted", features=200, units=20, active=2.0, zipf=1.0, noise=1.0).expand()[0]
    world = planted(options, seeded(0))
    train = world.draw(1024, seeded(1))
    could = detectable(train, 1.0, 20, 0.9)
    found = torch.nn.functional.cosine_similarity(oracle_features(train)[0], world.features) >= 0.9
    assert 20 < int(could.sum()) < 190
    assert float((found == could).double().mean()) > 0.85


def test_a_dictionary_of_what_rows_are_made_of_describes_them_in_fewer_bits():
    options = PlantedOptions(world="planted", features=20, directions="orthogonal", noise=0.02).expand()[0]
    world = planted(options, seeded(0))
    train, test = world.draw(4096, seeded(1)), world.draw(1024, seeded(2))
    zeros = torch.zeros(20)
    # Below the least size, above all noise.
    made = Dictionary(world.features, world.features, zeros - 0.1, zeros, zeros, zeros, "relu")
    other = made.rotated(torch.linalg.qr(torch.randn(20, 20, generator=seeded(3)))[0])
    length = length_by(made, test, 4096, 0.01)
    assert length < gaussian_length(train, test, 0.01)
    assert length < length_by(other, test, 4096, 0.01)
    assert length_at_best(test, world.features, 4096, 0.01) < length


def test_estimates_of_a_world_of_forty():
    by_size = {
        "live": np.array([20.0, 40, 55]), "mmcs": np.array([0.8, 0.9, np.nan]),
        "bits": np.array([30.0, 20, 25]), "stable": np.array([10.0, 38, 30]),
    }  # fmt: skip
    assert estimates(by_size).tolist() == [55, 40, 40, 38]


def test_numbers_of_features_are_counted_by_size():
    options = {"method": "relu_sae", "n_latents": 2, "coefficient": 0.2, "seeds": [0, 1], **TINY}
    whole = how_many(small({"name": "how_many", "sizes": [6, 12]}, {"l1": options}), {})
    found = whole.squeeze()
    assert (found.features, found.detectable) == (12, 12)
    assert found.live.values.tolist() == [6, 12]
    assert np.isnan(found.mmcs.values[1])
    assert found.by_rank.sizes["rank"] == 12
    assert how_many_figure.headline(whole).startswith("Planted: 12 features")
    assert_array_equal(found.excess, found.stable - found.stable_null)


def test_points_of_a_square_have_no_latents_that_return_beyond_chance():
    """In a plane neighbours are near by chance: of many random directions nearly all return, and of turned ones."""
    points = square({"units": 2, "noise": 0.0}, seeded(0)).draw(500, seeded(1))
    assert points.codes.shape == (500, 0)
    turned = torch.linalg.qr(torch.randn(2, 2, generator=seeded(2)))[0]
    for one in (points.rows, points.rows @ turned):
        assert_close(one.var(0).sum(), torch.tensor(2 / 12), atol=0.02, rtol=0)
    drawn = [unit(torch.randn(60, 2, generator=seeded(seed))) for seed in range(5)]
    others = [one @ turned for one in drawn]
    counted = stable_latents(drawn, drawn, 0.9, 0.8)
    assert counted > 30
    assert abs(counted - stable_latents(drawn, others, 0.9, 0.8)) < 4


def test_a_mixture_has_its_means_as_features_one_on_a_row():
    world = mixture({"units": 20, "features": 12, "noise": 0.5}, seeded(0))
    drawn = world.draw(6000, seeded(1))
    assert drawn.codes.sum(1).unique().tolist() == [1]
    means = drawn.codes.T @ drawn.rows / drawn.codes.sum(0)[:, None]
    assert_close(means, world.features, atol=0.02, rtol=0)
    left = drawn.rows - drawn.codes @ world.features
    assert_close(torch.cov(left.T), 0.25 / 20 * torch.eye(20), atol=1e-3, rtol=0)


def test_what_a_caption_says_of_worlds_without_features():
    sized, replicated = ("world", "decomposition", "size"), {"size": [8, 16], "decomposition": ["l1"]}
    values = {
        "excess": [[[0.1, 0.5]], [[11.0, 15.0]]], "excess_low": [[[-1.0, -0.5]], [[10.0, 13.0]]],
        "excess_high": [[[1.0, 1.5]], [[12.0, 17.0]]], "stable": [[[5.0, 14.0]], [[11.0, 15.0]]],
        "stable_null": [[[4.9, 13.5]], [[0.0, 0.0]]], "mmcs": [[[0.98, np.nan]], [[0.9, np.nan]]],
        "found": [[[np.nan] * 2], [[8.0, 12.0]]],
    }  # fmt: skip
    made = xr.Dataset(
        {name: (sized, array) for name, array in values.items()} | {"features": ("world", [np.nan, 12])},
        replicated | {"world": ["square", "mixture"]},
    )
    said = no_features_figure.headline(made)
    assert "Square (no features): l1 0.5 [-0.5, 1.5] of 16 (not clear of chance, 13.5)." in said
    assert "up to 14 would be counted, and MMCS is up to 0.98" in said
    assert "l1 15.0 [13.0, 17.0] of 16 (more than there are; clear of chance, 0.0; 12.0 features found)" in said


def test_correlations_of_normal_numbers_are_known_by_what_comes_together():
    correlations = torch.tensor([[1.0, 0.7, -0.5], [0.7, 1.0, 0.0], [-0.5, 0.0, 1.0]]).double()
    normal = torch.randn(200_000, 3, generator=seeded(0), dtype=torch.float64) @ torch.linalg.cholesky(correlations).T
    on = normal > torch.tensor([0.0, 1.0, 1.5])
    assert_close(tetrachoric(on), correlations, atol=0.03, rtol=0)
    assert torch.equal(tetrachoric(on & torch.tensor([True, True, False]))[2], torch.tensor([0.0, 0, 1]).double())


def test_drawn_codes_have_the_rates_the_sizes_and_the_company_of_the_given_ones():
    shared = torch.rand(20_000, 1, generator=seeded(0)) < 0.2
    on = shared & (torch.rand(20_000, 4, generator=seeded(1)) < 0.5)
    codes = on * (1 + torch.rand(20_000, 4, generator=seeded(2)))
    codes[:, 3] = 0
    made = draw_codes(codes, 20_000, True, seeded(3))
    assert_close((made > 0).double().mean(0), on.double().mean(0) * torch.tensor([1.0, 1, 1, 0]), atol=0.01, rtol=0)
    assert_close(made[:, 0][made[:, 0] > 0].mean(), codes[:, 0][codes[:, 0] > 0].mean(), atol=0.03, rtol=0)
    both = ((made[:, 0] > 0) & (made[:, 1] > 0)).double().mean()
    assert float(both) == pytest.approx(float((on[:, 0] & on[:, 1]).double().mean()), abs=0.006)
    apart = draw_codes(codes, 20_000, False, seeded(3)) > 0
    assert float((apart[:, 0] & apart[:, 1]).double().mean()) == pytest.approx(0.01, abs=0.005)


def test_equal_samples_are_not_told_apart_and_others_are():
    drawn = torch.randn(1000, 3, generator=seeded(0))
    # 1,000 neighbours of 500 rows each: .5 +- .02, twice that since neighbours come in pairs.
    assert told_apart(drawn[:500], drawn[500:]) == pytest.approx(0.5, abs=0.12)
    assert told_apart(drawn[:500], drawn[500:] + 20) == 1


def test_synthetic_rows_have_the_mean_of_real_ones_and_gaussian_ones_their_covariance():
    options = PlantedOptions(world="planted", features=12, units=8).expand()[0]
    rows = planted(options, seeded(0)).draw(4000, seeded(1)).rows
    zeros = torch.zeros(8)
    identity = Dictionary(torch.eye(8), torch.eye(8), zeros, zeros, zeros, zeros, "relu")
    for kind in KINDS_OF_ROWS:
        made = simulate(identity, rows, kind, 20_000, seeded(2))
        assert_close(made.mean(0), rows.mean(0), atol=0.03, rtol=0)
    gaussian = simulate(identity, rows, "gaussian", 20_000, seeded(2))
    assert_close(torch.cov(gaussian.T), torch.cov(rows.T), atol=0.05, rtol=0)


def test_a_latent_that_is_there_again_returns():
    options = {"method": "topk_sae", "n_latents": 12, "k": 2, "seeds": [0], **TINY}
    found = self_simulation(small({"name": "self_simulation", "refits": 2}, {"topk": options}), {}).squeeze()
    assert found.source.values.tolist() == ["real", "copula", "independent", "gaussian"]
    assert float(found.told_apart.sel(source="real")) < 0.7
    one = found.expand_dims(["world", "decomposition"])
    assert self_simulation_figure.headline(one).startswith("Planted, topk: latents return with")
