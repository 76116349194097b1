"""A null keeps what the data explain, draws the rest uniformly, and moves what it says it moves."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from torch.nn.functional import normalize
from torch.testing import assert_close

from homolog.alignment.nulls import (
    eigenvalue_blocks,
    haar_rotation,
    permute_rows,
    permute_within,
    spectral_rotation,
    spectral_rotations,
)

SPECTRUM = torch.tensor([10.0, 9, 8, 7, 6, 5.5, 2, 1.9, 1.8, 1.5, 0.2, 0.19, 0.18, 0.17, 0.15, 0, 0, 0]).double()
BLOCKS = [slice(0, 6), slice(6, 10), slice(10, 15), slice(15, 18)]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def vectors():
    return haar_rotation(18, seeded(7))


@pytest.fixture
def covariance(vectors):
    return vectors @ SPECTRUM.diag() @ vectors.T


def test_blocks_follow_the_spectrum_and_variance_zero_stands_apart():
    assert eigenvalue_blocks(SPECTRUM) == BLOCKS


def test_a_block_is_grown_to_the_minimum_and_a_short_remainder_joins_the_one_before():
    steep = 10.0 ** -torch.arange(10).double() * 10
    assert eigenvalue_blocks(steep) == [slice(0, 4), slice(4, 10)]
    assert eigenvalue_blocks(steep, minimum=3) == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert eigenvalue_blocks(steep[:2]) == [slice(0, 2)]


def test_no_block_goes_on_beyond_a_clear_fall():
    """Eight equal variances and four of a tenth, as 120 rows show them: half of the largest lies within the eight."""
    eigenvalues = torch.tensor([1.4, 1.25, 1.1, 1.0, 0.95, 0.85, 0.69, 0.62, 0.12, 0.1, 0.09, 0.06]).double()
    assert eigenvalue_blocks(eigenvalues, fall=0.5) == [slice(0, 8), slice(8, 12)]
    assert eigenvalue_blocks(eigenvalues) == [slice(0, 6), slice(6, 12)]
    # What is too short for a block of its own goes to the nearer neighbour.
    between = torch.tensor([8.0, 7, 6, 5, 4, 1, 0.9, 0.1, 0.09, 0.08, 0.07]).double()
    assert eigenvalue_blocks(between, fall=0.5) == [slice(0, 7), slice(7, 11)]
    assert eigenvalue_blocks(between, minimum=2, fall=0.5) == [slice(0, 5), slice(5, 7), slice(7, 11)]


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=30),
    ratio=st.floats(0.01, 1),
    minimum=st.integers(1, 6),
    fall=st.floats(0, 1),
)
def test_blocks_tile_the_spectrum_with_enough_directions_each(values, ratio, minimum, fall):
    eigenvalues = torch.tensor(sorted(values, reverse=True)).double()
    blocks = eigenvalue_blocks(eigenvalues, ratio, minimum, fall)
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(len(values)))
    live = int((eigenvalues > 1e-10 * eigenvalues[0]).sum())
    sizes = [block.stop - block.start for block in blocks if block.start < live]
    assert all(size >= min(minimum, live) for size in sizes)


def test_a_spectrum_of_nothing_is_one_block():
    assert eigenvalue_blocks(torch.zeros(3)) == [slice(0, 3)]
    assert eigenvalue_blocks(torch.zeros(0)) == []


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"ratio": 0.0}, "ratio = 0"), ({"ratio": 1.5}, "ratio = 1.5"), ({"minimum": 0}, "minimum = 0")],
)
def test_blocks_refuse_senseless_limits(kwargs, message):
    with pytest.raises(ValueError, match=message):
        eigenvalue_blocks(SPECTRUM, **kwargs)


def test_blocks_refuse_an_ascending_spectrum():
    with pytest.raises(ValueError, match=r"2 of 3 are larger.*sort them"):
        eigenvalue_blocks(torch.arange(3.0))


@pytest.mark.parametrize("seed", range(3))
def test_a_spectral_rotation_is_orthogonal_and_keeps_the_gram_matrix(covariance, seed):
    rotation = spectral_rotation(covariance, seeded(seed))
    dictionary = torch.randn(25, 18, generator=seeded(seed), dtype=torch.float64)
    rotated = dictionary @ rotation
    assert_close(rotation @ rotation.T, torch.eye(18).double())
    assert_close(rotated @ rotated.T, dictionary @ dictionary.T)
    assert (rotated - dictionary).norm() > 0.5 * dictionary.norm()


@pytest.mark.parametrize("seed", range(3))
def test_a_spectral_rotation_keeps_subspaces_and_variance_where_an_isotropic_one_does_not(covariance, vectors, seed):
    atoms = torch.randn(25, 18, generator=seeded(seed), dtype=torch.float64) * SPECTRUM.sqrt() @ vectors.T
    variance = torch.einsum("iu,uv,iv->i", atoms, covariance, atoms)

    def kept(rotation):
        rotated = atoms @ rotation
        ratio = torch.einsum("iu,uv,iv->i", rotated, covariance, rotated) / variance
        shares = [((rotated @ vectors[:, b]).norm(dim=1) - (atoms @ vectors[:, b]).norm(dim=1)) for b in BLOCKS]
        return bool(((ratio >= 0.5) & (ratio <= 2)).all()), float(torch.stack(shares).abs().max())

    in_range, moved = kept(spectral_rotation(covariance, seeded(seed)))
    assert in_range  # every block of this spectrum spans at most a factor of 2
    assert moved < 1e-9
    in_range, moved = kept(haar_rotation(18, seeded(seed)))
    assert not in_range
    assert moved > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_what_is_held_stays_block_by_block_and_all_else_turns(covariance, vectors, seed):
    """A vector that is long in the first block and short, for the variance there, in the third one."""
    first, last = BLOCKS[0], BLOCKS[2]
    long, short = 2 * SPECTRUM[first].mean().sqrt(), 0.5 * SPECTRUM[last].mean().sqrt()
    across = torch.randn(2, 18, generator=seeded(seed)).double()
    parts = [
        normalize(one[block], dim=0) @ vectors[:, block].T for one, block in zip(across, (first, last), strict=True)
    ]
    vector = long * parts[0] + short * parts[1]
    (rotation,) = spectral_rotations(covariance, 1, seeded(seed), held=vector)
    assert_close(parts[0] @ rotation, parts[0])
    assert (parts[1] @ rotation - parts[1]).norm() > 0.1
    assert_close(rotation @ rotation.T, torch.eye(18).double())
    for block in BLOCKS:
        projector = vectors[:, block] @ vectors[:, block].T
        assert_close(rotation @ projector @ rotation.T, projector)


def test_of_a_plane_in_which_one_direction_is_held_the_other_changes_its_sign_at_most():
    """Nothing of less variance comes in for it."""
    variances = torch.tensor([1.0, 0.9, 0.01, 0.009, 0.008]).double()
    held = torch.tensor([2.0, 1.0, 0, 0, 0]).double()
    other = normalize(torch.tensor([1.0, -2.0, 0, 0, 0]).double(), dim=0)
    turned = [other @ r for r in spectral_rotations(variances.diag(), 20, seeded(0), minimum=2, fall=0.5, held=held)]
    signs = torch.stack(turned) @ other
    assert_close(signs.abs(), torch.ones(20).double())
    assert -1 < signs.mean() < 1


@pytest.mark.parametrize("block", BLOCKS)
def test_within_a_block_directions_have_the_law_of_uniform_ones(covariance, vectors, block):
    size = block.stop - block.start
    direction = vectors[:, block.start]
    cosines = torch.stack([direction @ r @ direction for r in spectral_rotations(covariance, 2000, seeded(1))]).numpy()
    # Squared cosine of uniform directions: Beta(1/2, (d - 1)/2). False-alarm rate of each line 1e-4.
    assert stats.kstest(cosines**2, stats.beta(0.5, (size - 1) / 2).cdf).pvalue > 1e-4
    assert stats.binomtest(int((cosines > 0).sum()), 2000).pvalue > 1e-4
    expected = special.gamma(size / 2) / (special.gamma((size + 1) / 2) * torch.pi**0.5)
    error = (1 / size - expected**2) ** 0.5 / 2000**0.5
    assert abs(abs(cosines).mean() - expected) < 4 * error


@pytest.mark.parametrize("n", [1, 2, 3])
def test_haar_has_the_moments_of_the_orthogonal_group(n):
    generator = seeded(n)
    draws = torch.stack([haar_rotation(n, generator) for _ in range(4000)])
    assert_close(draws @ draws.mT, torch.eye(n).double().expand_as(draws))
    # E trace = 0 and E trace^2 = 1 (Diaconis & Shahshahani 1994), E det = 0: 5 standard errors each. Without the sign
    # fix the trace is biased.
    trace = draws.diagonal(dim1=1, dim2=2).sum(1)
    for sample, truth in [(trace, 0), (trace**2, 1), (torch.linalg.det(draws), 0)]:
        assert abs(sample.mean() - truth) <= 5 * sample.std() / 4000**0.5 + 1e-9


def test_draws_are_reproducible_different_and_the_first_is_the_single_one(covariance):
    first, second = spectral_rotations(covariance, 2, seeded(0))
    assert_close(spectral_rotation(covariance, seeded(0)), first, rtol=0, atol=0)
    assert (first - second).norm() > 1


def test_a_covariance_is_square_symmetric_and_finite(covariance, no_shape_checks):
    with pytest.raises(ValueError, match=r"square.*\(2, 3\)"):
        spectral_rotation(torch.ones(2, 3), seeded(0))
    with pytest.raises(ValueError, match="1 such entries"):
        spectral_rotation(torch.tensor([[torch.nan]]), seeded(0))
    with pytest.raises(ValueError, match=r"symmetric.*mirror image by up to 1 "):
        spectral_rotation(covariance + torch.ones(18, 18).triu(1), seeded(0))


def test_a_float32_covariance_with_rounding_is_accepted(covariance):
    rotation = spectral_rotation((covariance + 1e-7 * torch.ones(18, 18).triu(1)).float(), seeded(0))
    assert_close(rotation @ rotation.T, torch.eye(18).double())


@given(labels=st.lists(st.integers(-2, 3), min_size=7, max_size=40), seed=st.integers(0, 2**32))
def test_a_permutation_within_labels_keeps_them_and_is_a_permutation(labels, seed):
    labels = torch.tensor(labels)
    index = permute_within(labels, seeded(seed))
    assert labels[index].equal(labels)
    assert index.sort().values.equal(torch.arange(len(labels)))


def test_permutations_are_uniform():
    generator = seeded(0)
    labels = torch.tensor([1, 0, 1, 0, 1])  # 3! * 2! = 12 permutations
    within = Counter(tuple(permute_within(labels, generator).tolist()) for _ in range(3000))
    everywhere = Counter(tuple(permute_rows(3, generator).tolist()) for _ in range(3000))
    assert len(within) == 12
    assert len(everywhere) == 6
    for counts in (within, everywhere):  # false-alarm rate 1e-4 each
        assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_all_inputs_permute_what_classes_explain_and_permutation_within_does_not():
    labels = torch.arange(10).repeat_interleave(50)
    codes = labels + 0.1 * torch.randn(500, generator=seeded(0))
    r = [
        float(torch.corrcoef(torch.stack([codes, codes[index]]))[0, 1])
        for index in (permute_rows(500, seeded(1)), permute_within(labels, seeded(1)))
    ]
    assert abs(r[0]) < 5 / 500**0.5
    assert r[1] > 0.99


@pytest.mark.parametrize("labels", [torch.arange(5), torch.zeros(1, dtype=torch.long)])
def test_labels_that_let_nothing_move_are_refused(labels):
    with pytest.raises(ValueError, match=f"all {len(labels)} labels .* coarsen"):
        permute_within(labels, seeded(0))
