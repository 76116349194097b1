"""Do small networks of the founding questions find what is known: filters, few samples, sizes of data sets?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.arrangement import arrangement, empty_directions
from homolog.analyses.double_descent import _peak, double_descent
from homolog.analyses.top_m import top_m
from homolog.figures import arrangement as arrangement_figure
from homolog.figures import double_descent as double_descent_figure
from homolog.figures import top_m as top_m_figure
from homolog.toys import bottleneck
from homolog.toys.arrangement import arranged, blurred, groups, in_planes, interference, is_factor, rank_of, welch_bound
from homolog.toys.few_samples import batch, draw, most_dimensional
from homolog.toys.top_m import alignment, keep_at_random, keep_largest, keep_largest_turned, participation
from homolog.toys.training import train_members


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_filters_keep_as_many_units_as_they_are_told():
    activations = torch.rand(2, 50, 7, generator=seeded(), dtype=torch.float64)
    top = keep_largest(activations, 3)
    assert ((top > 0).sum(-1) == 3).all()
    assert torch.equal(top.amax(-1), activations.amax(-1))
    assert ((activations >= top.masked_fill(top == 0, 2).amin(-1, keepdim=True)).sum(-1) == 3).all()
    assert ((keep_at_random(activations, 3, seeded(1)) > 0).sum(-1) == 3).all()
    for kept in (7, 9):
        assert torch.equal(keep_largest(activations, kept), activations)
        assert_close(keep_at_random(activations, kept, seeded(1)), activations)
    identity = torch.eye(7, dtype=torch.float64).expand(2, -1, -1)
    assert_close(keep_largest_turned(activations, 3, identity), top)
    turned = torch.linalg.qr(torch.randn(2, 7, 7, generator=seeded(2), dtype=torch.float64)).Q
    assert_close(keep_largest_turned(activations, 7, turned), activations)
    assert (((keep_largest_turned(activations, 3, turned) @ turned).abs() > 1e-9).sum(-1) == 3).all()


def test_a_random_filter_keeps_the_mean():
    kept = keep_at_random(torch.ones(1, 20_000, 5), 2, seeded(3))
    # Shares of 2 in 5, times 5 / 2: 20,000 rows deviate by .05 once in 10^8 times.
    assert_close(kept.mean(1), torch.ones(1, 5), atol=0.05, rtol=0)


def test_alignment_and_spread_of_known_directions():
    vectors = torch.stack([torch.tensor([3.0, 0, 0, 0]), torch.ones(4), torch.tensor([1.0, -1.0, 0, 0])])
    assert_close(alignment(vectors), torch.tensor([1.0, 0.5, 1 / math.sqrt(2)]))
    assert_close(participation(vectors), torch.tensor([1.0, 4.0, 2.0]))
    random = torch.randn(4000, 60, generator=seeded(4))
    # A direction is uniform on the sphere, where E[sum u^4] = 3 / (d + 2), and 1 / participation is that sum.
    assert_close((1 / participation(random)).mean(), torch.tensor(3 / 62), atol=1e-3, rtol=0)


def test_the_filter_is_free_where_it_keeps_all_units():
    options = {"features": [6], "ratios": [0.5], "kept": 4, "active": 1.0, "replicates": 3}
    found = top_m({"experiment": "tiny", "options": options | {"steps": 20, "lr": 1e-2, "batch_size": 16}}, {})
    assert_close(torch.from_numpy(found.gap.values), torch.zeros(1, 1, 4).double(), atol=1e-6, rtol=0)
    assert top_m_figure.headline(found).startswith("6 features, 4 units kept.")
    both = top_m(
        {"experiment": "tiny", "options": options | {"ratios": [0.5, 2.0], "steps": 5, "lr": 1e-2, "batch_size": 16}},
        {},
    )
    # Nothing at the width where all are kept, so that what is more below is what it doesn't cost above.
    assert_close(both.more_below.values, -both.gap.sel(ratio=2.0).values, atol=1e-6, rtol=0)
    assert "Below the number of features it costs" in top_m_figure.headline(both)


@pytest.mark.slow
def test_top_m_puts_features_on_units_and_random_or_turned_filters_do_not():
    options = {"features": [12], "ratios": [1.0], "kept": 4, "active": 1.5, "replicates": 3}
    found = top_m({"experiment": "small", "options": options | {"steps": 1000, "lr": 1e-2, "batch_size": 128}}, {})
    at = found.isel(features=0, ratio=0)
    top, turned = float(at.alignment.sel(filter="top_m")), float(at.alignment.sel(filter="rotated_top_m"))
    assert top > turned + 0.1
    assert top > float(at.alignment_null) + 0.15


def test_samples_have_unit_norm_and_so_many_features():
    samples = draw(2, 3000, 40, 4.0, seeded(5))
    assert_close(samples.norm(dim=2)[samples.any(2)], torch.ones(int(samples.any(2).sum())))
    # 6,000 samples of 4 +- 1.9 features: their mean deviates by .15 once in 10^9 times.
    assert_close((samples > 0).sum(2).double().mean(), torch.tensor(4.0).double(), atol=0.15, rtol=0)


def test_a_batch_is_the_whole_set_or_that_many_rows_of_each_replicate():
    samples = torch.arange(12.0).reshape(2, 6, 1)
    assert torch.equal(samples[batch(samples, 6, seeded())], samples)
    drawn = samples[batch(samples, 4, seeded())]
    assert drawn.shape == (2, 4, 1)
    assert (drawn[0] < 6).all()
    assert (drawn[1] >= 6).all()


def test_five_samples_without_a_common_feature_become_a_pentagon():
    """Henighan et al. (2023): few samples are kept as polygons. Orthogonal ones are features in another basis."""
    samples = torch.zeros(10, 5, 20)
    for sample in range(5):
        samples[:, sample, 4 * sample : 4 * sample + 4] = 0.5

    def losses(own, step):
        return ((bottleneck.outputs(own, samples) - samples) ** 2).sum(2).mean(1)

    trained = train_members(bottleneck.start(10, 20, 2, seeded(6)), losses, 1000, 5e-3, warm_up=0.05)
    best = trained["weight"][losses(trained, 0).argmin()]
    hidden = samples[0] @ best
    # Each feature whose output no sample reaches from the start costs 1/20 of a sample; and any pentagon that is wide
    # enough loses nothing, not the regular one alone, of which the shares are 2/5.
    assert losses(trained, 0).min() < 0.11
    shares = bottleneck.dimensionality(hidden)
    assert_close(shares, torch.full((5,), 2 / 5), atol=0.08, rtol=0)
    angles = torch.atan2(hidden[:, 1], hidden[:, 0]).sort().values.rad2deg()
    gaps = torch.cat([angles.diff(), angles[:1] + 360 - angles[-1:]])
    assert gaps.min() > 55
    assert gaps.max() < 95
    assert_close(most_dimensional((samples[0] @ best)[None]).mean(), shares.topk(4).values.mean())
    # A feature has less than a sample: four share its direction.
    assert bottleneck.dimensionality(best).median() < 0.15 < shares.min()


def test_sizes_of_data_sets_are_told_apart():
    options = {"features": 20, "units": 2, "active": 2.0, "samples": [2, 50], "digits_samples": [10, 60]}
    options |= {"task": "digits", "digits_units": 6, "replicates": 3, "steps": 150, "lr": 1e-2, "batch_size": 50}
    found = double_descent({"experiment": "tiny", "options": options}, {})
    with_peak = np.array([[9.0, 5.0], [2.0, 4.0], [3.0, 3.0], [1.0, 2.0]])
    told = {name: one.tolist() for name, (_, one) in _peak([2, 10, 20, 30], with_peak, 2).items()}
    # The first size holds whatever there is; between which of the others it rises is chosen by the other replicate.
    assert told == {"peak": [20, 10], "rise": [0, -1], "fall": [1, 1]}
    told = {name: one.tolist() for name, (_, one) in _peak([2, 10, 20, 30], with_peak[:, [0, 0, 0]], 2).items()}
    assert told == {"peak": [20] * 3, "rise": [1] * 3, "fall": [2] * 3}
    # Two samples in two dimensions have one each, or half of one as a pair; 50 share two.
    assert float(found.best_sample[0]) > 0.45
    assert float(found.best_sample[1]) < 0.3
    assert float(found.train_loss[0]) < 0.2 < float(found.test_loss[0])
    assert_close(torch.from_numpy(found.sample_dimensionality.sum("bin").values), torch.ones(2).double())
    assert float(found.digits_test_accuracy[1]) > 0.3
    assert double_descent_figure.headline(found).startswith("20 features through 2 units.")


@pytest.mark.slow
def test_the_test_loss_is_worst_where_samples_give_way_to_features():
    """Henighan et al. (2023): a peak between the two regimes; here near as many samples as features."""
    options = {"features": 100, "units": 3, "active": 3.0, "samples": [10, 100, 1000], "digits_samples": [10]}
    options |= {"task": "digits", "digits_units": 4, "replicates": 3, "steps": 2000, "lr": 5e-3, "batch_size": 200}
    found = double_descent({"experiment": "small", "options": options}, {})
    before, peak, after = found.test_loss.values
    assert peak > before + 0.05
    assert peak > after + 0.05
    assert found.best_feature.values[2] > found.best_feature.values[1] + 0.02


def polygon(corners: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def pairs(dimensions: int) -> np.ndarray:
    return np.concatenate([np.eye(dimensions), -np.eye(dimensions)])


def shares_of(directions: np.ndarray) -> np.ndarray:
    return bottleneck.dimensionality(torch.from_numpy(directions)).numpy()


def test_tight_frames_meet_the_welch_bound_and_random_directions_have_one_over_root_d():
    simplex = np.eye(5) - 1 / 5
    simplex /= np.linalg.norm(simplex, axis=1, keepdims=True)
    for directions, units in ((polygon(5), 2), (pairs(4), 4), (simplex, 4), (np.eye(3), 3)):
        assert interference(directions)["rms"] == pytest.approx(welch_bound(len(directions), units), abs=1e-12)
    random = np.random.default_rng(0).standard_normal((400, 50))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    # The seed's 1 / sqrt(d), here of 79,800 pairs.
    assert interference(random)["rms"] == pytest.approx(1 / np.sqrt(50), rel=0.03)
    assert interference(random)["rms"] > welch_bound(400, 50)
    assert interference(pairs(3)) == {"rms": pytest.approx(np.sqrt(1 / 5)), "largest_positive": 0.0, "largest": 1.0}


@pytest.mark.parametrize(("count", "units"), [(5, 6), (9, 6), (13, 5), (24, 6)])
def test_planted_factors_are_found_and_an_error_hides_them(count, units):
    generator = torch.Generator().manual_seed(count)
    planted = in_planes(count, units, generator)
    assert arranged(planted)["in_factors"] == 1
    moved = blurred(planted, 0.6, generator)
    assert_close((moved * planted).sum(1), torch.full((count,), 0.6, dtype=torch.float64))
    assert_close(blurred(planted, 1.0, generator), planted)
    assert arranged(moved)["in_factors"] < 1


def test_a_product_of_polytopes_is_taken_apart_and_a_single_one_is_no_factor():
    pentagon, pair = np.zeros((5, 4)), np.zeros((2, 4))
    pentagon[:, :2], pair[:, 2] = polygon(5), [1, -1]
    turned = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    directions = np.concatenate([pentagon, pair, np.eye(4)[3:]]) @ turned
    of, shares = groups(directions), shares_of(directions)
    assert np.bincount(of).tolist() == [5, 2, 1]
    for group, rank in enumerate((2, 1, 1)):
        assert rank_of(directions[of == group]) == rank
        assert is_factor(shares[of == group], rank, 4)
    assert not is_factor(shares_of(polygon(5)), 2, 2), "it spans everything"
    lone = np.concatenate([np.eye(3)[:2], [[0.6, 0.8, 0.0]]])
    assert not is_factor(shares_of(lone)[[0, 2]], 2, 3), "three directions of a plane without a regular arrangement"


def test_dimensions_without_a_feature_are_empty_and_the_others_are_not():
    model = {"weight": torch.eye(3, 5), "bias": torch.zeros(3)}
    inputs = bottleneck.sample(torch.tensor([0.5]), 200, 3, seeded(7))[0]
    assert empty_directions(model, inputs) == 2
    turn = torch.linalg.qr(torch.randn(5, 5, generator=seeded(8))).Q
    assert empty_directions(model | {"weight": model["weight"] @ turn}, inputs) == 2


def test_sparse_features_form_factors_and_one_too_few_leaves_a_dimension_empty():
    options = {"features": [2, 6], "units": 3, "sparsities": [0.7], "replicates": 3}
    options |= {"steps": 500, "lr": 1e-2, "batch_size": 128}
    found = arrangement({"experiment": "tiny", "options": options}, {}).isel(sparsity=0)
    assert float(found.empty[0]) == 1
    assert float(found.empty[1]) == 0
    assert float(found.rms[1]) < float(found.rms_null[1])
    assert float(found.rms[1]) >= float(found.welch[1]) - 1e-6
    assert arrangement_figure.headline(found.expand_dims("sparsity")).startswith("3 units.")
