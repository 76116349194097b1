"""How does a distribution fall off: exponentially, like a normal one, or how else? Likelihoods and their ratios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

# Exponents that are tried, evenly in their logarithm; the likelihood is smooth in it, and a parabola does the rest.
EXPONENTS = torch.logspace(np.log10(0.25), np.log10(12.0), 60, dtype=torch.float64)
# Columns with fewer numbers than this say nothing.
FEWEST = 20


@dataclass(frozen=True)
class Falls:
    """Of each column: how many numbers, the exponent, and tests of the exponential and of the half-normal law."""

    number: Float[Tensor, " columns"]
    exponent: Float[Tensor, " columns"]
    p_exponential: Float[Tensor, " columns"]
    p_half_normal: Float[Tensor, " columns"]
    vuong: Float[Tensor, " columns"]


def likelihood(
    values: Float[Tensor, "rows columns"], there: Bool[Tensor, "rows columns"], exponent: float
) -> Float[Tensor, " columns"]:
    """Log-likelihood of positive numbers under a half generalised normal law, at its best scale.

    Its density is ``b / (a Gamma(1/b)) exp(-(y / a)^b)``: exponential for b = 1, half-normal for b = 2 (Subbotin,
    1923). The best scale is ``a^b = b mean(y^b)``. Only numbers that are `there` count.
    """
    number = there.sum(0).double()
    powers = torch.where(there, values.double().clamp_min(0) ** exponent, 0.0).sum(0)
    scale = (exponent * powers / number).log() / exponent
    gamma = torch.lgamma(torch.tensor(1 / exponent, dtype=torch.float64))
    found: Tensor = number * (np.log(exponent) - scale - gamma - 1 / exponent)
    return found


def falls(values: Float[Tensor, "rows columns"], there: Bool[Tensor, "rows columns"]) -> Falls:
    """Fit the half generalised normal law to each column, and test its two special cases.

    The nested tests take twice the logarithm of the ratio of likelihoods as chi-squared of one degree of freedom
    (Wilks, 1938). `vuong` is Vuong's (1989) statistic of exponential (positive) against half-normal, which has as many
    parameters: normal of variance 1 where both are equally far from the truth. NaN below `FEWEST` numbers.
    """
    each = torch.stack([likelihood(values, there, float(one)) for one in EXPONENTS])
    exponent, best = _peak(each)
    one, two = (likelihood(values, there, exponent) for exponent in (1.0, 2.0))
    number = there.sum(0).double()
    enough = number >= FEWEST
    found = {
        "exponent": exponent,
        "p_exponential": _p_value(torch.maximum(best, one) - one),
        "p_half_normal": _p_value(torch.maximum(best, two) - two),
        "vuong": _vuong(values, there),
    }
    return Falls(number, **{name: torch.where(enough, value, torch.nan) for name, value in found.items()})


def _peak(each: Float[Tensor, "exponents columns"]) -> tuple[Float[Tensor, " columns"], Float[Tensor, " columns"]]:
    """The exponent of the largest likelihood, and that: the top of a parabola through the best point's neighbours."""
    logs = EXPONENTS.log()
    at = each.argmax(0).clamp(1, len(logs) - 2)
    left, middle, right = (each.gather(0, (at + step)[None])[0] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = torch.where(bend < 0, (left - right) / (2 * bend).clamp_max(-1e-300), 0.0).clamp(-1, 1)
    step = logs[1] - logs[0]
    top = middle + (right - left) / 2 * shift + bend / 2 * shift**2
    return (logs[at] + shift * step).exp(), torch.maximum(top, each.amax(0))


def _p_value(gained: Float[Tensor, " columns"]) -> Float[Tensor, " columns"]:
    return torch.from_numpy(np.asarray(stats.chi2.sf(2 * gained.numpy(), 1)))


def _vuong(values: Float[Tensor, "rows columns"], there: Bool[Tensor, "rows columns"]) -> Float[Tensor, " columns"]:
    y, number = torch.where(there, values.double(), 0.0), there.sum(0).double()
    mean, square = y.sum(0) / number, (y**2).sum(0) / number
    half = 0.5 * torch.log(2 / (torch.pi * square)) - y**2 / (2 * square)
    ratio = torch.where(there, -mean.log() - y / mean - half, 0.0)
    centre = ratio.sum(0) / number
    spread = torch.where(there, (ratio - centre) ** 2, 0.0).sum(0) / number
    return centre * number.sqrt() / spread.sqrt()


def tail_of(
    values: Float[Tensor, "rows columns"], share: float
) -> tuple[Float[Tensor, "rows columns"], Bool[Tensor, "rows columns"]]:
    """By how much the largest numbers of each column exceed the threshold above which this share of rows lies.

    Where fewer rows than that are above 0, all of these: what is 0 is no tail.
    """
    threshold = torch.quantile(values.double(), 1 - share, dim=0).clamp_min(0)
    above = values.double() - threshold
    return above, above > 0


def accepted(p: Float[np.ndarray, " columns"], level: float) -> Bool[np.ndarray, " columns"]:
    """Which hypotheses stand: those not rejected at a false discovery rate of `level` (Benjamini & Yekutieli, 2001).

    Any dependence between columns is allowed for. NaN stands for a hypothesis that isn't tested, and isn't accepted.
    """
    tested = ~np.isnan(p)
    standing = np.zeros(p.shape, bool)
    if tested.any():
        standing[tested] = stats.false_discovery_control(p[tested], method="by") > level
    return standing
