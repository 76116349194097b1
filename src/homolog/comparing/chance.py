"""How alike would the latents be by chance, and which of them are more alike than that?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.nulls import haar_rotation, spectral_rotations
from homolog.comparing.views import Scored, Side
from homolog.encoding import with_rates
from homolog.streams import stream

# Values of the null that a latent is held against, at least: p-values then reach down to 1 / 2001.
NULL_VALUES = 2000
# Latents are grouped by how high their null is: so many in a group at least, so many groups at most.
IN_STRATUM, STRATA = 20, 10
# What is turned together, as `alignment.nulls.eigenvalue_blocks` has it: nothing beyond a fall of the variance to less
# than half, and a plane for itself. Turned into directions of less variance, where no dictionary of such data lies,
# latents would make chance look smaller than it is.
SMALLEST_BLOCK, CLEAR_FALL = 2, 0.5
# Rows on which firing rates of a turned dictionary are set.
RATED = 1024
NULLS = ("spectrum", "permutation")
LEVEL = 0.05


def draws_needed(latents: int) -> int:
    """Draws of the null so that every stratum holds `NULL_VALUES` of them, beside those that form the strata."""
    drawn = max(4, math.ceil(NULL_VALUES * _strata(latents) / max(latents, 1)))
    return drawn + pilot_draws(drawn)


def _strata(latents: int) -> int:
    return min(max(latents // IN_STRATUM, 1), STRATA)


def pilot_draws(draws: int) -> int:
    return max(1, draws // 5)


def chance_sides(side: Side, draws: int, null: str, key: tuple[str | int, ...]) -> Iterator[tuple[Side, Side]]:
    """Draws of a dictionary that has nothing to do with the others: one for codes, one for directions.

    ``spectrum``: both are the dictionary turned by `turns`, which keep its Gram matrix and what each latent has in each
    part of the data's spectrum. Its codes are those that the turned encoder reads from the same rows, with biases moved
    so that latents fire as often as before.
    ``permutation``, where rows are too few to know the spectrum: the codes of shuffled inputs (within chunks of 8,192
    rows), and directions turned at random in the whole space.
    """
    generator = stream("compare", "null", *key)
    match = side.rows.folds["match"]
    if null == "permutation":
        for draw in range(draws):
            turn = haar_rotation(side.rows.whole.units, generator).float()
            codes = {fold: one.shuffled("compare", "shuffle", *key, draw, fold) for fold, one in side.codes.items()}
            yield replace(side, codes=codes), Side.of(side.dictionary.rotated(turn), side.rows, side.device)
        return
    rows, rates = match.read(0, min(RATED, match.samples)), side.rates.mean(0)
    for rotation in turns(side, draws, generator):
        dictionary = with_rates(side.dictionary.rotated(rotation.float()), rates, rows)
        turned = Side.of(dictionary, side.rows, side.device)
        yield turned, turned


def within_labels(side: Side, draws: int, key: tuple[str | int, ...]) -> Iterator[Side]:
    """Draws of a dictionary whose codes are those of other inputs of the same label (within chunks of 8,192 rows)."""
    labels = side.rows.labels
    if labels is None:
        return
    for draw in range(draws):
        shuffled = {
            fold: codes.shuffled("compare", "labels", *key, draw, fold, labels=labels[fold])
            for fold, codes in side.codes.items()
        }
        yield replace(side, codes=shuffled)


def turns(side: Side, draws: int, generator: torch.Generator) -> Iterator[Float[Tensor, "units units"]]:
    """Rotations within the spectrum of the data (`alignment.nulls.spectral_rotation`), about their mean.

    What is read is x - bias. Where its mean is longer, within a block, than the deviation along an average direction
    there, it is left where it is: latents that point along it fire often in any dictionary, and are alike for that.
    """
    known = side.rows.moments
    mean = known.mean - side.dictionary.bias.double().to(known.mean)
    yield from spectral_rotations(
        known.covariance, draws, generator, minimum=SMALLEST_BLOCK, fall=CLEAR_FALL, held=mean
    )


def against_null(observed: Scored, null: list[Scored]) -> tuple[Float[Tensor, " latents"], Float[Tensor, " latents"]]:
    """p-value of each latent against the null, and the null's 95 % quantile, both pooled over strata of latents.

    A latent's own draws are too few for its p-value, and not all latents have one null: one that fires often, or
    points where the data vary most, is like some other by chance. So latents are sorted by the mean similarity of the
    first fifth of the draws, cut into strata, and held against the other draws of their stratum:
    p = (1 + number of null statistics >= observed) / (1 + number of null statistics). NaN where a latent isn't live.

    Within a stratum a p-value is right on average, not for each latent: one whose own null is above its stratum's has
    p <= 5 % more often. That is all that the false discovery rate takes: the bound of Benjamini & Yekutieli (2001,
    theorem 1.3) is a sum over latents of chances that p is small.
    """
    pilots = pilot_draws(len(null))
    similarity, statistic = (torch.stack([getattr(one, name) for one in null]) for name in ("similarity", "statistic"))
    p, quantile = (torch.full_like(observed.similarity, torch.nan) for _ in range(2))
    live = (~observed.similarity.isnan()).nonzero()[:, 0]
    order = live[similarity[:pilots, live].nanmean(0).nan_to_num(0).argsort(stable=True)]
    for stratum in order.tensor_split(_strata(len(live))):
        drawn = similarity[pilots:, stratum]
        # A turned latent that falls silent says nothing of chance.
        pool = statistic[pilots:, stratum][~drawn.isnan()].sort().values
        above = len(pool) - torch.searchsorted(pool, observed.statistic[stratum].contiguous())
        p[stratum] = (1 + above).to(p) / (1 + len(pool))
        if len(pool):
            quantile[stratum] = drawn[~drawn.isnan()].quantile(1 - LEVEL, interpolation="higher")
    return p, quantile


def smallest_share(live: int, draws: int, tests: int) -> float:
    """Share of the tests that must be found for any to be: below it the null has too few values for the correction."""
    values = (draws - pilot_draws(draws)) * live / _strata(live)
    harmonic = math.log(tests) + 0.5772 if tests else 0.0
    return harmonic / (LEVEL * (1 + values))
