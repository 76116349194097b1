"""Is each measure of representations what its paper says, blind to its own symmetries and to no wider ones?"""

import inspect
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from making import gaussian
from planted import reading
from scipy import stats
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

import homolog.alignment as alignment
from homolog.alignment import (
    FewSamplesWarning,
    angular_distance,
    canonical_correlations,
    debiased_cka,
    linear_cka,
    max_cosine,
    permutation_null,
    principal_angles,
    procrustes_similarity,
    projector_overlap,
    pw_mcc,
    pwcca,
    shared_fraction,
    soft_matching_distance,
    svcca,
    transfer_fvu,
    unit_matching,
)
from homolog.alignment.nulls import haar_rotation
from homolog.alignment.representations.units import transport_cost

# Of (samples, unit) arrays, with the value of a representation with itself.
WITH_ITSELF = {
    "cca_mean": (lambda x, y: float(canonical_correlations(x, y).mean()), 1),
    "svcca": (svcca, 1),
    "pwcca": (pwcca, 1),
    "linear_cka": (lambda x, y: linear_cka(x, y).value, 1),
    "debiased_cka": (lambda x, y: debiased_cka(x, y).value, 1),
    "procrustes_similarity": (procrustes_similarity, 1),
    "angular_distance, Procrustes": (angular_distance, 0),
    "angular_distance, between": (lambda x, y: angular_distance(x, y, 0.3), 0),
    "angular_distance, CCA": (lambda x, y: angular_distance(x, y, 0.0), 0),
    "transfer_fvu": (transfer_fvu, 0),
    "transfer_fvu, scaled": (lambda x, y: transfer_fvu(x, y, scale=True), 0),
    "soft_matching_distance": (soft_matching_distance, 0),
    "soft_matching_distance, unit norm": (lambda x, y: soft_matching_distance(x, y, unit_norm=True), 0),
    "unit_matching": (lambda x, y: unit_matching(x, y).value, 1),
    "semi-matching": (lambda x, y: unit_matching(x, y, "semi").value, 1),
}
INVERTIBLE = {"cca_mean", "angular_distance, CCA"}
# PWCCA weighs by x: only y may be mapped.
INVERTIBLE_OF_Y = {*INVERTIBLE, "pwcca"}
ORTHOGONAL = {*INVERTIBLE_OF_Y, "svcca", "linear_cka", "debiased_cka", "procrustes_similarity", "transfer_fvu",
              "transfer_fvu, scaled", "angular_distance, Procrustes", "angular_distance, between"}  # fmt: skip
SCALE = set(WITH_ITSELF) - {"transfer_fvu", "soft_matching_distance"}
UNIT_SCALES = {*INVERTIBLE_OF_Y, "soft_matching_distance, unit norm", "unit_matching", "semi-matching"}
# arccos near 1 and roots of differences near 0 keep half of the digits (of norms up to 70 here).
CLOSE = {"abs": 3e-6}


@pytest.fixture
def x():
    """Units of very different variance, in a basis of their own: far from a sphere."""
    return gaussian(300, 6) * torch.linspace(0.2, 4, 6) + 3


@pytest.fixture
def y(x):
    """Related to x, in noise, with another width."""
    return x @ gaussian(6, 5, seed=1) + 2 * gaussian(300, 5, seed=2)


def rotation(units, seed=3):
    return haar_rotation(units, torch.Generator().manual_seed(seed))


def invertible(units):
    return rotation(units, 1) @ torch.linspace(1, 20, units).double().diag() @ rotation(units, 2)


@pytest.mark.parametrize("name", WITH_ITSELF)
def test_a_representation_with_itself(name, x):
    measure, expected = WITH_ITSELF[name]
    assert measure(x, x) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("name", WITH_ITSELF)
