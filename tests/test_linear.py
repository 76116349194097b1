"""Do the linear and classical methods find what they claim, and do they say clearly what they can't?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from making import gaussian, seeded
from scipy import optimize
from test_moments import Made
from torch.testing import assert_close

from homolog.alignment.nulls import haar_rotation
from homolog.alignment.representations.canonical import canonical_correlations
from homolog.alignment.similarity import cosine
from homolog.decompositions import pca
from homolog.decompositions.base import Member
from homolog.decompositions.cca import CCA
from homolog.decompositions.dictionary_learning import DictionaryLearning
from homolog.decompositions.ica import ICA
from homolog.decompositions.kmeans import KMeans
from homolog.decompositions.nmf import NMF
from homolog.decompositions.pca import PCA
from homolog.decompositions.samples import BLOCK, InMemory, Samples
from homolog.decompositions.svcca import SVCCA
from homolog.decompositions.svd import SVD
from homolog.dictionary import Dictionary
from homolog.encoding import non_negative_least_squares, orthogonal_matching_pursuit

OPTIONS = {
    SVD: {},
    PCA: {"solver": "auto"},
    CCA: {},
    SVCCA: {"variance": 0.99},
    ICA: {"max_iterations": 500, "tolerance": 1e-6},
    NMF: {"max_iterations": 1000, "tolerance": 1e-6},
    KMeans: {"max_iterations": 300},
    DictionaryLearning: {"k": 2, "alpha": 1.0, "steps": 100, "batch_size": 64},
}
CLASSICAL = pytest.mark.parametrize("method", [NMF, KMeans, DictionaryLearning])
SEEDED = pytest.mark.parametrize("method", [ICA, NMF, KMeans, DictionaryLearning])


def fit_one(method, x, n_latents, partner=None, seed=0, **changes) -> Dictionary:
    samples = x if isinstance(x, Samples) else InMemory(x)
    other = None if partner is None else InMemory(partner)
    options = {"n_latents": n_latents, **OPTIONS[method], **changes}
    return method().fit([Member(options, seed, "all", samples, other, ("test",))])[0]


def correlated(samples=400, units=8, seed=0):
    """Well-separated variances, off centre."""
    sizes = torch.logspace(1, -1, units).double()
    rotation = haar_rotation(units, seeded(seed + 1))
    return gaussian(samples, units, seed=seed) * sizes @ rotation + torch.arange(units)


def fvu(d, x):
    residual = (x - d.reconstruct(d.codes(x))).square().sum()
    return float(residual / (x - x.mean(0)).square().sum())


def recovered(planted, found):
    """The cosine of each planted direction with the best found one; sign free."""
    return cosine(planted, found).abs().max(1).values


# SVD, PCA


@pytest.mark.parametrize("method", [SVD, PCA])
@pytest.mark.parametrize("mean", [0.0, 300.0])
def test_leading_directions_are_those_of_a_full_svd_in_float64(method, mean):
    """Float32 rows, more than one block, standard deviations over four decades."""
    x = (gaussian(BLOCK + 500, 12) * torch.logspace(0, -4, 12).double() @ haar_rotation(12, seeded(1)) + mean).float()
    wide = x.double() if method is SVD else x.double() - x.double().mean(0)
    _, singular, right = np.linalg.svd(wide.numpy(), full_matrices=False)
    d = fit_one(method, x, 5)
    assert_close((d.directions * torch.as_tensor(right[:5])).sum(1).abs(), torch.ones(5).double(), rtol=0, atol=1e-12)
    assert (d.directions.abs() - torch.as_tensor(right[:5]).abs()).abs().max() < 1e-6
    assert_close(d.importance, torch.as_tensor(singular[:5]) / len(x) ** 0.5, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", ["exact", "randomised"])
def test_pca_is_scikit_learns(solver):
    from sklearn.decomposition import PCA as ScikitPCA

    x = correlated()
    peer = ScikitPCA(4, svd_solver="full").fit(x.numpy())
    d = fit_one(PCA, x, 4, solver=solver)
    assert_close(d.bias, torch.as_tensor(peer.mean_))
    assert_close(d.importance**2, torch.as_tensor(peer.explained_variance_) * (len(x) - 1) / len(x))
    assert_close(d.directions.abs(), torch.as_tensor(peer.components_).abs(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", ["exact", "randomised"])
def test_pca_does_not_see_the_mean_nor_the_order_of_rows(solver):
    x = correlated()
    plain = fit_one(PCA, x, 4, solver=solver)
    far = fit_one(PCA, x + 1e6, 4, solver=solver)
    turned = fit_one(PCA, x[torch.randperm(len(x), generator=seeded(3))], 4, solver=solver)
    for d in (far, turned):
        assert_close(d.directions, plain.directions, rtol=0, atol=1e-8)
        assert_close(d.importance, plain.importance)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_latents", [1, 12])
def test_random_projections_converge_to_the_exact_directions(power, n_latents):
    """Spectra that fall slowly too, where powers of the covariance alone would need dozens of passes."""
    x = gaussian(1500, 200) * torch.arange(1, 201).double() ** -power + 2
    exact, random = (fit_one(PCA, x, n_latents, solver=solver) for solver in ("exact", "randomised"))
    assert_close(random.directions, exact.directions, rtol=0, atol=1e-6)
    assert_close(random.importance, exact.importance, rtol=1e-9, atol=0)
    assert_close(random.bias, exact.bias)


@pytest.mark.parametrize("rank", [1, 4])
def test_random_projections_of_rows_of_lower_rank_than_they_are_many(rank):
    x = gaussian(300, rank) @ gaussian(rank, 60, seed=1) + 1
    d = fit_one(PCA, x, rank, solver="randomised")
    assert_close(d.directions @ d.directions.T, torch.eye(rank).double())
    assert fvu(d, x) < 1e-20


def test_auto_is_exact_where_random_projections_cost_more_or_fail(monkeypatch):
    assert not pca.randomised_pays(100_000, 512, 8)
    assert pca.randomised_pays(100_000, 4096, 64)
    assert not pca.randomised_pays(100_000, 4096, 4096)
    x = gaussian(300, 40)
    exact = fit_one(PCA, x, 4, solver="exact")
    assert torch.equal(fit_one(PCA, x, 4, solver="auto").directions, exact.directions)
    monkeypatch.setattr(pca, "randomised_pays", lambda *sizes: True)
    monkeypatch.setattr(pca, "PASSES", 1)
    assert torch.equal(fit_one(PCA, x, 4, solver="auto").directions, exact.directions)
    assert not torch.allclose(fit_one(PCA, x, 4, solver="randomised").directions, exact.directions, atol=1e-3)


@pytest.mark.parametrize("solver", ["exact", "randomised"])
def test_pca_of_more_rows_than_may_be_held(solver):
    made = Made(10 * BLOCK, 20, mean=5.0)
    d = fit_one(PCA, made, 3, solver=solver)
    assert made.most <= 2 * BLOCK
    assert_close(d.directions @ d.directions.T, torch.eye(3).double())


def test_members_with_the_same_samples_share_one_pass():
    made = Made(3 * BLOCK, 4)
    members = [Member({"n_latents": n, "solver": "exact"}, 0, "all", made, None, ("test",)) for n in (1, 2, 3)]
    grid = PCA().fit(members)
    assert made.reads < 2 * 3 * BLOCK
    for member, d in zip(members, grid, strict=True):
        assert torch.equal(PCA().fit([member])[0].directions, d.directions)


# CCA, SVCCA


@pytest.fixture
def views():
    """Two sides of three blocks with four latents in common, correlations well apart."""
    common = gaussian(BLOCK + 100, 4, seed=1)
    noise = torch.tensor([0.3, 0.6, 1.0, 2.0]).double()
    x = torch.cat([common + noise * gaussian(len(common), 4, seed=2), gaussian(len(common), 3, seed=3)], 1)
    y = torch.cat([common + noise * gaussian(len(common), 4, seed=4), gaussian(len(common), 2, seed=5)], 1)
    return x @ gaussian(7, 7, seed=6) + 4, y @ gaussian(6, 6, seed=7) - 2


def test_cca_finds_the_planted_correlations(views):
    """corr = 1 / (1 + noise^2), to the sampling error of 8000 rows."""
    expected = 1 / (1 + torch.tensor([0.3, 0.6, 1.0, 2.0]).double() ** 2)
    d = fit_one(CCA, views[0], 4, partner=views[1])
    assert_close(d.importance, expected, atol=0.04, rtol=0)
    assert_close(d.importance, canonical_correlations(*views)[:4])


def test_cca_does_not_see_means_orders_nor_invertible_maps_of_either_side(views):
    x, y = views
    order = torch.randperm(len(x), generator=seeded(0))
    map_x, map_y = gaussian(7, 7, seed=8), gaussian(6, 6, seed=9)
    plain = fit_one(CCA, x, 3, partner=y)
    mapped = fit_one(CCA, (x @ map_x + 1e4)[order], 3, partner=(y @ map_y - 1e4)[order])
    assert_close(mapped.importance, plain.importance, rtol=1e-8, atol=0)
    codes, again = plain.codes(x)[order], mapped.codes((x @ map_x + 1e4)[order])
    match = torch.corrcoef(torch.cat([codes, again], 1).T)[:3, 3:]
    assert_close(match.abs(), torch.eye(3).double(), rtol=0, atol=1e-7)


def test_svcca_of_all_variance_is_cca(views):
    x, y = views
    d, e = fit_one(SVCCA, x, 4, partner=y, variance=1.0), fit_one(CCA, x, 4, partner=y)
    assert_close(d.directions, e.directions)
    assert_close(d.importance, e.importance)


def test_svcca_is_cca_of_the_components_that_hold_the_variance(views):
    """A faint latent that both sides share perfectly is CCA's first one, and not to be seen by SVCCA."""
    x, y = views
    shared = 1e-3 * gaussian(len(x), 1, seed=20)
    x, y = torch.cat([x, shared], 1), torch.cat([y, shared], 1)
    assert fit_one(CCA, x, 2, partner=y).importance[0] > 0.9999
    d = fit_one(SVCCA, x, 2, partner=y, variance=0.95)
    assert d.importance[0] < 0.95
    truncated = []
    for side in (x, y):
        centred = side - side.mean(0)
        left, singular, right = torch.linalg.svd(centred, full_matrices=False)
        share = singular.square().cumsum(0) / singular.square().sum()
        kept = int(torch.nonzero(share >= 0.95)[0]) + 1
        assert kept < side.shape[1]
        truncated.append(left[:, :kept] * singular[:kept] @ right[:kept])
    assert_close(d.importance, canonical_correlations(*(t @ torch.eye(t.shape[1]).double() for t in truncated))[:2])


