"""Similarities are known by what they are blind to: each holds under its own symmetry and fails under a wider one."""

import math
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.testing import assert_close

from homolog.alignment.nulls import haar_rotation
from homolog.alignment.representations import canonical
from homolog.alignment.representations.canonical import canonical_correlations, excess_correlations
from homolog.alignment.representations.kernel import linear_cka
from homolog.alignment.representations.procrustes import procrustes_rotation
from homolog.alignment.representations.units import unit_permutation
from homolog.alignment.similarity import cosine, standardise


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def activations():
    return gaussian(60, 6)


@pytest.fixture
def stretch():
    """An invertible map that is far from a rotation, with condition number 20."""
    generator = torch.Generator().manual_seed(1)
    return haar_rotation(6, generator) @ torch.linspace(1, 20, 6).double().diag() @ haar_rotation(6, generator)


def test_cosine_is_one_on_the_diagonal_and_blind_to_positive_scales_only():
    rows = gaussian(5, 7)
    scales = torch.linspace(0.1, 10, 5).double()[:, None]
    assert_close(cosine(rows, rows * scales).diagonal(), torch.ones(5).double())
    assert_close(cosine(rows, -rows).diagonal(), -torch.ones(5).double())


def test_cosine_of_a_zero_row_is_zero():
    rows = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    assert_close(cosine(rows, torch.eye(3)), rows.double())


def test_cosine_of_float32_is_computed_in_float64():
    rows = gaussian(4, 9).float()
    assert cosine(rows, rows).dtype == torch.float64
    assert_close(cosine(rows, rows).diagonal(), torch.ones(4).double(), rtol=0, atol=1e-15)


def test_cosine_refuses_two_spaces(no_shape_checks):
    with pytest.raises(ValueError, match=r"length 3 and b of 4 .*view that both"):
        cosine(torch.ones(2, 3), torch.ones(2, 4))


