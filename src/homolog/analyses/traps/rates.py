"""How often was a decision false, how often did it miss, and how sure is that after so many repetitions?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special, stats


class Rate(NamedTuple):
    """A mean over repetitions of shares in [0, 1], and one-sided bounds of the expected one."""

    mean: float
    low: float
    high: float


def false_share(
    found: Bool[np.ndarray, "repetitions latents"], true: Bool[np.ndarray, "repetitions latents"]
) -> Float[np.ndarray, " repetitions"]:
    """Share of what was found that is false; 0 where nothing was found. Its mean is the false discovery rate
    (Benjamini & Hochberg 1995); where nothing is true, that is the share of repetitions with a discovery."""
    return np.asarray((found & ~true).sum(1) / np.maximum(found.sum(1), 1))


def power(
    found: Bool[np.ndarray, "repetitions latents"], true: Bool[np.ndarray, "repetitions latents"]
) -> Float[np.ndarray, " repetitions"]:
    """Share of what is true that was found; NaN where nothing is."""
    count = true.sum(1)
    return np.asarray(np.where(count > 0, (found & true).sum(1) / np.maximum(count, 1), np.nan))


def rate(shares: Float[np.ndarray, " repetitions"], confidence: float = 0.95) -> Rate:
    """Mean of independent shares, and bounds each of which holds at `confidence`. All NaN without repetitions.

    Where every share is 0 or 1 the bounds are exact (Clopper & Pearson 1934); else they are Chernoff's, which hold for
    any law on [0, 1] (Hoeffding 1963, theorem 1). Raises ValueError for shares outside, or confidence not in (0, 1).
    """
    shares = shares[~np.isnan(shares)]
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, but confidence = {confidence}: 0.95 is usual.")
    if len(shares) and not 0 <= shares.min() <= shares.max() <= 1:
        raise ValueError(f"shares lie between 0 and 1, but these go from {shares.min()} to {shares.max()}.")
    if not len(shares):
        return Rate(np.nan, np.nan, np.nan)
    n, mean = len(shares), float(shares.mean())
    if np.isin(shares, (0, 1)).all():
        ones = int(shares.sum())
        low = stats.beta.ppf(1 - confidence, ones, n - ones + 1) if ones else 0.0
        high = stats.beta.ppf(confidence, ones + 1, n - ones) if ones < n else 1.0
        return Rate(mean, float(low), float(high))
    return Rate(mean, 1 - _chernoff(1 - mean, n, confidence), _chernoff(mean, n, confidence))


def _chernoff(mean: float, n: int, confidence: float) -> float:
    """The largest expected share under which a mean so low, or lower, isn't rarer than exp(-n KL) = 1 - confidence."""
    limit, low, high = -np.log(1 - confidence) / n, mean, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        divergence = special.rel_entr(mean, middle) + special.rel_entr(1 - mean, 1 - middle)
        low, high = (middle, high) if divergence <= limit else (low, middle)
    return high