def test_svcca_says_how_many_components_hold_the_variance(views):
    x, y = views
    wide = torch.cat([1000 * x[:, :1], x], 1)
    with pytest.raises(ValueError, match=r"SVCCA can find at most 1 latents .*\(1 of the act.*n_latents = 2: .*raise"):
        fit_one(SVCCA, wide, 2, partner=y, variance=0.9)
    with pytest.raises(ValueError, match="SVCCA needs a second hook point"):
        fit_one(SVCCA, x, 2)


# ICA


def sources(samples=4000, latents=4, seed=0):
    """The easy case: independent Laplace sources, far from Gaussian."""
    uniform = torch.rand(samples, latents, generator=seeded(seed), dtype=torch.float64) - 0.5
    return -uniform.sign() * (1 - 2 * uniform.abs()).log()


@pytest.mark.parametrize("seed", range(3))
def test_ica_finds_planted_sources_that_pca_mixes(seed):
    """As many sources as latents, 4000 samples, a little noise."""
    mixing = gaussian(4, 10, seed=seed + 30)
    x = sources(seed=seed) @ mixing + 0.01 * gaussian(4000, 10, seed=seed + 40) + 3
    d = fit_one(ICA, x, 4, seed=seed)
    assert recovered(mixing, d.directions).min() > 0.99
    assert recovered(mixing, fit_one(PCA, x, 4).directions).min() < 0.95
    match = torch.corrcoef(torch.cat([sources(seed=seed), d.codes(x)], 1).T)[:4, 4:].abs()
    assert match.max(1).values.min() > 0.99
    assert d.member["converged"] == 1
    assert not d.ordered
    assert not d.signed


