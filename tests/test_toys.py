"""Do small networks that train together learn what each would alone, and what is known of them in closed form?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.replicates import interval, over_replicates
from homolog.figures.numbers_report import pages, runs_table, summary, table
from homolog.toys.bottleneck import dimensionality, outputs, sample, start
from homolog.toys.training import train_members


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def polygon(corners: int) -> torch.Tensor:
    angle = 2 * math.pi * torch.arange(corners, dtype=torch.float64) / corners
    return torch.stack([angle.cos(), angle.sin()], 1)


def simplex(corners: int) -> torch.Tensor:
    """Corners of a regular simplex around 0, in one dimension more than it has."""
    return torch.eye(corners, dtype=torch.float64) - 1 / corners


@pytest.mark.parametrize(
    ("weight", "share"),
    [
        (torch.eye(3, dtype=torch.float64), 1.0),
        (torch.tensor([[1.0], [-1.0]], dtype=torch.float64), 1 / 2),
        (polygon(3), 2 / 3),
        (polygon(5), 2 / 5),
        (simplex(4), 3 / 4),
        (torch.cat([torch.eye(2), -torch.eye(2)]).double(), 1 / 2),
    ],
    ids=["basis", "antipodal pair", "triangle", "pentagon", "tetrahedron", "square"],
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
