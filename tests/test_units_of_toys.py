"""Do tests of tails name the laws that numbers are drawn from, and are curves, turns and widths what they say?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from making import seeded
from scipy import stats
from torch.testing import assert_close

from homolog.analyses.tails import tails, verdicts
from homolog.analyses.tuning import _families, tuning
from homolog.figures import tails as tails_figure
from homolog.figures import tuning as tuning_figure
from homolog.toys import convnets
from homolog.toys.curves import ANGLES, best_turned, curve, largest_gap, turned, width_of
from homolog.toys.tails import FEWEST, accepted, falls, likelihood, tail_of


def drawn(kind: str, rows: int = 1500, columns: int = 40) -> torch.Tensor:
    if kind == "exponential":
        return torch.empty(rows, columns).exponential_(generator=seeded(1))
    return torch.randn(rows, columns, generator=seeded(1)).abs()


def test_likelihoods_are_those_of_scipy():
    values = drawn("half-normal", 200, 1)
    there = torch.ones_like(values, dtype=torch.bool)
    y = values[:, 0].double().numpy()
    # Best scales in closed form: the mean, and the root mean square.
    expected = {1.0: stats.expon.logpdf(y, scale=y.mean()), 2.0: stats.halfnorm.logpdf(y, scale=(y**2).mean() ** 0.5)}
    for exponent, each in expected.items():
        assert float(likelihood(values, there, exponent)[0]) == pytest.approx(each.sum(), abs=1e-6)
    scale = (3 * (y**3).mean()) ** (1 / 3)
    normal = stats.gennorm.logpdf(y, 3, scale=scale) + math.log(2)
    assert float(likelihood(values, there, 3.0)[0]) == pytest.approx(normal.sum(), abs=1e-6)
    one, two = expected.values()
    vuong = (one - two).sum() / ((one - two).std() * len(y) ** 0.5)
    assert float(falls(values, there).vuong[0]) == pytest.approx(vuong, abs=1e-6)


@pytest.mark.parametrize(("kind", "exponent"), [("exponential", 1.0), ("half-normal", 2.0)])
def test_planted_laws_are_named_and_rejected_as_often_as_is_said(kind, exponent):
    values = drawn(kind)
    fitted = falls(values, torch.ones_like(values, dtype=torch.bool))
    # 1,500 numbers: the exponent's standard error is about .04 of itself.
    assert_close(fitted.exponent.median().float(), torch.tensor(exponent), rtol=0.03, atol=0)
    own, other = fitted.p_exponential, fitted.p_half_normal
    own, other = (own, other) if exponent == 1 else (other, own)
    # 40 uniform p-values: 9 below .05 once in 10^4 times.
    assert int((own < 0.05).sum()) < 9
    assert float(other.max()) < 1e-6
    assert bool(((fitted.vuong > 0) == (exponent == 1)).all())
    said = verdicts(values, 1.0, 0.05)
    name, wrong = ("exponential", "half_normal") if exponent == 1 else ("half_normal", "exponential")
    assert said[name] > 0.9
    assert said[wrong] == said["untested"] == 0


def test_exponential_tails_have_no_memory_and_what_is_off_is_no_tail():
    values = drawn("exponential", 4000, 10)
    above, there = tail_of(values, 0.25)
    assert_close(there.double().mean(0), torch.full((10,), 0.25, dtype=torch.float64), atol=1e-3, rtol=0)
    assert_close(torch.where(there, above, 0).sum(0) / there.sum(0), torch.ones(10).double(), atol=0.15, rtol=0)
    rare = torch.where(torch.arange(4000)[:, None] < 40, values, 0)
    above, there = tail_of(rare, 0.25)
    assert (there.sum(0) == 40).all()
    assert_close(above[there], rare[there].double())
    few = torch.where(torch.arange(4000)[:, None] < FEWEST - 1, values, 0)
    assert verdicts(few, 0.25, 0.05)["untested"] == 1


def test_false_discoveries_are_those_of_benjamini_and_yekutieli():
    p = np.array([0.001, 0.2, np.nan, 0.9])
    # The first is adjusted by 3 * (1 + 1/2 + 1/3).
    assert accepted(p, 0.0056).tolist() == [False, True, False, True]
    assert accepted(p, 0.0054).tolist() == [True, True, False, True]


def test_tails_of_small_networks_are_told():
    options = {"task": "digits", "units": 8, "shares": [0.3, 1.0], "level": 0.05, "rows": 200, "replicates": 3}
    options |= {"steps": 20, "lr": 1e-2, "batch_size": 32}
    found = tails({"experiment": "tiny", "options": options, "decompositions": []}, {})
    every = sum(found[name] for name in ("exponential", "half_normal", "neither", "open"))
    live = found.untested.values < 1
    assert_close(torch.from_numpy(every.values[live]), torch.ones(int(live.sum())).double())
    assert float(found.survival.sel(kind="exponential")[0]) == 0
    assert tails_figure.headline(found).startswith("3 networks trained on digits")


def test_curves_turn_with_their_angle_and_lines_are_themselves_after_half_a_turn():
    for curvature in (0.0, 0.3):
        one = curve(9, 0.0, curvature, 1.5)
        assert float(one[4, 4]) == 1
        quarter = curve(9, math.pi / 2, curvature, 1.5)
        assert_close(quarter, one.T)
        half = curve(9, math.pi, curvature, 1.5)
        assert_close(half, one.flip(0, 1), atol=1e-6, rtol=0)
        assert torch.allclose(half, one) == (curvature == 0)
    # Bent to the right of the middle, where the centre of its circle is.
    axis = torch.arange(9.0) - 4
    assert float((curve(9, 0.0, 0.3, 1.5) * axis).sum()) > 0
    bent = curve(9, 0.0, 0.3, 1.5)
    seen = turned(bent[None])[0]
    assert_close(seen[0], bent, atol=1e-5, rtol=0)
    inside = torch.hypot(*torch.meshgrid(axis, axis, indexing="ij")) < 3
    wanted = curve(9, math.pi / 2, 0.3, 1.5)
    assert_close(seen[ANGLES // 4][inside], wanted[inside], atol=1e-4, rtol=0)


def test_widths_gaps_and_likeness_of_known_tuning():
    angles = torch.arange(ANGLES) * 2 * math.pi / ANGLES
    cosine = 1 + torch.cos(angles - 1.0)
    peak = torch.zeros(ANGLES)
    peak[5] = 1
    # A cosine is above its middle for half a turn; one step alone falls linearly by half a step on each side.
    widths = width_of(torch.stack([cosine, peak, torch.ones(ANGLES)]))
    assert float(widths[0]) == pytest.approx(180, abs=3)
    assert float(widths[1]) == pytest.approx(360 / ANGLES)
    assert widths[2].isnan()
    assert largest_gap(torch.tensor([350.0, 10.0, 90.0, 180.0])) == 170
    assert largest_gap(torch.tensor([20.0])) == 360
    near = best_turned(torch.stack([cosine, peak]), torch.stack([cosine.roll(7), peak.roll(3)]))
    assert_close(near.diagonal(), torch.ones(2))
    assert float(near[0, 1]) < 0.6


def test_members_of_a_convolution_do_not_see_each_other():
    parameters = convnets.start(3, (4, 6), 10, seeded(2))
    images = torch.rand(3, 5, 8, 8, generator=seeded(3))
    together = convnets.outputs(parameters, images)
    for i in range(3):
        alone = convnets.outputs({name: one[i : i + 1] for name, one in parameters.items()}, images[i : i + 1])
        assert_close(together[i : i + 1], alone)
    # A unit sees `FIELD` pixels on each side and no more.
    image = torch.rand(3, 1, 13, 13, generator=seeded(4))
    middle, margin = 6, convnets.FIELD // 2
    inside = torch.zeros(13, 13)
    inside[middle - margin : middle + margin + 1, middle - margin : middle + margin + 1] = 1
    whole, cut = (convnets.units(parameters, one)[..., middle, middle] for one in (image, image * inside))
    assert_close(whole, cut)
    smaller = inside.clone()
    smaller[middle - margin] = 0
    assert not torch.allclose(whole, convnets.units(parameters, image * smaller)[..., middle, middle])


def test_the_same_units_in_another_order_return_and_turned_ones_do_not():
    answers = torch.rand(1, 12, 2, ANGLES, generator=seeded(5))
    shuffled = answers[:, torch.randperm(12, generator=seeded(6))]
    likeness, null = _families([torch.cat([answers, shuffled])] * 2, "trained")
    assert_close(likeness.astype(float), np.ones((2, 12)), atol=1e-5, rtol=0)
    assert null.mean() < 0.6


def test_tuning_of_small_networks_is_told():
    options = {"channels": [2, 4], "curvatures": [0.0, 0.3], "replicates": 3, "steps": 5, "lr": 1e-2, "batch_size": 8}
    found = tuning({"experiment": "tiny", "options": options}, {})
    assert_close(torch.from_numpy(found.profile.max("angle").values), torch.ones(2).double())
    assert_close(torch.from_numpy(found.preferred.sum("angle").values), torch.ones(2).double())
    assert tuning_figure.headline(found).startswith("3 networks (accuracy")