def test_ica_reconstructs_as_pca_and_its_codes_are_uncorrelated_with_the_stated_size():
    x = sources() @ gaussian(4, 10, seed=1) + 3 + 0.3 * gaussian(4000, 10, seed=2)
    d, p = fit_one(ICA, x, 3), fit_one(PCA, x, 3)
    assert_close(d.reconstruct(d.codes(x)), p.reconstruct(p.codes(x)))
    covariance = torch.cov(d.codes(x).T, correction=0)
    assert_close(covariance, d.importance.square().diag(), rtol=1e-8, atol=1e-8)


def test_ica_that_does_not_converge_says_so_and_is_still_a_rotation_of_pca():
    x = gaussian(500, 6)
    d = fit_one(ICA, x, 6, max_iterations=2, tolerance=1e-12)
    assert d.member == {"iterations": 2, "converged": 0}
    assert fvu(d, x) < 1e-20


def test_ica_of_dependent_units_knows_the_rank():
    x = gaussian(200, 3) @ gaussian(3, 6, seed=1)
    with pytest.raises(ValueError, match=r"ICA can find at most 3 latents here, the rank .* n_latents = 4"):
        fit_one(ICA, x.float(), 4)


# NMF


def parts(samples=600, seed=0):
    """The easy case: parts that share no unit, present in a third of the samples each."""
    directions = torch.block_diag(*[torch.rand(1, 3, generator=seeded(seed)) + 0.2 for _ in range(4)]).double()
    sizes = torch.rand(samples, 4, generator=seeded(seed + 1), dtype=torch.float64)
    present = torch.rand(samples, 4, generator=seeded(seed + 2)) < 1 / 3
    return directions, sizes * present


