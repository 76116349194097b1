"""How sure is a stability measured on a handful of runs, where every run stands in many pairs?

The unit of replication is the run, not the pair and not the input: pairs that share a run are dependent, so resampling
pairs gives intervals that cover about half of what they say. All arrays are (pairs, ...): one call does all columns.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy import stats

# Below 2 standard errors a reliability isn't told from 0, and a ratio with it has no finite moments to speak of.
_RELIABILITY_ERRORS = 2.0
# With 2 runs the t quantile is 12.7 at 1 degree of freedom: such an interval would say nothing about any similarity.
_FEWEST_REPLICATES = 3


class Interval(NamedTuple):
    """Bounds around an estimate, and its standard error; all NaN where fewer than 3 runs could be left out in turn."""

    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]
    standard_error: Float[np.ndarray, "..."]


def mean_over_pairs(values: Float[np.ndarray, "pairs ..."]) -> Float[np.ndarray, "..."]:
    """Mean over the pairs that are not NaN, (...); NaN (and no warning) where none is left."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0))


def jackknife_interval(
    values_by_pair: Float[np.ndarray, "pairs ..."],
    units_a: Sequence[object],
    units_b: Sequence[object],
    statistic: Callable[[Float[np.ndarray, "pairs ..."]], Float[np.ndarray, "..."]] = mean_over_pairs,
    confidence: float = 0.95,
) -> Interval:
    """Delete-one-run jackknife with Student t quantiles for a statistic of pairs of runs (Tukey 1958; Arvesen 1969).

    `units_a[p]` and `units_b[p]` name the two runs of pair p, `values_by_pair` is (pairs, ...), the bounds are (...).
    Leaving out run i removes every pair that contains it; with n runs and the estimate theta, the pseudo-values are
    n theta - (n - 1) theta_(-i), and their standard error times the t quantile of n - 1 degrees of freedom stands on
    both sides of theta. A run in every pair (the base of its retrainings) isn't a replicate and is never left out. NaN
    pairs are left out, column by column, and with them runs that have no other pair. Below 3 replicates all is NaN:
    with 2 the interval would be meaningless.

    Several bases with retrainings of their own are nested: then the base is the unit (name it for both runs of a pair),
    since leaving out single retrainings knows nothing of how bases differ.
    Raises ValueError if the names don't fit the pairs, or confidence is outside (0, 1).
    """
    return _jackknife((values_by_pair,), units_a, units_b, statistic, confidence)


def similarity_interval(
    values_by_pair: Float[np.ndarray, "pairs ..."],
    units_a: Sequence[object],
    units_b: Sequence[object],
    confidence: float = 0.95,
) -> Interval:
    """`jackknife_interval` of a mean of similarities, which lie in [-1, 1], on Fisher's z scale (Fisher 1921).

    Bounds are tanh(z -+ t s / (1 - m^2)), z = atanh(m), of the mean m with its jackknife standard error s: the error of
    z by the delta method. Close to a bound similarities are skewed, and a symmetric interval covers less than it says
    (89 to 92 % at 5 runs for means of .9 to .99; this one 94 %) and may pass 1. At a mean of 1 it is the plain one.
    """
    plain = jackknife_interval(values_by_pair, units_a, units_b, confidence=confidence)
    return _on_fishers_scale(plain, (plain.low + plain.high) / 2)


def ratio_interval(
    observed: Float[np.ndarray, "pairs ..."],
    null: Float[np.ndarray, "pairs ..."],
    ceiling: Float[np.ndarray, "pairs ..."],
    units_a: Sequence[object],
    units_b: Sequence[object],
    confidence: float = 0.95,
) -> Interval:
    """`jackknife_interval` of the excess (mean observed - mean null) / (mean ceiling - mean null), means over pairs.

    A pair that is NaN in one of the three is left out of all three. The interval says nothing where the reliability
    isn't clear of 0: see `excess`. Raises ValueError as `jackknife_interval` does.
    """
    return _jackknife((observed, null, ceiling), units_a, units_b, _ratio_of_means, confidence)


def left(
    observed: Float[np.ndarray, "pairs ..."], explaining: Sequence[Float[np.ndarray, "pairs ..."]]
) -> Float[np.ndarray, "..."]:
    """Mean observed similarity above the highest mean of what may explain it, (...): at most 0 where nothing is left.

    Means are over the pairs that have the observed and all explanations. One that no pair has explains nothing; NaN
    where nothing explains. Of explanations that are alike the highest is so by chance: then this is a little too low.
    """
    return _above_highest(*_in_common(observed, explaining))


def left_interval(
    observed: Float[np.ndarray, "pairs ..."],
    explaining: Sequence[Float[np.ndarray, "pairs ..."]],
    units_a: Sequence[object],
    units_b: Sequence[object],
    confidence: float = 0.95,
) -> Interval:
    """`jackknife_interval` of `left`, on Fisher's z scale of the observed, from which the highest explanation is taken.

    The standard error s is that of the difference: of both means, and of how they vary together; without a run, the
    highest is chosen anew. Bounds are tanh(z -+ t s / (1 - m^2)) - h, z = atanh(m), of the mean observed m and the
    highest explanation h: what is left of similarities close to 1 is skewed as they are, and can't pass 1 - h.
    Raises ValueError as `jackknife_interval` does.
    """
    roles = _in_common(observed, explaining)
    return _on_fishers_scale(_jackknife(roles, units_a, units_b, _above_highest, confidence), mean_over_pairs(roles[0]))


