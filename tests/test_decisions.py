"""Decisions equal their definitions, and keep the level that they state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from homolog.alignment.decisions import (
    benjamini_yekutieli,
    lower_bound,
    null_quantile,
    p_values,
    quantile_test,
    upper_quantile,
)


def test_fourteen_of_fourteen_are_needed_for_four_fifths_at_95_percent():
    assert lower_bound(np.array([14]), 14)[0] == pytest.approx(0.05 ** (1 / 14))
    assert lower_bound(np.array([14]), 14)[0] >= 0.8 > lower_bound(np.array([13]), 13)[0]
    assert (lower_bound(np.arange(14), 14) < 0.8).all()


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("runs", [1, 5, 50])
def test_the_bound_is_where_so_many_have_the_stated_chance(runs, confidence):
    found = np.arange(1, runs + 1)
    low = lower_bound(found, runs, confidence)
    np.testing.assert_allclose(stats.binom.sf(found - 1, runs, low), 1 - confidence)
    assert lower_bound(np.array([0]), runs, confidence)[0] == 0
    assert (low < found / runs).all()


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="is 6 to 6 of 5 runs"):
        lower_bound(np.array([6]), 5)
    with pytest.raises(ValueError, match=r"confidence = 1\.0"):
        lower_bound(np.array([5]), 5, 1.0)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30), extra=st.integers(0, 20))
def test_adjusted_p_values_call_what_the_step_up_procedure_calls(p, extra):
    p = np.asarray(p)
    tests = len(p) + extra
    adjusted = benjamini_yekutieli(p, tests)
    harmonic = sum(1 / k for k in range(1, tests + 1))
    for q in (0.05, 0.2, 0.7):
        order = np.sort(p)
        reached = [k for k in range(1, len(p) + 1) if order[k - 1] * tests * harmonic / k <= q]
        called = p <= order[reached[-1] - 1] if reached else np.zeros(len(p), bool)
        np.testing.assert_array_equal(adjusted <= q, called)
    assert (adjusted >= p).all()


def test_missing_p_values_are_no_tests():
    p = np.array([0.001, np.nan, 0.2, np.nan])
    adjusted = benjamini_yekutieli(p)
    np.testing.assert_allclose(adjusted, [0.001 * 2 * 1.5, np.nan, 0.2 * 1.5, np.nan])
    assert benjamini_yekutieli(np.empty(0)).shape == (0,)
    for bad, tests, message in [(np.array([1.5]), None, r"these go from 1\.5"), (np.array([0.5, 0.5]), 1, "tests = 1")]:
        with pytest.raises(ValueError, match=message):
            benjamini_yekutieli(bad, tests)


@pytest.mark.parametrize("correlated", [0, 0.5, 0.95])
def test_false_discoveries_stay_under_their_level_with_dependent_tests(correlated):
    """1,000 repetitions, half of 40 hypotheses true: a share above 0.05 + 0.015 has a chance below 2 % at level 5 %."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 40))
    scores = np.sqrt(correlated) * shared + np.sqrt(1 - correlated) * own
    scores[:, 20:] += 4
    called = np.stack([benjamini_yekutieli(one) for one in stats.norm.sf(scores)]) <= 0.05
    false = called[:, :20].sum(1) / np.maximum(called.sum(1), 1)
    assert false.mean() < 0.065
    assert called[:, 20:].mean() > 0.5


def test_a_p_value_counts_the_nulls_of_its_stratum():
    null = np.arange(400.0)
    null_rate = np.repeat([0.1, 0.2], 200)
    similarity, rate = np.array([-1, 150, 1000, 250, np.nan, 300]), np.array([0.1, 0.1, 0.1, 0.2, 0.2, 5.0])
    expected = np.array([201, 51, 1, 151, np.nan, 101]) / 201
    np.testing.assert_allclose(p_values(similarity, rate, null, null_rate, strata=2), expected)
    # Too few nulls for two strata: all are held against all.
    pooled = p_values(similarity, rate, null[150:250], null_rate[150:250], strata=2)
    np.testing.assert_allclose(pooled, np.array([101, 101, 1, 1, np.nan, 1]) / 101)


def test_strata_keep_the_level_where_pooling_all_rates_does_not():
    """Rare latents are similar by chance more widely here; exact p-values are at most 5 % in 5 % of 4,000 latents."""
    rng = np.random.default_rng(0)
    rate, null_rate = rng.uniform(size=4000), rng.uniform(size=20000)
    similarity, null = (rng.normal(size=len(one)) * np.where(one < 0.2, 3, 1) for one in (rate, null_rate))
    rare = rate < 0.2
    stratified, pooled = (p_values(similarity, rate, null, null_rate, strata) <= 0.05 for strata in (10, 1))
    for group in (rare, ~rare):
        assert stratified[group].mean() == pytest.approx(0.05, abs=5 * (0.05 * 0.95 / group.sum()) ** 0.5)
    assert pooled[rare].mean() > 0.1
    above = similarity > null_quantile(rate, null, null_rate)
    np.testing.assert_array_equal(above, stratified)


@pytest.mark.parametrize("n", [18, 19, 20, 39, 1000])
def test_a_new_draw_exceeds_the_quantile_in_at_most_5_percent(n):
    null = np.arange(float(n))
    threshold = upper_quantile(null, 0.95)
    # The new draw's place among n + 1 is uniform, and so many of these places are above the threshold.
    places = 1 + np.sum(null > threshold) if np.isfinite(threshold) else 0
    assert places / (n + 1) <= 0.05
    assert (places + 1) / (n + 1) > 0.05


def test_unfit_nulls_are_refused(no_shape_checks):
    one = np.ones(1)
    with pytest.raises(ValueError, match="1 nulls with 2"):
        p_values(one, one, one, np.ones(2))
    with pytest.raises(ValueError, match="All 1 nulls are NaN"):
        null_quantile(one, np.array([np.nan]), one)
    with pytest.raises(ValueError, match="strata is at least 1"):
        p_values(one, one, one, one, strata=0)
    with pytest.raises(ValueError, match=r"level = 1\.5"):
        upper_quantile(one, 1.5)


def test_the_quantile_test_is_the_one_sided_t_test():
    rng = np.random.default_rng(0)
    similarity, threshold = rng.normal(size=(5, 3)), rng.normal(size=3)
    expected = stats.ttest_1samp(similarity, threshold, alternative="greater").pvalue
    np.testing.assert_allclose(quantile_test(similarity, threshold), expected)
    holed = np.concatenate([similarity, np.full((2, 3), np.nan)])
    np.testing.assert_allclose(quantile_test(holed, threshold), expected)
    assert np.isnan(quantile_test(similarity[:2], threshold)).all()
    assert quantile_test(np.full((4, 2), 0.5), np.array([0.4, 0.5])).tolist() == [0, 1]