def test_standardised_codes_multiply_to_pearson():
    a, b = gaussian(40, 3), gaussian(40, 2, seed=1) + 5
    expected = torch.tensor([[stats.pearsonr(x, y).statistic for y in b.T.numpy()] for x in a.T.numpy()])
    assert_close(standardise(a) @ standardise(b).T, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_constant_code_has_correlation_zero_even_if_rounded(dtype, constant):
    codes = torch.full((1001, 2), constant, dtype=dtype)
    codes[::3, 1] = torch.nextafter(codes[0, 1], torch.tensor(torch.inf, dtype=dtype))
    expected = torch.zeros(1001, dtype=torch.float64)
    assert_close(standardise(codes)[0], expected, rtol=0, atol=0)
    if constant:
        assert_close(standardise(codes)[1], expected, rtol=0, atol=0)


def test_a_small_variation_on_a_large_mean_is_not_constant():
    codes = gaussian(100, 1) * 1e-6 + 1
    assert_close(standardise(codes), standardise(gaussian(100, 1)), atol=1e-8, rtol=0)


def test_cca_ignores_an_invertible_map_and_cka_does_not(activations, stretch):
    mapped = activations @ stretch + 3
    assert_close(canonical_correlations(activations, mapped), torch.ones(6).double())
    assert linear_cka(activations, mapped).value < 0.95


def test_cka_ignores_rotation_scale_and_shift(activations):
    moved = 7 * activations @ haar_rotation(6, torch.Generator().manual_seed(3)) - 2
    assert linear_cka(activations, moved).value == pytest.approx(1)
    assert linear_cka(activations, activations).value == pytest.approx(1)


def test_cka_of_a_constant_is_undefined(activations):
    assert math.isnan(linear_cka(activations, torch.full((60, 2), 0.1).double()).value)


@pytest.mark.parametrize(("p", "q", "n"), [(6, 5, 9), (8, 8, 9), (3, 8, 10), (9, 9, 11)])
def test_few_samples_make_correlations_exactly_one(p, q, n):
    correlations = canonical_correlations(gaussian(n, p), gaussian(n, q, seed=1))
    ones = min(p + q - (n - 1), min(p, q))
    assert_close(correlations[:ones], torch.ones(ones).double())
    assert (correlations[ones:] < 1 - 1e-6).all()


def test_r2_of_independent_data_has_the_null_of_its_size():
    n, p, q = 50, 7, 4
    r2 = [
        canonical_correlations(gaussian(n, p, seed=s), gaussian(n, q, seed=s + 1000)).square().mean()
        for s in range(300)
    ]
    r2 = torch.stack(r2)
    # 5 standard errors: false-alarm rate 6e-7.
    assert abs(r2.mean() - max(p, q) / (n - 1)) < 5 * r2.std() / len(r2) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cca_cuts_directions_that_are_only_rounding(dtype):
    low_rank = (gaussian(200, 3) @ gaussian(3, 12, seed=1) + 10).to(dtype)
    correlations = canonical_correlations(low_rank, gaussian(200, 5, seed=2).to(dtype))
    assert correlations.shape == (3,)
    assert canonical_correlations(low_rank, low_rank[:, :1] * 0 + 0.1).shape == (0,)


def test_cca_is_symmetric_and_finds_a_planted_correlation():
    x = gaussian(20000, 3)
    y = torch.cat([0.6 * x[:, :1] + 0.8 * gaussian(20000, 1, seed=1), gaussian(20000, 1, seed=2)], dim=1)
    correlations = canonical_correlations(x, y)
    assert_close(correlations, canonical_correlations(y, x))
    # The standard error of a correlation of 0.6 is 0.64 / sqrt(20000) = 0.0045: 5 of them, false-alarm rate 6e-7.
    assert abs(correlations[0] - 0.6) < 0.0225


def test_cca_refuses_other_samples(no_shape_checks):
    with pytest.raises(ValueError, match=r"same samples.*\(5, 2\) and \(6, 2\)"):
        canonical_correlations(torch.ones(5, 2), torch.ones(6, 2))
    with pytest.raises(ValueError, match="at least 2"):
        linear_cka(torch.ones(1, 2), torch.ones(1, 2))


def test_procrustes_finds_a_planted_rotation_and_no_rotation_undoes_a_stretch(activations, stretch):
    rotation = haar_rotation(6, torch.Generator().manual_seed(2))
    assert_close(procrustes_rotation(activations, activations @ rotation), rotation)
    fitted = procrustes_rotation(activations, activations @ stretch)
    assert_close(fitted @ fitted.T, torch.eye(6).double())
    assert (activations @ fitted - activations @ stretch).norm() > 0.1 * (activations @ stretch).norm()


@given(seed=st.integers(0, 2**32))
def test_no_rotation_beats_procrustes(seed):
    source, target = gaussian(10, 3, seed=seed), gaussian(10, 3, seed=seed + 1)
    best = (source @ procrustes_rotation(source, target) - target).norm()
    other = haar_rotation(3, torch.Generator().manual_seed(seed))
    assert best <= (source @ other - target).norm() + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_unit_permutation_finds_a_relu_symmetry_in_noise(seed):
    target = gaussian(200, 8, seed=seed).relu()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    source = torch.empty_like(target)
    source[:, order] = target * torch.linspace(0.5, 20, 8) + 0.05 * gaussian(200, 8, seed=seed + 10)
    assert unit_permutation(source, target).tolist() == order.tolist()


def test_maps_of_units_need_equal_widths(no_shape_checks):
    for fit in (procrustes_rotation, unit_permutation):
        with pytest.raises(ValueError, match=r"\(9, 2\) and \(9, 3\).*different widths"):
            fit(torch.ones(9, 2), torch.ones(9, 3))


@pytest.mark.parametrize("seed", range(5))
def test_planted_correlations_are_counted_where_ranks_against_the_plain_null_overcount(seed):
    shared = gaussian(150, 3, seed=seed)
    x = torch.cat([shared, gaussian(150, 9, seed=seed + 100)], dim=1)
    y = torch.cat([shared + 0.3 * gaussian(150, 3, seed=seed + 200), gaussian(150, 9, seed=seed + 300)], dim=1)
    # A fourth is found with probability 5 % at most, a fifth far more rarely.
    found = excess_correlations(x, y, draws=99, generator=torch.Generator().manual_seed(seed))
    assert found.count in (3, 4)
    assert found.samples_per_unit == 150 / 12
    generator = torch.Generator().manual_seed(seed)
    null = [canonical_correlations(x, y[torch.randperm(150, generator=generator)]) for _ in range(99)]
    plain = torch.stack(null).quantile(0.95, dim=0)
    assert (found.correlations > plain).sum() > 4


@pytest.mark.parametrize("samples", [400, 26], ids=["many samples", "few"])
def test_null_of_the_rest_is_that_of_an_orthonormal_basis_of_it(samples):
    """The Gram matrix of what is left serves as well as its basis does, and where too little is left that is taken."""
    x, y = gaussian(samples, 12), gaussian(samples, 12, seed=1)
    y[:, :4] += 3 * x[:, :4]
    basis_x, basis_y = (torch.linalg.qr(side - side.mean(0))[0] for side in (x, y))
    u, _, vh = torch.linalg.svd(basis_x.T @ basis_y)
    x, y = basis_x @ u, basis_y @ vh.T
    taken = torch.linalg.qr(torch.cat([x[:, :4], y[:, :4]], 1))[0]
    null = canonical._leading_null(x[:, 4:], y[:, 4:], taken, torch.Generator().manual_seed(0))
    found = list(islice(null, 19))
    generator, largest = torch.Generator().manual_seed(0), []
    for _ in range(19):
        permuted = y[torch.randperm(samples, generator=generator), 4:]
        basis = torch.linalg.svd(permuted - taken @ (taken.T @ permuted), full_matrices=False)[0]
        largest.append(torch.linalg.matrix_norm(x[:, 4:].T @ basis, 2))
    assert_close(torch.stack(found), torch.stack(largest), rtol=0, atol=1e-12)


@pytest.mark.parametrize("draws", [19, 20, 39, 99, 100])
def test_draws_end_where_they_cannot_change_what_is_said_of_the_quantile(draws):
    """The same as of all draws at once, and no more are taken than it takes to know."""
    generator = torch.Generator().manual_seed(draws)
    for _ in range(50):
        null, observed = torch.rand(draws, generator=generator), torch.rand((), generator=generator) ** 0.1
        taken = iter(null)
        said = canonical._is_excess(observed, taken, draws)
        assert said == bool(observed > null.sort().values[math.ceil(0.95 * (draws + 1)) - 1])
        left = len(list(taken))
        above = (null[: draws - left] >= observed).sum()
        assert left == 0 if said else above == draws - math.ceil(0.95 * (draws + 1)) + 1


def test_unrelated_activations_rarely_have_excess_correlations():
    trials = 200
    counts = [
        excess_correlations(
            gaussian(30, 4, seed=s), gaussian(30, 5, seed=s + 5000), 19, torch.Generator().manual_seed(s)
        ).count
        for s in range(trials)
    ]
    # At the stated level of 5 % this bound is passed once in a million.
    assert sum(count > 0 for count in counts) <= stats.binom.isf(1e-6, trials, 0.05)


def test_correlations_that_are_one_for_lack_of_samples_are_no_excess():
    found = excess_correlations(gaussian(10, 8), gaussian(10, 8, seed=1), 19, torch.Generator().manual_seed(0))
    assert_close(found.correlations[:7], torch.ones(7).double())
    assert found.count == 0


def test_a_null_needs_enough_draws():
    with pytest.raises(ValueError, match="at least 19 draws, but draws = 18"):
        excess_correlations(gaussian(10, 2), gaussian(10, 2), 18, torch.Generator())
