"""Matchings find a planted pairing, agree with exhaustive search, and score on what they did not select on."""

from itertools import permutations
from math import lcm
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from homolog.alignment import matching as matchings
from homolog.alignment.matching import MATCHINGS, match, match_values
from homolog.alignment.similarity import cosine
from homolog.alignment.transport import transport_plan


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_there_are_matchings():
    assert set(MATCHINGS) == {"rank", "hungarian", "mutual_best", "best", "best_a_to_b", "best_b_to_a", "soft"}


@given(m=st.integers(1, 5), n=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_hungarian_is_the_best_of_all_assignments(m, n, seed):
    similarity = gaussian(m, n, seed=seed)
    wide = similarity if m <= n else similarity.T
    rows = torch.arange(len(wide))
    exhaustive = max(float(wide[rows, list(order)].sum()) for order in permutations(range(wide.shape[1]), len(wide)))
    matched = match(similarity, similarity, "hungarian")
    assert matched.value == pytest.approx(exhaustive / min(m, n))
    assert int((matched.index >= 0).sum()) == min(m, n)
    assert matched.per_latent.isnan().equal(matched.index < 0)
    taken = matched.index[matched.index >= 0].tolist()
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("matching", ["hungarian", "mutual_best", "best", "best_a_to_b", "best_b_to_a", "soft"])
def test_a_shuffled_dictionary_is_found_again_but_not_by_rank(matching):
    dictionary = gaussian(12, 30)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    similarity = cosine(dictionary, dictionary[order])
    matched = match(similarity, similarity, matching)
    assert matched.value == pytest.approx(1)
    assert matched.index.tolist() == (order if matching == "best_b_to_a" else order.argsort()).tolist()
    assert match(similarity, similarity, "rank").value < 0.5


@given(m=st.integers(1, 6), n=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_free_choice_is_never_worse_than_one_to_one(m, n, seed):
    similarity = gaussian(m, n, seed=seed)
    one_to_one = match(similarity, similarity, "hungarian")
    free = match(similarity, similarity, "best_a_to_b")
    matched = one_to_one.index >= 0
    assert (free.per_latent[matched] >= one_to_one.per_latent[matched]).all()
    assert one_to_one.value >= match(similarity, similarity, "rank").value - 1e-12


@given(m=st.integers(1, 6), n=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_best_is_the_mean_of_its_directions_which_swap_with_the_dictionaries(m, n, seed):
    selection, scoring = gaussian(m, n, seed=seed), gaussian(m, n, seed=seed + 1)
    forth, back = match(selection, scoring, "best_a_to_b"), match(selection, scoring, "best_b_to_a")
    assert match(selection, scoring, "best").value == pytest.approx((forth.value + back.value) / 2)
    assert forth.per_latent.shape == (m,)
    assert back.per_latent.shape == (n,)
    swapped = match(selection.T, scoring.T, "best_a_to_b")
    assert back.value == swapped.value
    assert back.index.equal(swapped.index)


@pytest.mark.parametrize("matching", ["hungarian", "best", "best_a_to_b", "best_b_to_a", "soft"])
def test_pairs_are_selected_on_one_half_and_scored_on_the_other(matching):
    selection = gaussian(40, 40)
    circular = match(selection, selection, matching)
    honest = match(selection, gaussian(40, 40, seed=1), matching)
    assert circular.index.equal(honest.index)
    assert circular.value > 1.5
    # Unrelated halves: each entry of per_latent is standard normal, 5 standard errors (false-alarm rate 6e-7).
    assert abs(honest.per_latent.mean()) < 5 / 40**0.5


@pytest.mark.parametrize(("m", "n"), [(2, 4), (4, 2)])
def test_rank_matches_as_far_as_both_go(m, n):
    similarity = gaussian(m, n)
    matched = match(similarity, similarity, "rank")
    assert matched.index.tolist() == [0, 1, -1, -1][:m]
    assert_close(matched.per_latent[:2], similarity.diagonal())
    assert matched.per_latent[2:].isnan().all()
    assert matched.value == pytest.approx(float(similarity.diagonal().mean()))


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (5, 3), (1, 1), (0, 3), (3, 0)])
def test_a_stack_is_matched_like_each_of_its_matrices(matching, shape):
    selection, scoring = gaussian(2, 3, *shape), gaussian(2, 3, *shape, seed=1)
    each = [[match(selection[i, j], scoring[i, j], matching).value for j in range(3)] for i in range(2)]
    assert_close(match_values(selection, scoring, matching), torch.tensor(each).double(), equal_nan=True)


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_match_has_no_value(matching, shape):
    matched = match(torch.zeros(shape), torch.zeros(shape), matching)
    assert matched.value != matched.value
    assert len(matched.index) == len(matched.per_latent) == shape[1 if matching == "best_b_to_a" else 0]
    assert (matched.index == -1).all()
    assert matched.per_latent.isnan().all()


def test_an_unknown_matching_lists_what_there_is():
    with pytest.raises(
        ValueError, match=r"'optimal'.*rank, hungarian, mutual_best, best, best_a_to_b, best_b_to_a, soft"
    ):
        match(torch.ones(1, 1), torch.ones(1, 1), "optimal")


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_is_refused_and_counted(matching, bad):
    good, holed = gaussian(3, 4), gaussian(3, 4)
    holed[0, :2] = bad
    for selection, scoring, name in [(holed, good, "selection"), (good, holed, "scoring")]:
        with pytest.raises(ValueError, match=f"2 of 12 entries of the {name} similarity"):
            match(selection, scoring, matching)


def test_matrices_of_other_dictionaries_are_refused(no_shape_checks):
    with pytest.raises(ValueError, match=r"\(2, 3\) and scoring \(3, 2\)"):
        match_values(torch.ones(2, 3), torch.ones(3, 2), "rank")


@pytest.mark.parametrize("matching", ["hungarian", "mutual_best", "best", "best_a_to_b", "best_b_to_a", "soft"])
def test_latents_that_selection_can_not_tell_apart_are_matched_by_index(matching):
    """Two latents that fire on one and the same input are alike there; a run is still itself, latent by latent."""
    selection = torch.eye(4).double()
    selection[1:3, 1:3] = 1
    assert match(selection, torch.eye(4).double(), matching).value == 1


@given(m=st.integers(1, 30), n=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_large_dictionaries_are_matched_as_well_as_small_ones(m, n, seed):
    similarity = gaussian(m, n, seed=seed)
    small = match(similarity, similarity, "hungarian")
    with patch.object(matchings, "LARGE", 1):
        large = match(similarity, similarity, "hungarian")
    assert large.value == pytest.approx(small.value)
    assert large.per_latent.isnan().equal(large.index < 0)


@given(m=st.integers(1, 8), n=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_mutual_best_are_the_pairs_that_chose_each_other(m, n, seed):
    selection, scoring = gaussian(m, n, seed=seed), gaussian(m, n, seed=seed + 1)
    forth, back = (match(selection, scoring, f"best_{way}").index.tolist() for way in ("a_to_b", "b_to_a"))
    mutual = match(selection, scoring, "mutual_best")
    assert mutual.index.tolist() == [j if back[j] == i else -1 for i, j in enumerate(forth)]
    # The largest similarity of all is the best of its row and of its column.
    assert mutual.index.amax() >= 0
    assert mutual.value == pytest.approx(float(mutual.per_latent.nanmean()))
    swapped = match(selection.T, scoring.T, "mutual_best")
    assert [(i, j) for i, j in enumerate(mutual.index.tolist()) if j >= 0] == sorted(
        (i, j) for j, i in enumerate(swapped.index.tolist()) if i >= 0
    )


@given(m=st.integers(1, 9), n=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_a_plan_moves_all_mass_and_is_the_best_assignment_of_equal_shares(m, n, seed):
    """Latents cut into lcm(m, n) shares of equal mass are assigned one to one: the plan's other definition."""
    similarity, shares = gaussian(m, n, seed=seed), lcm(m, n)
    plan = transport_plan(similarity)
    assert (plan >= 0).all()
    assert_close(plan.sum(1), torch.full((m,), 1 / m).double())
    assert_close(plan.sum(0), torch.full((n,), 1 / n).double())
    cut = similarity.repeat_interleave(shares // m, 0).repeat_interleave(shares // n, 1)
    rows, columns = linear_sum_assignment(cut.numpy(), maximize=True)
    assert float((plan * similarity).sum()) == pytest.approx(float(cut[rows, columns].mean()), abs=1e-12)


@given(m=st.integers(1, 8), n=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_soft_matching_is_the_plans_similarity_from_either_side(m, n, seed):
    selection, scoring = gaussian(m, n, seed=seed), gaussian(m, n, seed=seed + 1)
    forth, back = match(selection, scoring, "soft"), match(selection.T, scoring.T, "soft")
    assert forth.value == pytest.approx(back.value)
    assert forth.value == pytest.approx(float((transport_plan(selection) * scoring).sum()))
    assert forth.value == pytest.approx(float(forth.per_latent.mean()))
    assert forth.per_latent.shape == forth.index.shape == (m,)


def test_soft_matching_finds_a_latent_that_was_split():
    """Each latent of a has three copies in b: all its mass goes there, and nothing is left over."""
    a = torch.nn.functional.normalize(gaussian(5, 40), dim=1)
    similarity = cosine(a, a.repeat_interleave(3, 0))
    matched = match(similarity, similarity, "soft")
    assert_close(matched.per_latent, torch.ones(5).double())
    assert (matched.index // 3).tolist() == list(range(5))
    assert match(similarity, similarity, "hungarian").value == pytest.approx(1)
    assert match(similarity.T, similarity.T, "soft").value == pytest.approx(1)


def test_transport_refuses_nothing_and_what_is_not_a_number():
    with pytest.raises(ValueError, match="between 0 latents and 3"):
        transport_plan(torch.zeros(0, 3))
    with pytest.raises(ValueError, match=r"1 of 6 similarities, shape \(2, 3\), are NaN or infinite"):
        transport_plan(torch.tensor([[0, 0, torch.nan], [0, 0, 0]]))
