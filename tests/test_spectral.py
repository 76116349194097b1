"""Do SVD, PCA and CCA find what their definitions say, as numpy and the theorems have it?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from making import PAIRED, gaussian, make_member, method_of, mixed, seeded
from torch.testing import assert_close

from homolog.alignment.nulls import haar_rotation
from homolog.alignment.representations.canonical import canonical_correlations
from homolog.alignment.similarity import cosine

LINEAR = pytest.mark.parametrize("name", ["svd", "pca", "cca", "svcca"])
SAMPLES, UNITS = 120, 7


def fit_one(name, x, partner=None, **changes):
    if partner is None and name in PAIRED:
        partner = mixed(len(x), 6, seed=50).to(x) + x[:, :1]
    return method_of(name).fit([make_member(name, x, partner, **changes)])[0]


@LINEAR
def test_too_many_latents_are_refused_with_the_limit_and_the_shape(name):
    with pytest.raises(ValueError, match=r"at most 7 latents .*\(120, 7\).*n_latents = 8: lower n_latents"):
        fit_one(name, mixed(), partner=mixed(units=12), n_latents=8)
    with pytest.raises(ValueError, match=r"at most 5 latents .*\(5, 7\).*n_latents = 6"):
        fit_one(name, mixed(samples=5), n_latents=6)


def test_cca_finds_no_more_latents_than_its_partner_has_units():
    with pytest.raises(ValueError, match=r"partner can find at most 3 latents .*\(120, 3\).*n_latents = 4"):
        fit_one("cca", mixed(), partner=mixed(units=3))


@pytest.mark.parametrize("name", PAIRED)
def test_cca_without_a_partner_says_so(name):
    with pytest.raises(ValueError, match="second hook point: set `partner`"):
        method_of(name).fit([replace(make_member(name, mixed()), partner=None)])


# SVD and PCA


def test_svd_is_numpys_up_to_signs():
    x = mixed(dtype=torch.float64)
    d = fit_one("svd", x)
    _, singular, right = np.linalg.svd(x.numpy(), full_matrices=False)
    assert_close(d.importance, torch.as_tensor(singular[:4]) / SAMPLES**0.5)
    assert_close((d.directions @ torch.as_tensor(right[:4]).T).abs(), torch.eye(4).double(), atol=1e-10, rtol=0)


def test_pca_is_the_eigenvectors_of_the_covariance():
    x = mixed(dtype=torch.float64)
    d = fit_one("pca", x)
    covariance = torch.cov(x.T, correction=0)
    assert_close(covariance @ d.directions.T, d.directions.T * d.importance**2)
    assert_close(d.directions @ d.directions.T, torch.eye(4).double())


def test_pca_and_svd_differ_by_the_mean_alone():
    x = mixed(dtype=torch.float64)
    centred = x - x.mean(0)
    pca, svd = fit_one("pca", centred), fit_one("svd", centred)
    assert_close(pca.directions, svd.directions)
    assert_close(pca.importance, svd.importance)
    assert_close(fit_one("pca", x).directions, pca.directions)
    assert not torch.allclose(fit_one("svd", x).directions, svd.directions, atol=0.1)


def test_pca_scores_are_uncorrelated_and_raw_svd_scores_are_not():
    x = mixed(dtype=torch.float64)
    pca, svd = (fit_one(name, x) for name in ("pca", "svd"))
    off = torch.corrcoef(pca.codes(x).T) - torch.eye(4).double()
    assert off.abs().max() < 1e-9
    assert_close(pca.codes(x).mean(0), torch.zeros(4).double(), atol=1e-10, rtol=0)
    assert (torch.corrcoef(svd.codes(x).T) - torch.eye(4).double()).abs().max() > 0.05


@pytest.mark.parametrize("name", ["pca", "svd"])
def test_no_other_basis_of_that_size_reconstructs_better(name):
    """Eckart & Young (1936), against random bases and against bases a little beside the fitted one."""
    x = mixed(dtype=torch.float64)
    d = fit_one(name, x)
    fitted = (x - d.reconstruct(d.codes(x))).square().sum()
    for trial in range(20):
        step = 10.0 ** -(trial % 4)
        basis, _ = torch.linalg.qr(d.directions.T + step * gaussian(UNITS, 4, seed=trial))
        other = ((x - d.bias) @ basis @ basis.T - (x - d.bias)).square().sum()
        assert fitted <= other


@LINEAR
def test_linear_latents_are_read_exactly_where_they_are_all_there_is(name):
    """With as many latents as dimensions, nothing is lost."""
    x = mixed(units=4, dtype=torch.float64)
    d = fit_one(name, x)
    assert_close(d.reconstruct(d.codes(x)), x)


# CCA


@pytest.fixture
def two_views():
    """Two sets of activations with three latents in common."""
    common = gaussian(300, 3, seed=11)
    x = common @ gaussian(3, 6, seed=12) + 0.5 * gaussian(300, 6, seed=13)
    y = common @ gaussian(3, 5, seed=14) + 0.5 * gaussian(300, 5, seed=15)
    return x, y


def test_cca_codes_are_the_variates_and_importance_their_correlations(two_views):
    x, y = two_views
    d, e = fit_one("cca", x, y), fit_one("cca", y, x)
    assert_close(d.importance, canonical_correlations(x, y)[:4])
    a, b = d.codes(x), e.codes(y)
    # The two sides' variates, computed apart, correlate by rho with their own partner and with no other.
    norms = a.norm(dim=0)[:, None] * b.norm(dim=0)
    assert_close((a.T @ b / norms).abs(), d.importance.diag(), atol=1e-9, rtol=0)


def unit_variance_codes(d, x):
    """The codes on the scale of the variates: directions are unit patterns, so the codes hold the pattern's norm."""
    codes = d.codes(x)
    return codes / codes.std(0, correction=0)


