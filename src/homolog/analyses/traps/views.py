"""How alike are two stacks of dictionaries in each view that `homolog.compare` takes by default?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from homolog.analyses.traps.codes import Codes, halves
from homolog.analyses.traps.stack import Pair, Stack
from homolog.comparing.views import CODES, MAPPED, VIEWS

FOLDS = ("match", "score")
Maps = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scored:
    """Similarity with the match, by draw; minus infinity without a mutual one. `valid`: it is live, and another is."""

    statistic: Float[Tensor, "repetitions draws latents"]
    valid: Bool[Tensor, "repetitions draws latents"]


Views = dict[str, tuple[Scored, Scored]]


def views_of(pair: Pair) -> list[str]:
    """Views that `compare` takes for such a pair by default: all that are identified."""
    sparse, own = pair.a.activation != "identity", not pair.projected
    if pair.one_basis:
        legal = {"score": True, "jaccard": sparse, "neuron": True, "encoder": own}
    else:
        mapped = pair.rows_a.shape[1] >= 4 * pair.rows_a.shape[2]
        legal = {"score": True, "jaccard": sparse} | dict.fromkeys(MAPPED, mapped)
    return [view for view in VIEWS if legal.get(view, False)]


def primary_of(pair: Pair) -> str:
    """The view that decides."""
    return "neuron" if pair.projected and pair.one_basis else "score"


def compare_stacks(
    pair: Pair, wanted: list[str], a: tuple[Stack, Codes], b: tuple[Stack, Codes], maps: Maps, draws: int
) -> Views:
    """All views of a with b, whose latents are those of `draws` dictionaries one after the other."""
    (stack_a, codes_a), (stack_b, codes_b) = a, b
    result: Views = {}
    live = codes_a.live, codes_b.live.reshape(len(codes_b.live), draws, -1)

    def by_draw(similarity: Tensor) -> Tensor:
        return _by_draw(similarity if pair.a.signed else similarity.abs_(), draws)

    if set(wanted) & set(CODES):
        r = {fold: by_draw(_correlations(codes_b, codes_a, fold)) for fold in FOLDS}
        result["score"] = _scored(r["match"], r["score"], *live)
        if "jaccard" in wanted:
            overlap = _by_draw(_overlaps(codes_b.values["score"], codes_a.values["score"]), draws)
            result["jaccard"] = _scored(r["match"], overlap, *live)
    for view in (view for view in wanted if view not in CODES):
        if view == "encoder" and stack_a.tied and stack_b.tied:
            result[view] = result["neuron"]
            continue
        ours, theirs = (_unit(stack.encoder if view == "encoder" else stack.directions) for stack in (stack_a, stack_b))
        if view in maps:
            match, score = (by_draw(_unit(theirs @ one.float()) @ ours.mT) for one in maps[view])
        else:
            match = score = by_draw(theirs @ ours.mT)
        result[view] = _scored(match, score, *live)
    return {view: result[view] for view in wanted}


def _by_draw(similarity: Tensor, draws: int) -> Float[Tensor, "few draws latents_b latents_a"]:
    return similarity.reshape(len(similarity), draws, -1, similarity.shape[-1])


def _scored(match: Tensor, score: Tensor, live_a: Tensor, live_b: Tensor) -> tuple[Scored, Scored]:
    """Of a and of b: chosen by `match`, scored by `score` (few, draws, latents of b, of a), among live latents."""
    there = live_b[..., None] & live_a[:, None, None]
    if not bool(there.all()):
        match = match.masked_fill(~there, -torch.inf)
    # Entries that are the largest of their row and of their column: the mutual matches.
    mutual = (match == match.amax(2, keepdim=True)) & (match == match.amax(3, keepdim=True)) & there
    value = score.masked_fill(~mutual, -torch.inf)
    return Scored(value.amax(2), there.any(2)), Scored(value.amax(3), there.any(3))


def _correlations(b: Codes, a: Codes, fold: str) -> Float[Tensor, "few latents_b latents_a"]:
    """Pearson's r; centring one side is enough."""
    ours = a.values[fold] - a.values[fold].mean(-1, keepdim=True)
    ours = ours * a.scale[fold][..., None]
    return (b.values[fold] @ ours.mT).mul_(b.scale[fold][..., None]).clamp_(-1, 1)


def _overlaps(b: Tensor, a: Tensor) -> Float[Tensor, "few latents_b latents_a"]:
    """Jaccard's index: rows on which both are active over rows on which one is."""
    on_b, on_a = b.sign().abs_(), a.sign().abs_()
    both = on_b @ on_a.mT
    either = on_b.sum(-1)[:, :, None] + on_a.sum(-1)[:, None] - both
    return both / either.clamp_(min=1)


def maps_of(wanted: list[str], a: Float[Tensor, "few rows units"], b: Float[Tensor, "few rows units"]) -> Maps:
    """By view that needs one, the maps from b's units to a's, fitted on either half; none in one basis.

    As `comparing.views.fit_maps`: the rotation nearest to a's activations, and the permutation of units.
    """
    if not set(wanted) & set(MAPPED):
        return {}
    rotations, permutations = [], []
    for index in halves(a.shape[1]).values():
        (ours, spread_a), (theirs, spread_b) = (_centred(rows[:, index]) for rows in (a, b))
        cross = theirs.mT @ ours
        u, _, vh = torch.linalg.svd(cross)
        rotations.append(u @ vh)
        matched = [linear_sum_assignment(one, maximize=True)[1] for one in (cross / spread_b.mT / spread_a).numpy()]
        permutations.append(torch.eye(a.shape[2], dtype=cross.dtype)[torch.from_numpy(np.stack(matched))])
    found = {"neuron_procrustes": rotations, "neuron_permuted": permutations}
    return {view: (found[view][0], found[view][1]) for view in wanted if view in MAPPED}


def _centred(rows: Tensor) -> tuple[Float[Tensor, "few rows units"], Float[Tensor, "few 1 units"]]:
    """In float64, and the norm of each unit; a constant one's is infinite."""
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    return centred, torch.where(norm > 0, norm, torch.inf)


def _unit(rows: Tensor) -> Tensor:
    norms = rows.norm(dim=-1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1.0)