def excess(
    observed: float | Float[np.ndarray, "..."],
    null: float | Float[np.ndarray, "..."],
    ceiling: float | Float[np.ndarray, "..."],
    reliability_standard_error: float | Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """(observed - null) / (ceiling - null) of means over pairs: 0 is chance, 1 as stable as the method allows.

    NaN where the reliability, ceiling - null, is under 2 standard errors, or where that error is unknown (NaN): a
    method that hardly finds itself again has no scale to measure on.
    """
    reliability = np.asarray(np.subtract(ceiling, null))
    clear = (reliability > 0) & (reliability >= _RELIABILITY_ERRORS * np.asarray(reliability_standard_error))
    return np.asarray(np.where(clear, np.subtract(observed, null) / np.where(clear, reliability, 1.0), np.nan))


def _on_fishers_scale(plain: Interval, mean: Float[np.ndarray, "..."]) -> Interval:
    """Bounds around a mean similarity, or around what it is above something, as Fisher's z of that mean has them."""
    estimate, half = (plain.low + plain.high) / 2, (plain.high - plain.low) / 2
    inside = np.abs(mean) < 1
    z = np.arctanh(np.where(inside, mean, 0.0))
    width = np.where(inside, half, 0.0) / np.where(inside, 1 - mean**2, 1.0)
    below = np.where(inside, mean - estimate, 0.0)
    low, high = (
        np.where(inside, np.tanh(z + side * width) - below, edge) for side, edge in ((-1, plain.low), (1, plain.high))
    )
    return Interval(low, high, plain.standard_error)


def _in_common(
    observed: Float[np.ndarray, "pairs ..."], explaining: Sequence[Float[np.ndarray, "pairs ..."]]
) -> list[Float[np.ndarray, "pairs ..."]]:
    """The observed and what may explain it, NaN in all where one lacks a pair; -inf for what no pair has."""
    known = [np.where(np.isnan(role).all(axis=0), -np.inf, role) for role in explaining]
    missing = np.isnan([observed, *known]).any(axis=0) | np.isneginf(known).all(axis=0)
    return [np.where(missing, np.nan, role) for role in (observed, *known)]


def _above_highest(
    observed: Float[np.ndarray, "pairs ..."], *explaining: Float[np.ndarray, "pairs ..."]
) -> Float[np.ndarray, "..."]:
    return np.asarray(mean_over_pairs(observed) - np.max([mean_over_pairs(role) for role in explaining], axis=0))


def _ratio_of_means(
    observed: Float[np.ndarray, "pairs ..."],
    null: Float[np.ndarray, "pairs ..."],
    ceiling: Float[np.ndarray, "pairs ..."],
) -> Float[np.ndarray, "..."]:
    low = mean_over_pairs(null)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((mean_over_pairs(observed) - low) / (mean_over_pairs(ceiling) - low))


def _jackknife(
    roles: Sequence[Float[np.ndarray, "pairs ..."]],
    units_a: Sequence[object],
    units_b: Sequence[object],
    statistic: Callable[..., Float[np.ndarray, "..."]],
    confidence: float,
) -> Interval:
    """The jackknife of a statistic of one or more arrays by pair; see `jackknife_interval`."""
    contains = _membership(roles, units_a, units_b, confidence)
    missing = np.any([np.isnan(role) for role in roles], axis=0)
    present = [np.where(missing, np.nan, np.asarray(role, dtype=np.float64)) for role in roles]
    left_in = [
        ~missing[pairs].all(axis=0) for pairs in contains
    ]  # has the run a pair, and has the rest one without it?
    rest_in = [~missing[~pairs].all(axis=0) for pairs in contains]
    replicate = np.logical_and(left_in, rest_in)
    without = np.stack([statistic(*(role[~pairs] for role in present)) for pairs in contains])
    estimate = statistic(*present)
    n = np.asarray(replicate.sum(axis=0))
    enough = n >= _FEWEST_REPLICATES
    counted = np.where(enough, n, _FEWEST_REPLICATES)
    pseudo = np.where(replicate, counted * estimate - (counted - 1) * without, 0.0)
    spread = np.where(replicate, pseudo - pseudo.sum(axis=0) / counted, 0.0)
    error = np.where(enough, np.sqrt((spread**2).sum(axis=0) / (counted * (counted - 1))), np.nan)
    half_width = stats.t.ppf((1 + confidence) / 2, counted - 1) * error
    return Interval(np.asarray(estimate - half_width), np.asarray(estimate + half_width), np.asarray(error))


def _membership(
    roles: Sequence[np.ndarray], units_a: Sequence[object], units_b: Sequence[object], confidence: float
) -> list[npt.NDArray[np.bool_]]:
    """For each run, in order of appearance, a mask (pairs,) of the pairs that contain it."""
    shapes = {np.shape(role) for role in roles}
    pairs = len(roles[0])
    if len(shapes) > 1 or len(units_a) != pairs or len(units_b) != pairs or pairs == 0:
        raise ValueError(
            f"A jackknife needs the names of two runs for each pair, and at least one pair, but values have shape "
            f"{', '.join(map(str, sorted(shapes)))} and there are {len(units_a)} and {len(units_b)} names: "
            f"give one name of each kind per entry of the first dim."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, but confidence = {confidence}: 0.95 is usual.")
    runs = dict.fromkeys([*units_a, *units_b])
    both = list(zip(units_a, units_b, strict=True))
    return [np.array([run in pair for pair in both]) for run in runs]
