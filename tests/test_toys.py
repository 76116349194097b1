"""Do small networks that train together learn what each would alone, and what is known of them in closed form?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.replicates import interval, over_replicates
from homolog.analyses.superposition import superposition
from homolog.figures import superposition as superposition_figure
from homolog.figures.numbers_report import pages, runs_table, summary, table
from homolog.toys.bottleneck import Bottlenecks, dimensionality, outputs, sample, start, turned_at_random
from homolog.toys.phases import ALONE, IGNORED, SHARED, exact_losses, phase_losses, sharing_begins
from homolog.toys.training import train_members


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def polygon(corners: int) -> torch.Tensor:
    angle = 2 * math.pi * torch.arange(corners, dtype=torch.float64) / corners
    return torch.stack([angle.cos(), angle.sin()], 1)


def simplex(corners: int) -> torch.Tensor:
    """Corners of a regular simplex around 0, in one dimension more than it has."""
    return torch.eye(corners, dtype=torch.float64) - 1 / corners


def antiprism() -> torch.Tensor:
    """Two squares, one turned by half a right angle, so far apart that all three axes hold as much."""
    turned = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / math.sqrt(2)
    squares = torch.cat([polygon(4), polygon(4) @ turned])
    return torch.cat([squares, torch.tensor([1.0, -1.0]).repeat_interleave(4)[:, None] / math.sqrt(2)], 1)


def test_bounds_of_shares_are_cut_at_0_and_1_and_others_are_not():
    values = {name: (("replicate",), np.array([0.2, 1.0, 1.0])) for name in ("found", "found_null", "foundling")}
    told = over_replicates(values, {}, shares=("found",))
    assert [float(told[f"{name}_high"]) for name in ("found", "found_null")] == [1, 1]
    assert float(told.foundling_high) > 1
    assert float(told.found_low) == float(told.foundling_low.clip(0))


@pytest.mark.parametrize(
    ("weight", "share"),
    [
        (torch.eye(3, dtype=torch.float64), 1.0),
        (torch.tensor([[1.0], [-1.0]], dtype=torch.float64), 1 / 2),
        (polygon(3), 2 / 3),
        (polygon(5), 2 / 5),
        (simplex(4), 3 / 4),
        (torch.cat([torch.eye(2), -torch.eye(2)]).double(), 1 / 2),
        (antiprism(), 3 / 8),
    ],
    ids=["basis", "antipodal pair", "triangle", "pentagon", "tetrahedron", "square", "square antiprism"],
)
def test_dimensionalities_of_polytopes(weight, share):
    assert_close(dimensionality(weight[None])[0], torch.full((len(weight),), share, dtype=torch.float64))
    assert_close(dimensionality(3 * weight[None]), dimensionality(weight[None]))


def test_a_feature_without_a_weight_has_no_share():
    weight = torch.cat([torch.eye(2), torch.zeros(1, 2)])[None]
    assert dimensionality(weight).tolist() == [[1.0, 1.0, 0.0]]


def problem(members: int):
    """Toy models that read the same rows, from starts of their own."""
    begun = start(members, 6, 2, seeded(1))
    rows = sample(torch.full((members,), 0.7), 32, 6, seeded(2))[:1].expand(members, -1, -1)
    return begun, rows


def test_members_train_as_they_would_alone():
    begun, rows = problem(3)

    def trained(parameters, inputs):
        return train_members(
            parameters, lambda own, step: ((outputs(own, inputs) - inputs) ** 2).sum(2).mean(1), 40, 1e-2
        )

    together = trained(begun, rows)
    for member in range(3):
        alone = trained({name: one[member : member + 1] for name, one in begun.items()}, rows[:1])
        for name, values in alone.items():
            assert_close(together[name][member], values[0], rtol=1e-4, atol=1e-5)
            assert not torch.allclose(values, begun[name][member : member + 1])


def test_training_begins_from_what_is_given_and_leaves_it_alone():
    begun, rows = problem(2)
    before = {name: one.clone() for name, one in begun.items()}
    seen = []
    train_members(
        begun,
        lambda own, step: ((outputs(own, rows) - rows) ** 2).sum(2).mean(1),
        3,
        1e-2,
        watch=lambda own, step: seen.append((step, own["weight"].clone())),
    )
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    assert_close(seen[0][1], before["weight"], rtol=0, atol=0)
    assert_close(begun, before, rtol=0, atol=0)


def test_a_member_that_diverges_is_named():
    begun, _ = problem(3)
    slope = torch.tensor([1.0, float("inf"), 1.0])
    with pytest.raises(ValueError, match=r"member 1 diverged: its loss is .* at lr = 0.01: lower lr"):
        train_members(begun, lambda own, step: own["weight"].sum((1, 2)) * slope, 2, 1e-2)


def test_two_sparse_features_in_one_dimension_become_antipodal():
    """Elhage et al. (2022): an antipodal pair, where ReLU keeps the two apart; each has half of the dimension."""
    member = torch.full((4,), 0.9)
    draws = seeded(4)

    def losses(own, step):
        inputs = sample(member, 128, 2, draws)
        return ((outputs(own, inputs) - inputs) ** 2).sum(2).mean(1)

    trained = train_members(start(4, 2, 1, seeded(3)), losses, 600, 2e-2)
    pairs = trained["weight"].prod(1).squeeze(1)
    assert (pairs < -0.5).any(), "one start in two has both weights of one sign, and may stay there"
    assert_close(dimensionality(trained["weight"])[pairs < -0.5].mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_an_interval_holds_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).standard_normal((5, 4000))
    _, low, high = interval(draws)
    # 4,000 intervals of 95 %: outside of 94 to 96 % once in 270 times.
    assert 0.94 < ((low < 0) & (high > 0)).mean() < 0.96


def test_what_isnt_known_of_a_replicate_is_left_out():
    mean, low, high = interval(np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0], [np.nan, 7.0]]))
    assert mean.tolist() == [2.0, 6.0]
    half = 4.302653 / math.sqrt(3)  # t of 2 degrees of freedom, standard deviation 1
    np.testing.assert_allclose([low[0], high[0]], [2 - half, 2 + half], rtol=1e-6)
    assert np.isnan([low[1], high[1]]).all(), "two replicates have no interval worth the name"


def test_numbers_are_told_with_their_place_and_bounds():
    values = np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    dataset = over_replicates(
        {"height": (("kind", "replicate"), values), "total": (("replicate",), values.sum(0))},
        {"kind": ["a", "b"]},
        {"height": "how high it is"},
    ).assign_attrs(replicates=3)
    frame = table(pages(dataset)[0])
    assert frame[["variable", "at", "value"]].to_numpy().tolist() == [
        ["height", "kind=a", 2.0],
        ["height", "kind=b", 4.0],
        ["total", "", 6.0],
    ]
    assert frame.low[1] == frame.high[1] == 4.0
    said = summary(dataset, "It is high.")
    assert said.startswith("It is high.\n")
    assert "height: how high it is" in said
    assert "kind=b" in said
    assert runs_table(dataset).to_numpy().tolist() == [["replicates", 3]]


def test_a_variable_without_replicates_is_refused():
    with pytest.raises(ValueError, match="height has the dims kind; replicate is needed among them"):
        over_replicates({"height": (("kind",), np.ones(2))}, {})


def test_one_draw_serves_every_sparsity():
    sparsity = torch.tensor([0.0, 0.0, 0.7, 0.7])
    rows = sample(sparsity, 4000, 3, seeded(5), draws=2)
    # 12,000 values: the mean of a uniform deviates by .02 once in 10^9 times, a share by .02 once in 10^6 times.
    for member, absent in enumerate(sparsity.tolist()):
        assert_close((rows[member] == 0).double().mean(), torch.tensor(absent).double(), atol=0.02, rtol=0)
        assert_close(rows[member][rows[member] > 0].mean(), torch.tensor(0.5), atol=0.02, rtol=0)
    assert ((rows[2] > 0) <= (rows[0] > 0.69)).all()
    assert not torch.equal(rows[0], rows[1])


def test_random_directions_keep_norms_and_share_dimensions_as_a_spread_out_set_does():
    weight = torch.rand(50, 12, 4, generator=seeded(6))
    turned = turned_at_random(weight, seeded(7))
    assert_close(turned.norm(dim=2), weight.norm(dim=2))
    # Unit rows in d dimensions: E of the sum over others is (n - 1) / d, so that a share lies near 1 / (1 + 11 / 4).
    shares = dimensionality(torch.nn.functional.normalize(turned, dim=2))
    assert_close((1 / shares).mean(), torch.tensor(1 + 11 / 4), atol=0.1, rtol=0)


def test_losses_of_two_features_are_those_in_closed_form():
    present, importance = torch.tensor([0.05, 0.3, 0.9]), torch.tensor([0.2, 1.0, 5.0])
    absent = present / 2
    zeros, ones = torch.zeros(3), torch.ones(3)
    arrangements = {
        IGNORED: (torch.stack([ones, zeros], 1), torch.stack([zeros, absent], 1)),
        SHARED: (torch.stack([ones, -ones], 1), torch.zeros(3, 2)),
        ALONE: (torch.stack([zeros, ones], 1), torch.stack([absent, zeros], 1)),
    }
    expected = phase_losses(present, importance)
    for phase, (weight, bias) in arrangements.items():
        found = exact_losses({"weight": weight[..., None], "bias": bias}, present, importance)
        # A midpoint rule of 8 points: E[min^2] is 1/6 to 1 %.
        assert_close(found, expected[phase], rtol=0.02, atol=0)


def test_the_border_of_sharing_is_where_two_losses_are_equal():
    present = torch.tensor([0.01, 0.2, 0.5], dtype=torch.float64)
    ignored, shared, alone = phase_losses(present, sharing_begins(present))
    assert_close(ignored, shared)
    _, shared, alone = phase_losses(present, 1 / sharing_begins(present))
    assert_close(alone, shared)
    assert_close(sharing_begins(torch.tensor([4 / 7], dtype=torch.float64)).item(), 1.0)


def test_five_rare_features_in_two_units_become_a_pentagon():
    """Elhage et al. (2022), the first figure: sparsity 0.9 in two dimensions; each has 2/5 of one."""
    models = Bottlenecks([0.9], 12, torch.ones(5), 2, 1000, 1e-2, 128)
    trained, losses = models.train("test", "pentagon")
    best = trained["weight"][0, losses[0].argmin()]
    assert_close(dimensionality(best), torch.full((5,), 2 / 5), atol=0.02, rtol=0)
    angles = torch.atan2(best[:, 1], best[:, 0]).sort().values.rad2deg()
    assert_close(angles.diff(), torch.full((4,), 72.0), atol=4, rtol=0)


def test_superposition_tells_phases_pairs_and_importance():
    options = {"features": 8, "units": 2, "sparsities": [0.0, 0.7], "replicates": 3, "cells": 3}
    options |= {"steps": 300, "lr": 1e-2, "batch_size": 64}
    found = superposition({"experiment": "tiny", "options": options}, {})
    # Derived without biases and with weights of 1: near its border training does a little better otherwise.
    assert found.as_derived > 0.85
    second = found.second.values
    # Two features of equal importance that are rare share the unit; without importance one has none of it.
    assert abs(second[1, 1] - 1) < 0.1
    assert second[-1, 0] < 0.1
    assert_close(torch.from_numpy(found.dimensionality.sum("bin").values[1:]), torch.ones(1).double())
    norm = found.norm.values
    assert (norm[:, :2].min(1) > norm[:, -5:].max(1)).all(), "the most important come first"
    assert superposition_figure.headline(found).startswith("8 features through 2 units.")