@pytest.mark.parametrize("seed", range(3))
def test_nmf_finds_planted_parts_and_their_sizes(seed):
    directions, sizes = parts(seed=seed)
    x = sizes @ directions
    d = fit_one(NMF, x, 4, seed=seed)
    assert cosine(directions, d.directions).max(1).values.min() > 0.999
    codes = d.codes(x)
    assert (codes >= 0).all()
    order = cosine(directions, d.directions).argmax(1)
    assert_close(codes[:, order], sizes * directions.norm(dim=1), atol=0.03, rtol=0)
    assert fvu(d, x) < 1e-3
    assert torch.equal(d.bias, torch.zeros(12).double())
    assert d.signed


def test_nmf_refuses_negative_activations_and_counts_them():
    x = gaussian(50, 4).abs()
    x[3, 1] = x[7, 2] = -1e-3
    with pytest.raises(ValueError, match=r"NMF .* 2 of the 50 x 4 .* hook point after a ReLU"):
        fit_one(NMF, x, 2)


def test_a_part_that_died_leaves_no_nan():
    """Rank one, and five parts: what is left over may be zero, or a copy."""
    x = gaussian(100, 1).abs() @ gaussian(1, 5, seed=1).abs()
    d = fit_one(NMF, x, 5)
    for array in (d.directions, d.codes(x), d.importance):
        assert torch.isfinite(array).all()


