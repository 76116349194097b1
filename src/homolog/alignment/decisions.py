"""Which latents came back: a decision for each, with the false discoveries among all of them under control."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

# So many null latents in each stratum of rates, or there are fewer strata: 1/101 is the smallest p-value then.
_FEWEST_NULLS = 100


def p_values(
    similarity: Float[np.ndarray, " latents"],
    rate: Float[np.ndarray, " latents"],
    null: Float[np.ndarray, " nulls"],
    null_rate: Float[np.ndarray, " nulls"],
    strata: int = 10,
) -> Float[np.ndarray, " latents"]:
    """Chance that a null latent of like firing rate is as similar: (1 + nulls at least as large) / (1 + nulls).

    Rare latents are similar by chance in another way than frequent ones, so each is held against the null latents of
    its stratum of `rate`: strata of equal numbers of nulls, and fewer of them where a stratum had under 100. `null` is
    the same statistic as `similarity`, from draws that redid all selection: if that is a mean over runs, so is each
    null. NaN where the similarity is. Raises ValueError if lengths differ, no null is left, or strata is below 1.
    """
    _check(similarity, rate, null, null_rate, strata)
    null, null_rate = null[~np.isnan(null)], null_rate[~np.isnan(null)]
    edges = _edges(null_rate, strata)
    stratum, null_stratum = np.searchsorted(edges, rate, "right"), np.searchsorted(edges, null_rate, "right")
    found = np.full(len(similarity), np.nan)
    for one in range(len(edges) + 1):
        here = (stratum == one) & ~np.isnan(similarity)
        nulls = np.sort(null[null_stratum == one])
        as_large = len(nulls) - np.searchsorted(nulls, similarity[here], "left")
        found[here] = (1 + as_large) / (1 + len(nulls))
    return found


def null_quantile(
    rate: Float[np.ndarray, " latents"],
    null: Float[np.ndarray, " nulls"],
    null_rate: Float[np.ndarray, " nulls"],
    level: float = 0.95,
    strata: int = 10,
) -> Float[np.ndarray, " latents"]:
    """What a null latent of like firing rate exceeds in at most a share 1 - level: the threshold of each latent.

    Strata as in `p_values`; the ceil(level (n + 1))-th smallest of n nulls, infinite where n is too small to have one.
    Raises ValueError as `p_values` does, or for a level outside (0, 1).
    """
    _check(rate, rate, null, null_rate, strata)
    null, null_rate = null[~np.isnan(null)], null_rate[~np.isnan(null)]
    edges = _edges(null_rate, strata)
    null_stratum = np.searchsorted(edges, null_rate, "right")
    thresholds = [upper_quantile(null[null_stratum == one], level) for one in range(len(edges) + 1)]
    return np.asarray(thresholds)[np.searchsorted(edges, rate, "right")]


def upper_quantile(null: Float[np.ndarray, " nulls"], level: float) -> float:
    """The ceil(level (n + 1))-th smallest of n nulls: one more draw exceeds it with chance at most 1 - level.

    Infinite where n is too small to have one (19 are needed at 0.95). Raises ValueError for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level lies between 0 and 1, but level = {level}: 0.95 is usual.")
    # Rounded first: 0.95 * 20 is a little more than 19 in floating point.
    place = int(np.ceil(round(level * (len(null) + 1), 9)))
    return float(np.sort(null)[place - 1]) if place <= len(null) else np.inf


