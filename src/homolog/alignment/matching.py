"""Which latent of one dictionary belongs to which of another, and how similar are the two under that matching?

A matching is selected on one similarity matrix and scored on another (from the other half of the inputs): to select and
score on the same data is circular. Every matching here works on stacks of matrices, (..., m, n), of equal shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from homolog.alignment.assignment.assign import sparse_assignment
from homolog.alignment.transport import transport_plan

# Far below any difference that means something.
TIE = 1e-9
# From so many latents on both sides on, an assignment on candidates takes less time than a dense one.
LARGE = 2048


@dataclass(frozen=True)
class Matched:
    """A scored matching of the m latents of a with the n of b. For `best_b_to_a`, "each latent" is each of b."""

    value: float
    """Mean scored similarity of the matched latents; NaN if there is none. For `best` the mean of both directions."""
    per_latent: Float[Tensor, " latents"]
    """Scored similarity of each latent with its match; NaN where it has none. For `best` those of a."""
    index: Int[Tensor, " latents"]
    """The match of each latent, -1 where it has none. For `best` those of a."""


_Scored = tuple[Tensor, Tensor, Tensor]  # value (...), per_latent (..., m), index (..., m)


def match(selection: Float[Tensor, "m n"], scoring: Float[Tensor, "m n"], matching: str) -> Matched:
    """Match on `selection` (m, n), score on `scoring` (m, n); `matching` is a name in MATCHINGS.

    Raises ValueError for an unknown matching, unequal shapes, or entries that are NaN or infinite.
    """
    value, per_latent, index = _function(matching)(*_checked(selection, scoring))
    return Matched(float(value), per_latent, index)


def match_values(
    selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"], matching: str
) -> Float[Tensor, "*batch"]:
    """The `value` of `match` for each matrix of a stack, as (...): one call for all pairs, views or null draws.

    Raises ValueError for an unknown matching, unequal shapes, or entries that are NaN or infinite.
    """
    return _function(matching)(*_checked(selection, scoring))[0]


def rank(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """Latent i with latent i, as far as both go: the canonical order, for ordered methods only. Selects on nothing."""
    order = torch.arange(selection.shape[-2], device=selection.device)
    index = torch.where(order < selection.shape[-1], order, -1)
    return _scored(scoring, index.expand(selection.shape[:-1]))


def hungarian(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """One to one, min(m, n) pairs, with the largest sum of `selection` (Kuhn 1955).

    By scipy's dense Jonker-Volgenant solver, or for two large dictionaries exactly on candidates (`sparse_assignment`,
    which also needs no matrix in memory: use it directly for very large ones).
    """
    *batch, m, n = selection.shape
    matrices = selection.detach().double().cpu().reshape(-1, m, n) if m and n else selection.new_empty(0, m, n)
    index = torch.full((len(matrices), m), -1)
    for one, matrix in zip(index, matrices, strict=True):
        if min(m, n) >= LARGE:
            one.copy_(sparse_assignment(matrix).index)
        else:
            rows, columns = linear_sum_assignment(matrix.numpy(), maximize=True)
            one[torch.as_tensor(rows)] = torch.as_tensor(columns)
    if not (m and n):
        index = index.new_full((*batch, m), -1)
    return _scored(scoring, index.reshape(*batch, m).to(selection.device))


def best_a_to_b(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """Each latent of a with its most similar one of b, many to one: MMCS of a in b (Sharkey et al. 2022), directed.

    It favours a large b, where the maximum is over more latents: only its null says what a value is worth.
    """
    if selection.shape[-1] == 0:
        index = selection.new_full(selection.shape[:-1], -1, dtype=torch.long)
    else:
        index = selection.argmax(dim=-1)
    return _scored(scoring, index)


def best_b_to_a(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """Each latent of b with its most similar one of a; per latent of b, so (..., n)."""
    return best_a_to_b(selection.mT, scoring.mT)


def best(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """MMCS in both directions (Sharkey et al. 2022): the value is the mean of the two, the rest is that of a to b."""
    value, per_latent, index = best_a_to_b(selection, scoring)
    return (value + best_b_to_a(selection, scoring)[0]) / 2, per_latent, index


def mutual_best(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """Mutual nearest neighbours: pairs each of which is the other's most similar; the rest has no match.

    One to one where `selection` has no ties but those that `match` breaks. Its value is a mean over the pairs that
    exist, so it is high by construction: read it beside how many there are, and its null.
    """
    m, n = selection.shape[-2:]
    if m == 0 or n == 0:
        return best_a_to_b(selection, scoring)
    forth, back = selection.argmax(dim=-1), selection.argmax(dim=-2)
    mutual = back.gather(-1, forth) == torch.arange(m, device=selection.device)
    return _scored(scoring, torch.where(mutual, forth, -1))


def soft(selection: Float[Tensor, "*batch m n"], scoring: Float[Tensor, "*batch m n"]) -> _Scored:
    """Soft matching (Khosla & Williams 2024): the mass 1/m of each latent of a is shared among those of b, 1/n each.

    Every latent counts, on both sides, also where m and n differ. The similarity of a latent is the mean over where its
    mass goes, its index where most of it does. For m = n this is `hungarian`.
    """
    m, n = selection.shape[-2:]
    if m == n or m == 0 or n == 0:
        return hungarian(selection, scoring)
    plans = torch.stack([transport_plan(one) for one in selection.reshape(-1, m, n)])
    plan = plans.reshape(selection.shape).to(scoring)
    per_latent = m * (plan * scoring).sum(dim=-1)
    return per_latent.mean(dim=-1), per_latent, plan.argmax(dim=-1)


MATCHINGS: dict[str, Callable[[Tensor, Tensor], _Scored]] = {
    "rank": rank,
    "hungarian": hungarian,
    "mutual_best": mutual_best,
    "best": best,
    "best_a_to_b": best_a_to_b,
    "best_b_to_a": best_b_to_a,
    "soft": soft,
}


def _scored(scoring: Float[Tensor, "*batch m n"], index: Int[Tensor, "*batch m"]) -> _Scored:
    """Value (...), per_latent (..., m) and index of the pairs (i, index[i]); -1 is unmatched and left out."""
    matched = index >= 0
    if scoring.shape[-1] == 0:
        per_latent = scoring.new_full(index.shape, torch.nan)
    else:
        pairs = scoring.gather(-1, index.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        per_latent = torch.where(matched, pairs, torch.nan)
    return per_latent.nanmean(dim=-1), per_latent, index


def _function(matching: str) -> Callable[[Tensor, Tensor], _Scored]:
    if matching not in MATCHINGS:
        raise ValueError(f"There is no matching {matching!r}: choose one of {', '.join(MATCHINGS)}.")
    return MATCHINGS[matching]


def _checked(selection: Tensor, scoring: Tensor) -> tuple[Tensor, Tensor]:
    if selection.shape != scoring.shape:
        raise ValueError(
            f"A matching is selected and scored on the same latents, but selection has shape {tuple(selection.shape)} "
            f"and scoring {tuple(scoring.shape)}: give two similarity matrices of the same two dictionaries."
        )
    for name, similarity in (("selection", selection), ("scoring", scoring)):
        nans = int((~similarity.isfinite()).sum())
        if nans:
            raise ValueError(
                f"{nans} of {similarity.numel()} entries of the {name} similarity, shape {tuple(similarity.shape)}, "
                f"are NaN or infinite, and no matching is defined on them: leave out latents or views that have none."
            )
    # Latents that fire on one and the same input can't be told apart there. Ties go to those of equal index, which says
    # nothing between two runs, and matches a run with itself latent by latent.
    return selection + TIE * torch.eye(*selection.shape[-2:]).to(selection), scoring
