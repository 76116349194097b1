"""Does the comparison at equal FVU find, on curves in closed form, how many samples are needed against ours?"""

import math

import pytest

from benchmarks.peers.equal import Equal, Trainings, common_l0, compare, fvu_at

LENGTHS = (250, 500, 1000)


def curve(slower: float, l0: float = 8.0) -> Trainings:
    """FVU falls as the root of the samples, of which it needs so many times as many as the plain curve."""
    return {steps: [((steps / slower) ** -0.5, l0)] for steps in LENGTHS}


@pytest.mark.parametrize("slower", [0.4, 0.7, 1.0, 1.3, 3.0])
def test_samples_to_an_equal_fvu_are_those_of_the_curves(slower: float) -> None:
    found = compare(curve(1), curve(slower))
    assert found is not None
    assert found.ratio == pytest.approx(slower)
    assert found.fvu == pytest.approx((1000 / max(1, slower)) ** -0.5)
    assert not found.bound


@pytest.mark.parametrize(("slower", "bound"), [(0.1, "<="), (10, ">=")])
def test_what_the_shortest_training_reaches_already_is_a_bound(slower: float, bound: str) -> None:
    found = compare(curve(1), curve(slower))
    assert found is not None
    assert (found.ratio, found.bound) == (4 if slower > 1 else 0.25, bound)


def test_nothing_is_said_where_the_shortest_trainings_are_as_good_as_the_longest() -> None:
    flat: Trainings = {steps: [(0.5, 8.0)] for steps in LENGTHS}
    assert compare(flat, flat) == Equal(0.5, 8.0, 1.0, "?")


def test_frontiers_are_compared_at_an_l0_that_all_span() -> None:
    """FVU of 1 - log2(L0) / 10 is linear in log L0, so that reading between members is exact."""

    def frontier(*l0s: float) -> list[tuple[float, float]]:
        return [(1 - math.log2(l0) / 10, l0) for l0 in l0s]

    assert common_l0([frontier(4, 8, 16), frontier(32, 2), frontier(5, 9)]) == pytest.approx(math.sqrt(45))
    assert fvu_at(frontier(16, 2, 8), 4) == pytest.approx(0.8)
    assert common_l0([frontier(1, 2), frontier(3, 4)]) is None
    assert compare({10: frontier(1, 2)}, {10: frontier(3, 4)}) is None


def test_dead_members_are_left_out() -> None:
    whole: Trainings = {steps: [(0.5, 2.0), (0.25, 8.0)] for steps in LENGTHS}
    with_dead = {steps: [(1.0, 0.0), *points] for steps, points in whole.items()}
    assert compare(whole, with_dead) == compare(whole, whole) == Equal(pytest.approx(0.375), 4.0, 1.0, "?")
    assert compare(whole, {10: [(1.0, 0.0)]}) is None