def test_cca_codes_are_uncorrelated(two_views):
    x, y = two_views
    codes = fit_one("cca", x, y).codes(x)
    assert_close(codes.mean(0), torch.zeros(4).double(), atol=1e-9, rtol=0)
    assert_close(torch.corrcoef(codes.T), torch.eye(4).double(), atol=1e-9, rtol=0)


def test_cca_directions_are_patterns_not_filters(two_views):
    """Sigma W (W' Sigma W)^-1 (Haufe et al., 2014), and codes x pattern is the regression of x on the codes."""
    x, y = two_views
    d = fit_one("cca", x, y)
    sigma, w = torch.cov(x.T, correction=0), d.encoder.T
    patterns = sigma @ w @ torch.linalg.inv(w.T @ sigma @ w)
    assert_close(patterns.T, d.directions)
    regression = torch.linalg.lstsq(d.codes(x), x - x.mean(0)).solution
    assert_close(regression, d.directions)
    assert (cosine(d.directions, d.encoder).diagonal().abs() < 0.99).all()


def test_cca_codes_do_not_see_an_invertible_map(two_views):
    x, y = two_views
    stretch = haar_rotation(6, seeded(1)) @ torch.linspace(1, 20, 6).double().diag() @ haar_rotation(6, seeded(2))
    plain, mapped = fit_one("cca", x, y), fit_one("cca", x @ stretch + 3, y)
    assert_close(mapped.importance, plain.importance)
    codes, again = unit_variance_codes(plain, x), unit_variance_codes(mapped, x @ stretch + 3)
    assert_close((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=1e-8, rtol=0)
    # ... and PCA does.
    codes, again = (unit_variance_codes(fit_one("pca", z), z) for z in (x, x @ stretch + 3))
    assert not torch.allclose((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cca_of_dependent_units_knows_the_rank(two_views, dtype):
    """A unit that copies, one that sums others (up to rounding), and a dead one add no latent and change no code."""
    x, y = (side.to(dtype) for side in two_views)
    more = torch.cat([x, x[:, :1], (x[:, :1] + x[:, 1:2]) / 3, torch.zeros(len(x), 1, dtype=dtype)], 1)
    plain, d = fit_one("cca", x, y), fit_one("cca", more, y)
    assert_close(d.importance, plain.importance, atol=1e-5, rtol=0)
    codes, again = unit_variance_codes(plain, x.double()), unit_variance_codes(d, more.double())
    assert_close((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"at most 6 latents here: .* rank 6, the partner's 9, but n_latents = 7"):
        fit_one("cca", more, partner=mixed(300, 9).to(dtype), n_latents=7)