def test_each_measure_is_blind_to_its_own_symmetries_and_to_no_wider_one(name, x, y):
    measure, itself = WITH_ITSELF[name]
    before, order = measure(x, y), torch.tensor([3, 0, 4, 1, 2])
    maps = {
        "shift": (y - 7, WITH_ITSELF),
        "order of units": (y[:, order], WITH_ITSELF),
        "scale": (7 * y, SCALE),
        "scales of units": (y * torch.linspace(0.1, 5, 5), UNIT_SCALES),
        "rotation": (y @ rotation(5), ORTHOGONAL),
        "invertible": (y @ invertible(5), INVERTIBLE_OF_Y),
    }
    for kind, (mapped, blind) in maps.items():
        after = measure(x, mapped)
        assert (name in blind) == (after == pytest.approx(before, **CLOSE)), (kind, before, after)
    # Of the weighing side too.
    assert (name in INVERTIBLE) == (measure(x @ invertible(6), y) == pytest.approx(before, **CLOSE))
    assert measure(x, x @ rotation(6)) == pytest.approx(itself, **CLOSE) or name not in ORTHOGONAL


@pytest.mark.parametrize("name", sorted(set(WITH_ITSELF) - {"pwcca", "transfer_fvu", "semi-matching"}))
def test_symmetric_measures_are_symmetric(name, x, y):
    measure, _ = WITH_ITSELF[name]
    assert measure(x, y) == pytest.approx(measure(y, x), **CLOSE)


@pytest.mark.parametrize("name", WITH_ITSELF)
def test_arrays_of_any_kind_give_what_tensors_of_float64_give(name, x, y):
    measure, _ = WITH_ITSELF[name]
    expected = measure(x, y)
    assert measure(x.numpy(), y.numpy()) == measure(x, y.numpy()) == expected
    assert measure(np.asfortranarray(x.numpy())[::-1], y.flip(0)) == pytest.approx(expected, **CLOSE)
    assert measure(x.float(), y.float()) == pytest.approx(expected, abs=2e-3)
    whole = (x * 50).round()
    assert measure(whole.int(), y) == pytest.approx(measure(whole, y), **CLOSE)


@pytest.mark.parametrize("name", WITH_ITSELF)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_columns_zero_rows_and_repeated_columns_are_no_obstacle(name, dtype, x, y):
    measure, _ = WITH_ITSELF[name]
    degenerate = torch.cat([x, x[:, :2], torch.full((300, 1), 0.1)], 1).to(dtype)
    zero = torch.zeros(20, 9, dtype=dtype)
    value = measure(torch.cat([degenerate, zero]), torch.cat([y, y.new_zeros(20, 5)]))
    assert math.isfinite(value)
    constant = measure(torch.full((300, 3), 0.1, dtype=dtype), y)
    if name.startswith("soft_matching") or name in ("transfer_fvu", "transfer_fvu, scaled"):
        # Against points at the mean: mean square, and all of the variance unexplained.
        assert math.isfinite(constant)
        assert constant > 0
    else:
        assert math.isnan(constant) or constant == 0


@pytest.mark.parametrize("name", WITH_ITSELF)
@pytest.mark.parametrize("seed", range(3))
def test_wide_arrays_with_more_units_than_samples(name, seed, x):
    """An orthogonal embedding into 500 units is a change of basis, whatever the shapes."""
    measure, _ = WITH_ITSELF[name]
    few, other = gaussian(40, 6, seed=seed), gaussian(40, 5, seed=seed + 10)
    embedding = torch.linalg.qr(gaussian(500, 6, seed=seed + 20)).Q.T
    if name in ORTHOGONAL - {"transfer_fvu", "pwcca"}:
        assert measure(few @ embedding, other) == pytest.approx(measure(few, other), **CLOSE)
        assert measure(other, few @ embedding) == pytest.approx(measure(other, few), **CLOSE)
    else:
        assert math.isfinite(measure(few @ embedding, other))


PAIRWISE = [
    canonical_correlations, svcca, pwcca, linear_cka, debiased_cka, procrustes_similarity, angular_distance,
    transfer_fvu, soft_matching_distance, unit_matching,
]  # fmt: skip


