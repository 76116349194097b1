"""Matchings find a planted pairing, agree with exhaustive search, and score on what they did not select on."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from homolog.alignment.matching import MATCHINGS, match, match_values
from homolog.alignment.similarity import cosine


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_there_are_matchings():
    assert set(MATCHINGS) == {"rank", "hungarian", "best", "best_a_to_b", "best_b_to_a"}


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


@pytest.mark.parametrize("matching", ["hungarian", "best", "best_a_to_b", "best_b_to_a"])
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


@pytest.mark.parametrize("matching", ["hungarian", "best", "best_a_to_b", "best_b_to_a"])
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
    with pytest.raises(ValueError, match=r"'optimal'.*rank, hungarian, best, best_a_to_b, best_b_to_a"):
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


@pytest.mark.parametrize("matching", ["hungarian", "best", "best_a_to_b", "best_b_to_a"])
def test_latents_that_selection_can_not_tell_apart_are_matched_by_index(matching):
    """Two latents that fire on one and the same input are alike there; a run is still itself, latent by latent."""
    selection = torch.eye(4).double()
    selection[1:3, 1:3] = 1
    assert match(selection, torch.eye(4).double(), matching).value == 1