@pytest.mark.parametrize("latents", [3, 12])
def test_non_negative_codes_are_the_optimum(latents):
    """scipy's active set, where directions are independent; the optimality conditions where there are too many."""
    x, directions = gaussian(40, 6), gaussian(latents, 6, seed=1).abs()
    directions[0] = 0
    codes = non_negative_least_squares(x, directions)
    slope = (codes @ directions - x) @ directions.T
    assert (codes >= 0).all()
    assert (slope > -1e-5).all()
    assert (slope[codes > 0].abs() < 1e-5).all()
    assert (codes[:, 0] == 0).all()
    for row, code in zip(x, codes, strict=True):
        _, error = optimize.nnls(directions.T.numpy(), row.numpy())
        assert float((row - code @ directions).norm()) == pytest.approx(error, rel=1e-6, abs=1e-6)


# K-means


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_finds_planted_clusters(seed):
    """Easy: five clouds, as far from each other as twenty of their standard deviations."""
    centres = 20 * haar_rotation(8, seeded(seed))[:5]
    label = torch.arange(500) % 5
    x = centres[label] + gaussian(500, 8, seed=seed) + 7
    d = fit_one(KMeans, x, 5, seed=seed)
    centroids = d.directions * d.encoder.norm(dim=1, keepdim=True) + d.bias
    # A centroid of 100 samples is off by 0.1 in each of 8 units: 1.2 in all has probability far below 1e-9.
    assert torch.cdist(centres + 7, centroids).min(1).values.max() < 1.2
    codes = d.codes(x)
    assert ((codes != 0).sum(1) == 1).all()
    assert len(torch.unique(torch.stack([label, codes.argmax(1)]), dim=1).T) == 5
    assert_close(d.firing_rate, torch.full((5,), 0.2).double())


def test_kmeans_writes_the_nearest_centroid():
    x = gaussian(300, 4) + 5
    d = fit_one(KMeans, x, 6)
    centroids = d.directions * d.encoder.norm(dim=1, keepdim=True) + d.bias
    new = gaussian(200, 4, seed=1) + 5
    assert_close(d.reconstruct(d.codes(new)), centroids[torch.cdist(new, centroids).argmin(1)])
    # A centroid is the mean of its own samples, where Lloyd has converged.
    own = d.codes(x).argmax(1)
    assert_close(torch.stack([x[own == i].mean(0) for i in range(6)]), centroids, atol=1e-2, rtol=0)


def test_kmeans_needs_a_sample_for_each_cluster_and_survives_copies():
    with pytest.raises(ValueError, match=r"K-means can find at most 5 latents .*\(5, 3\)"):
        fit_one(KMeans, gaussian(5, 3), 6)
    x = gaussian(3, 4).repeat(20, 1)
    d = fit_one(KMeans, x, 5)
    assert torch.isfinite(d.directions).all()
    assert fvu(d, x) < 1e-12
    # One cluster is the mean, which is its own reconstruction without any code.
    one = fit_one(KMeans, gaussian(50, 3), 1)
    assert torch.isfinite(one.codes(gaussian(50, 3))).all()
    assert fvu(one, gaussian(50, 3)) == pytest.approx(1)


# Dictionary learning


def sparse(samples=3000, features=16, active=2, seed=0):
    """The easy case: orthonormal features, two at once, of either sign, sizes from 0.5 to 1.5."""
    generator = seeded(seed)
    directions = haar_rotation(features, generator)
    chosen = torch.rand(samples, features, generator=generator).topk(active).indices
    sizes = 0.5 + torch.rand(samples, active, generator=generator, dtype=torch.float64)
    sizes *= torch.where(torch.rand(samples, active, generator=generator) < 0.5, -1, 1)
    return directions, torch.zeros(samples, features).double().scatter_(1, chosen, sizes)


@pytest.mark.parametrize("seed", range(2))
def test_dictionary_learning_finds_planted_features(seed):
    directions, codes = sparse(seed=seed)
    x = codes @ directions
    d = fit_one(DictionaryLearning, x, 20, seed=seed, steps=300)
    assert recovered(directions, d.directions).mean() > 0.98
    assert ((d.codes(x) != 0).sum(1) <= 2).all()
    assert (d.codes(x) < 0).any()
    assert fvu(d, x) < 0.05
    assert recovered(directions, fit_one(PCA, x, 16).directions).mean() < 0.9