@pytest.mark.parametrize("measure", PAIRWISE)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(measure, bad):
    y = gaussian(30, 3)
    y[4, 1] = bad
    with pytest.raises(ValueError, match=r"1 of the 90 values of y, shape \(30, 3\), are NaN .*leave out the rows"):
        measure(gaussian(30, 2), y)


@pytest.mark.parametrize("measure", PAIRWISE)
def test_other_samples_too_few_and_other_shapes_are_refused(measure, no_shape_checks):
    for x, y, said in (
        (gaussian(30, 2), gaussian(31, 2), r"same samples.*\(30, 2\) and \(31, 2\)"),
        (gaussian(1, 2), gaussian(1, 2), "at least"),
        (gaussian(30, 2)[0], gaussian(30, 2), r"shape \(2,\)"),
        (gaussian(30, 2)[:, :0], gaussian(30, 2), r"shape \(30, 0\)"),
        (gaussian(30, 2).to(torch.complex64), gaussian(30, 2), "complex64"),
        (gaussian(30, 2).numpy().astype(str), gaussian(30, 2), "type <U"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            measure(x, y)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("measure", [canonical_correlations, svcca, pwcca])
def test_few_samples_are_told_with_the_way_out(measure):
    with pytest.warns(FewSamplesWarning, match=r"30 samples for 4 .* 7\.5 each.*0\.14.*permutation_null"):
        measure(gaussian(30, 4), gaussian(30, 3, seed=1))
    all_of_it = {"variance": 1.0} if measure is svcca else {}
    with pytest.warns(FewSamplesWarning, match="and 2 correlations are 1 whatever the data"):
        measure(gaussian(6, 4), gaussian(6, 3, seed=1), **all_of_it)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(gaussian(40, 4), gaussian(40, 3, seed=1))


def test_options_out_of_range_are_refused(x, y):
    for ask, said in (
        (lambda: svcca(x, y, 0.0), r"variance = 0\.0: 0\.99 is usual"),
        (lambda: angular_distance(x, y, 1.1), r"alpha = 1\.1: choose it in \[0, 1\]"),
        (lambda: unit_matching(x, y, "hungry"), "'hungry': choose one of bipartite, semi"),
        (lambda: debiased_cka(x, y, 3), "batch_size = 3"),
        (lambda: debiased_cka(x[:3], y[:3]), "at least 4"),
        (lambda: permutation_null(procrustes_similarity, x, y, 0, torch.Generator()), "draws = 0"),
    ):
        with pytest.raises(ValueError, match=said):
            ask()


# Canonical correlations, SVCCA, PWCCA


def test_r2_of_correlated_gaussians_is_that_of_the_population():
    """Planted canonical correlations 0.8, 0.5 and 0 in random bases."""
    rho = torch.tensor([0.8, 0.5, 0.0]).double()
    z = gaussian(50_000, 3)
    x = z @ invertible(3)
    y = (z * rho + (1 - rho**2).sqrt() * gaussian(50_000, 3, seed=1)) @ invertible(3)
    # Standard errors are at most 1 / sqrt(50000) = 0.0045; the last is the largest of noise.
    assert_close(canonical_correlations(x, y), rho, atol=0.0225, rtol=0)


def test_svcca_counts_squared_singular_values():
    """Variances 90, 9 and 1: 90 % need one direction. By singular values (9.5, 3, 1: 70 %) it would take two."""
    exact = torch.linalg.qr(gaussian(200, 4) - gaussian(200, 4).mean(0)).Q
    x = exact[:, :3] * torch.tensor([90.0, 9.0, 1.0]).double().sqrt()
    y = exact[:, [0, 3]]
    assert svcca(x, y, 0.9) == pytest.approx(1)
    # With more, the directions that y lacks count: correlations 1 and 0 of min(2, 2) and of min(3, 2).
    assert svcca(x, y, 0.99) == pytest.approx(0.5)
    assert svcca(x, y, 1.0) == pytest.approx(0.5)


def test_pwcca_weighs_correlations_by_what_they_carry_of_x():
    """Two orthogonal variates of x with norms 3 and 1, of which y has the first: (3 * 1 + 1 * 0) / 4."""
    exact = torch.linalg.qr(torch.cat([torch.ones(100, 1), gaussian(100, 3)], 1).double()).Q[:, 1:]
    x, y = exact[:, :2] * torch.tensor([3.0, 1.0]), exact[:, [0, 2]]
    assert pwcca(x, y) == pytest.approx(0.75)
    assert canonical_correlations(x, y).mean() == pytest.approx(0.5)
    # Both units of y carry as much.
    assert pwcca(y, x) == pytest.approx(0.5)
    # Weights are sums of absolute values, so that a rotation of x is not without effect: the second variate's unit
    # is laid out over two, and counts sqrt(2) times as much.
    turned = x @ torch.tensor([[1.0, 0, 0], [0, 0.5**0.5, 0.5**0.5]]).double()
    assert pwcca(turned, y) == pytest.approx(3 / (3 + 2**0.5))
    assert pwcca(y, turned) == pytest.approx(0.5)


# CKA


def test_cka_by_hand():
    """(-1, 0, 1) and (-1, 2, -1) are orthogonal; (-2, 1, 1) is neither."""
    x, y, z = (torch.tensor([v]).double().T for v in ((-1, 0, 1), (-1, 2, -1), (-2, 1, 1)))
    assert linear_cka(x, y).value == 0
    # <x, z> = 3, |x|^2 = 2, |z|^2 = 6: 9 / 12.
    assert linear_cka(x, z).value == pytest.approx(0.75)
    # |x_i|^2 |z_i|^2 are 4, 0, 1, over <x, z>^2 = 9.
    assert linear_cka(x, z).largest_row_share == pytest.approx(4 / 9)


def hsic_by_definition(k, m):
    """Song et al. (2012): kernels without diagonals, all terms as written there."""
    n = len(k)
    k, m = k - k.diagonal().diag(), m - m.diagonal().diag()
    total = (k @ m).trace() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return total / (n * (n - 3))


def mean_over_quadruples(k, m):
    """HSIC_1 as the U-statistic that it is: over all ordered quadruples of different samples."""
    n, total, count = len(k), 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                        count += 1
    return total / count


def test_debiased_cka_is_the_definition_written_out(x, y):
    k, m = x @ x.T, y @ y.T
    expected = hsic_by_definition(k, m) / (hsic_by_definition(k, k) * hsic_by_definition(m, m)).sqrt()
    assert debiased_cka(x, y).value == pytest.approx(float(expected))
    few = gaussian(6, 2), gaussian(6, 3, seed=1)
    kernels = [rows @ rows.T for rows in few]
    for a, b in ((0, 0), (0, 1), (1, 1)):
        assert float(hsic_by_definition(kernels[a], kernels[b])) == pytest.approx(
            float(mean_over_quadruples(kernels[a], kernels[b]))
        )


def test_debiased_cka_in_batches_is_a_ratio_of_means(x, y):
    batches = [(x[i : i + 64] @ x[i : i + 64].T, y[i : i + 64] @ y[i : i + 64].T) for i in range(0, 256, 64)]
    terms = [(hsic_by_definition(k, m), hsic_by_definition(k, k), hsic_by_definition(m, m)) for k, m in batches]
    between, own_x, own_y = torch.tensor(terms).sum(0).tolist()
    assert debiased_cka(x, y, 64).value == pytest.approx(between / math.sqrt(own_x * own_y))


def test_unrelated_data_lift_cka_and_leave_debiased_cka_at_zero_on_average():
    pairs = [(gaussian(40, 30, seed=s), gaussian(40, 30, seed=s + 999)) for s in range(200)]
    plain = [linear_cka(x, y).value for x, y in pairs]
    debiased = torch.tensor([debiased_cka(x, y).value for x, y in pairs])
    assert min(plain) > 0.3
    # Five standard errors: false-alarm rate 6e-7. Half of them are negative.
    assert abs(debiased.mean()) < 5 * debiased.std() / 200**0.5
    assert stats.binom.cdf(int((debiased < 0).sum()), 200, 0.5) > 1e-6
    assert (debiased < 0).any()


def test_one_outlying_row_lifts_cka_and_is_named():
    x, y = gaussian(500, 8), gaussian(500, 8, seed=1)
    before = linear_cka(x, y)
    x[7], y[7] = 200.0, 300.0
    after = linear_cka(x, y)
    assert before.value < 0.1
    assert after.value > 0.9
    assert before.largest_row_share < 0.1 < 0.9 < after.largest_row_share
    # What debiasing takes off is the sum of all rows' shares.
    assert debiased_cka(x, y).largest_row_share == pytest.approx(after.largest_row_share)


# Procrustes, angles, transfer


def test_procrustes_of_isotropic_gaussians_is_their_correlation():
    """Y = rho X + noise in a rotated basis: the cosine after the rotation is rho in the population."""
    x = gaussian(40_000, 4)
    y = (0.6 * x + 0.8 * gaussian(40_000, 4, seed=1)) @ rotation(4)
    # Standard error about 0.8 / sqrt(4 * 40000) = 0.002.
    assert procrustes_similarity(x, y) == pytest.approx(0.6, abs=0.01)
    assert transfer_fvu(x, y, scale=True) == pytest.approx(1 - 0.36, abs=0.012)
    assert transfer_fvu(x, y) == pytest.approx(2 - 1.2, abs=0.02)
    assert angular_distance(x, y) == pytest.approx(math.acos(0.6), abs=0.013)
    # Isotropic, so that whitening changes nothing.
    assert angular_distance(x, y, 0.0) == pytest.approx(angular_distance(x, y), abs=0.01)


def test_procrustes_by_hand():
    """X has singular values 3 and 1 in directions that Y has with 1 and 3: ||X'Y||_* = 6 of 10."""
    exact = torch.linalg.qr(torch.cat([torch.ones(50, 1), gaussian(50, 2)], 1).double()).Q[:, 1:]
    x, y = exact * torch.tensor([3.0, 1.0]), exact * torch.tensor([1.0, 3.0])
    assert procrustes_similarity(x, y) == pytest.approx(0.6)
    assert transfer_fvu(x, y) == pytest.approx(2 - 2 * 0.6)
    assert angular_distance(x, y, 0.0) == pytest.approx(0, abs=3e-7)
    # Halfway the weights are s + rms: with rms^2 = 5, (3 + r)(1 + r) * 2 over (3 + r)^2 + (1 + r)^2.
    a, b = 3 + 5**0.5, 1 + 5**0.5
    assert angular_distance(x, y, 0.5) == pytest.approx(math.acos(2 * a * b / (a * a + b * b)))
    assert angular_distance(x[:, :1], y, 0.0) == pytest.approx(math.acos(1 / 2**0.5))


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_the_angle_obeys_the_triangle_inequality(alpha):
    for seed in range(50):
        a, b, c = (gaussian(30, 3, seed=3 * seed + i) * torch.tensor([3.0, 1, 0.5]) for i in range(3))
        ab, bc, ac = (angular_distance(p, q, alpha) for p, q in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + 1e-7


def test_no_rotation_explains_more_than_transfer(x, y):
    wide = torch.cat([y, torch.zeros(300, 1)], 1)
    centred_x, centred_y = x - x.mean(0), wide - wide.mean(0)
    best = transfer_fvu(x, y)
    for seed in range(50):
        moved = centred_x @ rotation(6, seed)
        assert best <= float((centred_y - moved).square().sum() / centred_y.square().sum()) + 1e-12


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_transfer_on_the_same_samples_held_out_is_the_closed_form(scale, turned, x, y):
    a, b = (y, x) if turned else (x, y)
    assert transfer_fvu(a, b, scale, (a, b)) == pytest.approx(transfer_fvu(a, b, scale))


def test_transfer_is_learned_on_one_half_and_scored_on_the_other():
    x = gaussian(4000, 5) + 4
    y = 2.5 * x @ rotation(5) - 1
    halves = slice(0, 2000), slice(2000, 4000)
    fitted, others = ((x[half], y[half]) for half in halves)
    assert transfer_fvu(*fitted, scale=True, held_out=others) == pytest.approx(0, abs=1e-12)
    noise = gaussian(4000, 5, seed=1)
    # Nothing is shared: rotating adds the variance of x; the fit looks better than that, held out it doesn't.
    inside = transfer_fvu(x[:60], noise[:60])
    outside = transfer_fvu(x[:60], noise[:60], held_out=(x[60:], noise[60:]))
    assert inside < 1.8 < outside


# Subspaces


def test_principal_angles_by_hand_and_small_ones_to_all_digits():
    a = torch.eye(3)[:2]
    for angle in (0.0, 1e-12, 1e-6, 0.3, math.pi / 2):
        b = torch.tensor([[1.0, 0, 0], [0, math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        assert_close(principal_angles(a, b), torch.tensor([0, angle], dtype=torch.float64), rtol=0, atol=1e-14)
        assert projector_overlap(a, b) == pytest.approx((1 + math.cos(angle) ** 2) / 2)


def test_principal_angles_see_the_span_alone(x, y):
    a, b = gaussian(3, 9), gaussian(2, 9, seed=1)
    expected = principal_angles(a, b)
    mixed = torch.cat([invertible(3) @ a, torch.zeros(1, 9), a[:1] + a[1:2]])
    assert_close(principal_angles(mixed, b.numpy()), expected)
    assert_close(principal_angles(b, mixed), expected)
    assert projector_overlap(mixed, b) == pytest.approx(float(expected.cos().square().mean()))
    assert (principal_angles(a * torch.linspace(0.1, 3, 9), b) - expected).abs().max() > 0.01
    samples = [(side - side.mean(0)).T for side in (x, y)]
    assert_close(principal_angles(*samples).cos(), canonical_correlations(x, y))
    assert math.isnan(projector_overlap(torch.zeros(2, 9), b))


@pytest.mark.parametrize("measure", [principal_angles, projector_overlap, max_cosine, pw_mcc])
def test_dictionaries_of_two_spaces_and_values_that_are_not_finite_are_refused(measure, no_shape_checks):
    a, b = gaussian(3, 9), gaussian(2, 9, seed=1)
    with pytest.raises(ValueError, match=r"same units.*\(3, 9\) and \(2, 8\).*write_out"):
        measure(a, b[:, :8])
    for wrong in ((a[0], b), (a[0].numpy(), b)):
        with pytest.raises(ValueError, match=r"a has shape \(9,\).*\(latents, units\)"):
            measure(*wrong)
    with pytest.raises(ValueError, match=r"b has shape \(2,\)"):
        measure(a, b[:, 0])
    b[1, 4] = math.nan
    with pytest.raises(ValueError, match="1 of the 18 values of b"):
        measure(a, b)


def test_overlap_of_random_subspaces_is_the_larger_share_of_the_space():
    values = torch.tensor(
        [projector_overlap(gaussian(3, 20, seed=s), gaussian(5, 20, seed=s + 999)) for s in range(300)]
    )
    assert abs(values.mean() - 5 / 20) < 5 * values.std() / 300**0.5


# Units


def test_soft_matching_of_equal_sizes_is_the_best_permutation():
    x, y = gaussian(30, 5), gaussian(30, 5, seed=1)
    a, b = x - x.mean(0), y - y.mean(0)
    costs = torch.cdist(a.T, b.T).square().numpy()
    best = costs[linear_sum_assignment(costs)].sum() / 5
    assert soft_matching_distance(x, y) == pytest.approx(math.sqrt(best))


def test_soft_matching_by_hand():
    """Points 0 and 3 against 0, 3 and 3: a third of the mass goes from 0 to 3... minus what fits: (1/2 - 1/3) * 9."""
    assert transport_cost(np.array([[0.0, 9, 9], [9, 0, 0]])) == pytest.approx((1 / 2 - 1 / 3) * 9)
    assert transport_cost(np.array([[0.0, 9, 9], [9, 0, 0]]).T) == pytest.approx(1.5)


@pytest.mark.parametrize(("p", "q"), [(3, 6), (4, 6), (5, 7), (7, 5), (1, 4)])
def test_soft_matching_of_unequal_sizes_is_an_assignment_of_copies(p, q):
    """lcm(p, q) copies of either side, each with equal mass: the same transport, solved another way."""
    cost = gaussian(p, q).abs().numpy()
    copies = math.lcm(p, q)
    many = np.repeat(np.repeat(cost, copies // p, 0), copies // q, 1)
    assert transport_cost(cost) == pytest.approx(many[linear_sum_assignment(many)].mean())


def test_soft_matching_is_a_metric_blind_to_order_and_to_copies_of_all_units(x):
    assert soft_matching_distance(x, torch.cat([x, x], 1)[:, torch.randperm(12)]) == pytest.approx(0, **CLOSE)
    assert soft_matching_distance(x, torch.cat([x, x[:, -2:]], 1)) > 1
    for seed in range(10):
        a, b, c = (gaussian(20, n, seed=5 * seed + n) for n in (3, 4, 5))
        ab, bc, ac = (soft_matching_distance(p, q) for p, q in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + 1e-9
        assert soft_matching_distance(a, b, unit_norm=True) <= 2


def test_units_are_matched_across_scales_and_scored_on_other_samples():
    target = gaussian(400, 6).relu()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    source = target[:, order] * torch.linspace(0.1, 9, 6) + 0.05 * gaussian(400, 6, seed=1)
    found = unit_matching(source, target)
    assert found.index.tolist() == order.tolist()
    # Many to one, into more units than there are.
    twice = torch.cat([source, source[:, :1]], 1)
    assert unit_matching(twice, target).index.tolist().count(-1) == 1
    assert unit_matching(twice, target, "semi").index.tolist() == [*order.tolist(), 4]
    noise = gaussian(60, 20), gaussian(60, 20, seed=1)
    half = torch.arange(60) < 30
    assert unit_matching(*noise).value > 0.2
    assert abs(unit_matching(*noise, fit_on=half).value) < 0.15
    assert unit_matching(source, target, fit_on=(torch.arange(400) < 200).numpy()).index.tolist() == order.tolist()


# Dictionaries


def test_max_cosine_is_directed_and_leaves_dead_latents_out():
    a = torch.cat([torch.eye(3), torch.zeros(1, 3)])
    b = torch.tensor([[1.0, 1, 0], [0, 0, 0], [-2, 0, 0]])
    found = max_cosine(a, b)
    half = 0.5**0.5
    assert_close(found.per_latent, torch.tensor([half, half, 0, math.nan]).double(), equal_nan=True)
    assert found.index.tolist() == [0, 0, 0, -1]
    assert found.value == pytest.approx(2 * half / 3)
    assert max_cosine(b, a).value == pytest.approx((half + 0) / 2)
    assert max_cosine(a, b, signed=False).per_latent[0] == pytest.approx(1)
    assert math.isnan(max_cosine(a, torch.zeros(2, 3)).value)


def test_max_cosine_in_blocks_is_the_whole_matrix(monkeypatch):
    a, b = gaussian(300, 8), gaussian(100, 8, seed=1)
    whole = max_cosine(a, b)
    monkeypatch.setattr("homolog.alignment.representations.dictionaries._BLOCK", 7)
    assert_close(max_cosine(a, b).per_latent, whole.per_latent)
    assert torch.equal(max_cosine(a, b).index, whole.index)


def test_max_cosine_of_random_directions_has_the_law_of_a_largest_beta():
    """cos^2 of random directions in d dims is Beta(1/2, (d - 1) / 2); the largest of n has its n-th power."""
    d, n = 12, 40
    law = stats.beta(0.5, (d - 1) / 2)
    best = [max_cosine(gaussian(1, d, seed=s), gaussian(n, d, seed=s + 9999), False).value ** 2 for s in range(400)]
    assert stats.kstest(best, lambda v: law.cdf(v) ** n).pvalue > 1e-6
    assert stats.kstest(best, lambda v: law.cdf(v) ** (n + 20)).pvalue < 1e-6


def test_pw_mcc_and_shared_fraction_read_a_planted_overlap():
    """60 of 100 latents are shared, in another order and with signs of no meaning; the rest is random in 64 dims."""
    a, b = gaussian(100, 64), gaussian(100, 64, seed=1)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    b[order[:60]] = a[:60] * torch.linspace(0.5, 2, 60)[:, None]
    found = pw_mcc(a, b)
    assert found.index[:60].tolist() == order[:60].tolist()
    assert_close(found.per_latent[:60], torch.ones(60).double())
    assert found.value == pytest.approx(pw_mcc(b, a).value)
    assert pw_mcc(a, -b).value == pytest.approx(found.value)
    assert pw_mcc(a, -b, signed=True).value < 0.5
    assert shared_fraction((a, a), (b, b)).value == pytest.approx(0.6)
    # Written alike but read differently is not shared; nor if another latent reads so.
    assert shared_fraction((gaussian(100, 64, seed=2), a), (b, b)).value == 0
    assert shared_fraction((a[torch.randperm(100)], a), (b, b)).value < 0.1
    dead = torch.cat([a, torch.zeros(20, 64)])
    assert shared_fraction((dead, dead), (b, b)).value == pytest.approx(0.6)


def test_an_encoder_that_lies_the_other_way_is_refused(no_shape_checks):
    a = gaussian(100, 64)
    with pytest.raises(ValueError, match=r"encoder has shape \(64, 100\).*\(100, 64\).*transpose"):
        shared_fraction((a.T, a), (a, a))


def test_a_dictionary_is_read_by_its_encoder_and_written_by_its_directions():
    planted = reading(gaussian(5, 8).double())
    assert shared_fraction(planted, planted).value == 1
    assert shared_fraction(planted, (planted.encoder, -planted.directions)).value == 0


# The null, the front door


def test_the_permutation_null_has_the_mean_of_independent_data(x, y):
    null = permutation_null(
        lambda a, b: canonical_correlations(a, b).square().mean(), x, y.numpy(), 200, torch.Generator().manual_seed(0)
    )
    assert abs(null.mean() - 6 / 299) < 5 * null.std() / 200**0.5
    assert float(canonical_correlations(x, y).square().mean()) > null.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        permutation_null(svcca, x[:9], y[:9], 3, torch.Generator())


def test_everything_public_is_there_and_importing_the_package_loads_none_of_it():
    for name in alignment.__all__:
        assert inspect.getdoc(getattr(alignment, name))
    assert "svcca" in dir(alignment)
    with pytest.raises(AttributeError, match=r"no attribute 'ccca'; it has .*svcca"):
        _ = alignment.ccca
    code = "import sys, homolog.alignment; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", WITH_ITSELF)
def test_a_gpu_gives_what_the_cpu_gives(name, x, y):
    measure, _ = WITH_ITSELF[name]
    assert measure(x.cuda(), y) == pytest.approx(measure(x, y), **CLOSE)
