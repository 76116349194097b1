"""Ranks that are nearly equal are compared as subspaces, which don't change when their basis does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from making import make_member
from torch.testing import assert_close

from homolog.alignment.blocks import block_labels, compare_blocks
from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine
from homolog.decompositions.fit import fit_members
from homolog.registry import METHODS


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(*shape, seed=0):
    return torch.linalg.qr(gaussian(*shape, seed=seed).T).Q.T


LABELS = torch.tensor([0, 0, 0, 1, 2, 2])


def turned_in_blocks(directions, labels, seed=1):
    """Each block in another basis of its own span."""
    turned = directions.clone()
    for block in labels.unique():
        here = labels == block
        turned[here] = orthonormal(int(here.sum()), int(here.sum()), seed=seed) @ directions[here]
    return turned


@given(seed=st.integers(0, 2**32))
def test_another_basis_of_each_block_is_the_same_but_not_latent_by_latent(seed):
    a = orthonormal(6, 20)
    b = turned_in_blocks(a, LABELS, seed)
    blocks = compare_blocks(a, b, LABELS, LABELS)
    assert blocks.label.equal(LABELS)
    assert_close(blocks.overlap, torch.ones(3).double())
    assert blocks.value == pytest.approx(1)


def test_single_latents_of_a_block_in_another_basis_are_not_found_again():
    a = orthonormal(6, 20)
    similarity = cosine(a, turned_in_blocks(a, LABELS)).abs()
    assert match(similarity, similarity, "rank").value < 0.99


@pytest.mark.parametrize("dims", [50, 200])
def test_unrelated_blocks_overlap_by_their_share_of_the_space(dims):
    """E tr(P Q) / k = k / dims for a random subspace; over 200 draws its mean is within 5 of its standard errors."""
    labels = torch.zeros(10, dtype=torch.long)
    draws = torch.tensor(
        [
            compare_blocks(orthonormal(10, dims), orthonormal(10, dims, seed=seed), labels, labels).value
            for seed in range(1, 201)
        ]
    )
    assert abs(draws.mean() - 10 / dims) < 5 * draws.std() / 200**0.5


def test_a_block_ends_only_where_both_sides_end_one():
    a = orthonormal(6, 20)
    blocks = compare_blocks(a, a[:5], torch.tensor([0, 1, 1, 2, 3, 4]), torch.tensor([0, 0, 0, 1, 2]))
    assert blocks.label.tolist() == [0, 0, 0, 1, 2]
    assert_close(blocks.overlap, torch.ones(3).double())


def test_blocks_count_by_their_size():
    a = orthonormal(4, 20)
    b = torch.cat([a[:3], orthonormal(5, 20)[4:]])  # The last is orthogonal to the first four.
    labels = torch.tensor([0, 0, 0, 1])
    assert compare_blocks(a, b, labels, labels).value == pytest.approx(3 / 4)


def test_a_latent_that_adds_no_dimension_adds_no_overlap():
    a = orthonormal(2, 20)
    labels = torch.zeros(2, dtype=torch.long)
    assert compare_blocks(a, a[[0, 0]], labels, labels).value == pytest.approx(1 / 2)


def test_importances_that_fall_clearly_end_a_block():
    labels = block_labels(torch.tensor([10.0, 9.9, 9.8, 5.0, 4.9, 0.0, 0.0]), gap=0.1)
    assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert block_labels(torch.ones(0)).tolist() == []
    assert block_labels(torch.ones(1)).tolist() == [0]


def test_nothing_to_compare_has_no_value():
    none = torch.zeros(0, dtype=torch.long)
    blocks = compare_blocks(torch.zeros(0, 3), torch.zeros(2, 3), none, torch.tensor([0, 1]))
    assert blocks.value != blocks.value
    assert len(blocks.label) == len(blocks.overlap) == 0


@pytest.mark.parametrize("importance", [[1.0, 2.0], [1.0, torch.nan], [1.0, -1.0]])
def test_importances_without_an_order_are_refused(importance):
    with pytest.raises(ValueError, match="finite, not negative and in falling order"):
        block_labels(torch.tensor(importance))


def test_labels_that_are_no_runs_of_ranks_are_refused(no_shape_checks):
    a = orthonormal(3, 9)
    with pytest.raises(ValueError, match="the 3 labels of b, which has 3 latents, some fall or are missing"):
        compare_blocks(a, a, torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]))
    with pytest.raises(ValueError, match="the 2 labels of a, which has 3 latents"):
        compare_blocks(a, a, torch.tensor([0, 0]), torch.tensor([0, 0, 1]))


def test_canonical_variates_that_tie_at_1_are_arbitrary_and_their_span_is_not():
    """A hook point and an invertible image of it, as untrained layers nearly are: every correlation is 1."""
    x = gaussian(4000, 6, seed=3)
    image = x @ gaussian(6, 6, seed=4)
    halves = [
        make_member("cca", x[rows].float(), image[rows].float(), rows=name, n_latents=6)
        for name, rows in (("a", slice(None, None, 2)), ("b", slice(1, None, 2)))
    ]
    a, b = fit_members(METHODS["cca"], halves)
    assert_close(a.importance.double(), torch.ones(6).double(), atol=1e-4, rtol=0)
    found = cosine(a.directions, b.directions).abs()
    # Two fits to halves of one cloud, rank by rank: hardly more alike than at random (|cos| .33 in 6 dimensions).
    assert float(found.diagonal().mean()) < 0.8
    assert block_labels(a.importance).tolist() == [0] * 6
    labels = torch.zeros(6, dtype=torch.long)
    assert compare_blocks(a.directions, b.directions, labels, labels).value == pytest.approx(1)