def test_dictionary_learning_has_no_unit_and_no_origin():
    """Scaled by a power of two, which rounds nothing."""
    x = sparse(500)[1] @ sparse(500)[0]
    d, scaled = (fit_one(DictionaryLearning, rows, 16, steps=20) for rows in (x, 1024 * x))
    assert_close(scaled.directions, d.directions)
    moved = fit_one(DictionaryLearning, x + 5, 16, steps=20)
    assert_close(moved.directions, d.directions, rtol=0, atol=1e-6)


def test_dictionary_learning_refuses_more_active_latents_than_latents():
    with pytest.raises(ValueError, match=r"k = 5 .* n_latents = 4: lower k"):
        fit_one(DictionaryLearning, gaussian(50, 3), 4, k=5)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_orthogonal_matching_pursuit_is_scikit_learns(k):
    from sklearn.decomposition import sparse_encode

    x, directions = gaussian(100, 12), torch.nn.functional.normalize(gaussian(30, 12, seed=1), dim=1)
    expected = sparse_encode(x.numpy(), directions.numpy(), algorithm="omp", n_nonzero_coefs=k)
    assert_close(orthogonal_matching_pursuit(x, directions, k), torch.as_tensor(expected))


def test_orthogonal_matching_pursuit_stops_where_nothing_is_left():
    """Exactly two latents explain each sample; copies and directions of zeros are never taken on top."""
    directions = haar_rotation(6, seeded(0))
    more = torch.cat([directions, directions[:2], torch.zeros(1, 6).double()])
    codes = torch.zeros(4, 6).double()
    codes[torch.arange(4), torch.arange(4)], codes[:, 5] = 2.0, -1.0
    seen = orthogonal_matching_pursuit(torch.cat([codes @ directions, torch.zeros(1, 6).double()]), more, 5)
    assert (seen[:4] != 0).sum(1).tolist() == [2, 2, 2, 2]
    assert (seen[4] == 0).all()
    assert_close(seen[:4] @ more, codes @ directions)


# What they share


@CLASSICAL
def test_firing_rate_and_importance_are_those_of_the_codes(method):
    x = gaussian(300, 6).abs()
    d = fit_one(method, x, 5)
    codes = d.codes(x)
    assert_close(d.firing_rate, (codes != 0).double().mean(0))
    assert_close(d.importance, codes.square().mean(0).sqrt())


@SEEDED
def test_a_seed_decides_and_nothing_else_does(method):
    """Bitwise, whatever stands beside it in the grid; another seed or other rows start elsewhere."""
    x = gaussian(300, 6).abs()
    options = {
        "n_latents": 4,
        **OPTIONS[method],
        **({"max_iterations": 2} if "max_iterations" in OPTIONS[method] else {}),
    }
    members = [Member(options, seed, rows, InMemory(x), None, ("test",)) for seed in (0, 1) for rows in ("a", "b")]
    together = method().fit(members)
    for member, d in zip(members, together, strict=True):
        assert torch.equal(method().fit([member])[0].directions, d.directions)
    assert all(not torch.equal(together[0].directions, d.directions) for d in together[1:])


@SEEDED
def test_float32_activations_give_finite_codes_in_the_encoders_type(method):
    x = gaussian(200, 6).abs().float()
    d = fit_one(method, x, 4)
    codes = d.codes(x.to(d.encoder))
    assert codes.dtype == d.encoder.dtype
    assert torch.isfinite(d.reconstruct(codes)).all()


@pytest.mark.parametrize("method", OPTIONS)
def test_constant_empty_and_broken_activations_are_refused(method):
    constant, broken = torch.ones(30, 4), gaussian(30, 4).abs().float()
    broken[2, 2] = torch.nan
    for x, message in (
        (constant, "are the same for every"),
        (broken, "aren't finite"),
        (torch.ones(0, 4), "are empty"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_one(method, x, 2, partner=gaussian(len(x), 3).float())