def quantile_test(
    similarity: Float[np.ndarray, "runs latents"], threshold: Float[np.ndarray, " latents"]
) -> Float[np.ndarray, " latents"]:
    """p-values of H0: a latent's mean similarity over runs is at most `threshold` (the null's quantile).

    One-sided t test over the runs, which are the unit of replication: with a million tokens any similarity is above any
    threshold. Rows are independent (the retrainings of one base); NaN are left out, and below 3 runs it is NaN.
    """
    n = (~np.isnan(similarity)).sum(0)
    counted = np.maximum(n, 3)
    mean = np.nansum(similarity, axis=0) / counted
    error = np.sqrt(np.nansum((similarity - mean) ** 2, axis=0) / (counted * (counted - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        tested = stats.t.sf((mean - threshold) / error, counted - 1)
    # Runs that agree exactly leave nothing to test: above or not.
    exact = np.where(mean > threshold, 0.0, 1.0)
    return np.asarray(np.where(n < 3, np.nan, np.where(error > 0, tested, exact)))


def benjamini_yekutieli(p: Float[np.ndarray, " tests"], tests: int | None = None) -> Float[np.ndarray, " tests"]:
    """Adjusted p-values: calling those at most q keeps the false discovery rate at most q under any dependence.

    p_(k) m (1 + 1/2 + ... + 1/m) / k, made monotone from the largest down (Benjamini & Yekutieli 2001). NaN stays NaN
    and is no test. `tests` is m where it is more than the p-values given: the others then count as 1.
    Raises ValueError for p outside [0, 1] or `tests` below their number.
    """
    given = ~np.isnan(p)
    sorted_p = np.sort(p[given])
    n = len(sorted_p)
    m = n if tests is None else tests
    if n and not 0 <= sorted_p[0] <= sorted_p[-1] <= 1:
        raise ValueError(f"p-values lie in [0, 1], but these go from {sorted_p[0]} to {sorted_p[-1]}.")
    if m < n:
        raise ValueError(f"{n} p-values are from at least {n} tests, but tests = {m}.")
    adjusted = np.full(p.shape, np.nan)
    if n:
        harmonic = (1 / np.arange(1, m + 1)).sum()
        stepped = np.minimum.accumulate((sorted_p * m * harmonic / np.arange(1, n + 1))[::-1])[::-1]
        adjusted[given] = np.minimum(stepped, 1)[np.searchsorted(sorted_p, p[given], "right") - 1]
    return adjusted


def lower_bound(found: Int[np.ndarray, " tests"], runs: int, confidence: float = 0.95) -> Float[np.ndarray, " tests"]:
    """Exact one-sided lower bound on the share of runs that something returns in, when it did in `found` of `runs`.

    Clopper & Pearson (1934): the share at which so many or more have a chance of 1 - confidence. "In at least 80 %" at
    95 % needs 14 of 14, since 0.8^14 = 0.044. Raises ValueError if found isn't in 0..runs or confidence not in (0, 1).
    """
    if len(found) and not 0 <= found.min() <= found.max() <= runs:
        raise ValueError(f"found lies in 0..runs, but is {found.min()} to {found.max()} of {runs} runs.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, but confidence = {confidence}: 0.95 is usual.")
    bound = stats.beta.ppf(1 - confidence, np.maximum(found, 1), runs - found + 1)
    return np.asarray(np.where(found > 0, bound, 0.0))


def _edges(null_rate: Float[np.ndarray, " nulls"], strata: int) -> Float[np.ndarray, " edges"]:
    """Rates between strata, of which there are at most `strata`; equal rates stay together."""
    strata = max(1, min(strata, len(null_rate) // _FEWEST_NULLS))
    return np.unique(np.quantile(null_rate, np.arange(1, strata) / strata))


def _check(
    similarity: Float[np.ndarray, " latents"],
    rate: Float[np.ndarray, " latents"],
    null: Float[np.ndarray, " nulls"],
    null_rate: Float[np.ndarray, " nulls"],
    strata: int,
) -> None:
    if len(similarity) != len(rate) or len(null) != len(null_rate):
        raise ValueError(
            f"Each latent and each null latent needs a rate, but there are {len(similarity)} latents with {len(rate)} "
            f"rates and {len(null)} nulls with {len(null_rate)}."
        )
    if np.isnan(null).all():
        raise ValueError(f"All {len(null)} nulls are NaN, and nothing can be held against them: draw the null first.")
    if strata < 1:
        raise ValueError(f"strata is at least 1, but is {strata}.")
