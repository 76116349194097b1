"""What would `homolog.compare` decide, latent by latent, in a thousand repetitions at once?

The same steps as there, stacked: a repetition is a leading axis, a draw of the null the next one. What decides is taken
from there (halves of the rows, moments, blocks of the spectrum, draws, level, Benjamini & Yekutieli); the tests hold
p-values and decisions against `compare` on single repetitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.decisions import benjamini_yekutieli
from homolog.alignment.nulls import eigenvalue_blocks
from homolog.analyses.traps.stack import Pair, Stack
from homolog.comparing.chance import IN_STRATUM, LEVEL, RATED, draws_needed, pilot_draws
from homolog.comparing.rows import Rows
from homolog.comparing.views import CODES, MAPPED, VIEWS, fit_maps
from homolog.decompositions.moments import Moments
from homolog.decompositions.samples import InMemory
from homolog.decompositions.split import halves_of
from homolog.streams import stream

# Numbers in the largest array of a pass: few enough to stay near the processor.
AT_ONCE = 2**20
FOLDS = ("match", "score")


@dataclass(frozen=True)
class Codes:
    """Codes of stacked dictionaries on both halves, latents before rows, their inverse deviations, and who is live."""

    values: dict[str, Float[Tensor, "repetitions latents rows"]]
    rates: Float[Tensor, "repetitions latents"]
    live: Bool[Tensor, "repetitions latents"]
    scale: dict[str, Float[Tensor, "repetitions latents"]]


@dataclass(frozen=True)
class Scored:
    """Similarity with the match, by draw; minus infinity without a mutual one. `valid`: it is live, and another is."""

    statistic: Float[Tensor, "repetitions draws latents"]
    valid: Bool[Tensor, "repetitions draws latents"]


Views = dict[str, tuple[Scored, Scored]]
Maps = dict[str, tuple[Tensor, Tensor]]


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


def found(pair: Pair, seeds: Int[np.ndarray, " repetitions"]) -> dict[str, Bool[np.ndarray, "repetitions latents"]]:
    """By view, the latents of a and then those of b that have a match, at 5 %; `seeds` are `compare`'s own.

    Raises ValueError for so many latents that `compare` would sort them into strata.
    """
    p = p_values(pair, seeds)
    return {
        view: np.stack([np.nan_to_num(benjamini_yekutieli(row), nan=1.0) <= LEVEL for row in values])
        for view, values in p.items()
    }


def p_values(pair: Pair, seeds: Int[np.ndarray, " repetitions"]) -> dict[str, Float[np.ndarray, "repetitions latents"]]:
    """By view, p-values of the latents of a and then those of b; NaN where a latent isn't live."""
    if max(pair.a.latents, pair.b.latents) >= 2 * IN_STRATUM:
        raise ValueError(
            f"{max(pair.a.latents, pair.b.latents)} latents would be sorted into strata, and repetitions are "
            f"stacked up to {2 * IN_STRATUM - 1}: take fewer latents."
        )
    live = [_codes(stack, rows) for stack, rows in ((pair.a, pair.rows_a), (pair.b, pair.rows_b))]
    fewest = torch.minimum(live[0].live.sum(1), live[1].live.sum(1))
    parts: dict[str, np.ndarray] = {}
    for size in sorted(set(fewest.tolist())):
        chosen = (fewest == size).nonzero()[:, 0]
        draws = draws_needed(int(size))
        each = max(1, AT_ONCE // (draws * max(pair.a.latents, pair.b.latents) * pair.rows_a.shape[1]))
        for few in chosen.split(each):
            for view, values in _few(pair.take(few), seeds[few.numpy()], draws).items():
                whole = parts.setdefault(view, np.full((len(seeds), values.shape[1]), np.nan))
                whole[few.numpy()] = values
    return parts


def _few(pair: Pair, seeds: Int[np.ndarray, " few"], draws: int) -> dict[str, np.ndarray]:
    rows = [[Rows(InMemory(one)) for one in side] for side in (pair.rows_a, pair.rows_b)]
    stacks, values = (pair.a, pair.b), (pair.rows_a, pair.rows_b)
    codes = [_codes(stack, given) for stack, given in zip(stacks, values, strict=True)]
    wanted = views_of(pair)
    observed = _views(pair, wanted, (stacks[0], codes[0]), (stacks[1], codes[1]), _maps(wanted, rows[0], rows[1]), 1)
    nulls = []
    for turned in (1, 0):
        turn = rotations([one.moments for one in rows[turned]], stacks[turned].bias, draws, seeds, turned)
        other, own = 1 - turned, turned
        drawn = _turned(stacks[own], codes[own].rates, values[own], turn.float())
        maps = _maps(wanted, rows[other], rows[own])
        nulls.append(_views(pair, wanted, (stacks[other], codes[other]), drawn, maps, draws))
    # Of a: with b turned, forth, and turned itself, back. Of b the other way round.
    return {
        view: np.concatenate(
            [
                _p(observed[view][0], codes[0].live, (nulls[0][view][0], nulls[1][view][1]), draws),
                _p(observed[view][1], codes[1].live, (nulls[1][view][0], nulls[0][view][1]), draws),
            ],
            axis=1,
        )
        for view in wanted
    }


def _p(observed: Scored, live: Tensor, nulls: tuple[Scored, Scored], draws: int) -> np.ndarray:
    """(1 + null statistics of all latents as large) / (1 + null statistics), the larger of both nulls."""
    p = torch.zeros_like(observed.statistic[:, 0])
    first = pilot_draws(draws)
    for null in nulls:
        # Those of latents that aren't compared, or fell silent, are no null statistics.
        valid = (null.valid[:, first:] & live[:, None]).flatten(1)
        pool = null.statistic[:, first:].flatten(1).masked_fill(~valid, -torch.inf).sort(1).values
        below = torch.searchsorted(pool, observed.statistic[:, 0].contiguous())
        count = valid.sum(1, keepdim=True)
        above = torch.minimum(pool.shape[1] - below, count)
        p = torch.maximum(p, (1 + above).double() / (1 + count))
    return np.asarray(p.masked_fill(~live, torch.nan).numpy())


def _views(
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


def _maps(wanted: list[str], a: list[Rows], b: list[Rows]) -> Maps:
    """By view that needs one, the maps from b's units to a's, fitted on either half; none in one basis."""
    if not set(wanted) & set(MAPPED):
        return {}
    fitted = [fit_maps(one, other) for one, other in zip(a, b, strict=True)]
    return {
        view: (torch.stack([one[view].match for one in fitted]), torch.stack([one[view].score for one in fitted]))
        for view in wanted
        if view in MAPPED
    }


def _unit(rows: Tensor) -> Tensor:
    norms = rows.norm(dim=-1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1.0)


def halves(rows: int) -> dict[str, Int[Tensor, " half"]]:
    """Which rows `compare` chooses pairs on, and on which it scores them."""
    cut = halves_of(InMemory(torch.arange(rows).float()[:, None]))
    return {"match": cut["a"].read(0, rows).long()[:, 0], "score": cut["b"].read(0, rows).long()[:, 0]}


def _codes(stack: Stack, rows: Float[Tensor, "repetitions rows units"]) -> Codes:
    pre = {fold: stack.pre_activations(rows[:, index]) for fold, index in halves(rows.shape[1]).items()}
    return _coded(stack, pre)


def _coded(stack: Stack, pre: dict[str, Tensor]) -> Codes:
    values, scale, rates = {}, {}, []
    for fold, given in pre.items():
        codes = values[fold] = stack.activate(given)
        rates.append((codes != 0).sum(-1).double() / codes.shape[-1])
        second = codes.square().sum(-1)
        variation = second - codes.sum(-1).square() / codes.shape[-1]
        # A latent that is constant up to rounding correlates with nothing.
        scale[fold] = torch.where(variation > 1e-6 * second, variation, torch.inf).rsqrt()
    both = torch.stack(rates)
    return Codes(values, both.mean(0), (both > 0).all(0), scale)


def _turned(
    stack: Stack, rates: Float[Tensor, "few latents"], rows: Tensor, turn: Float[Tensor, "few draws units units"]
) -> tuple[Stack, Codes]:
    """Every draw's dictionary, one after the other, and its codes: biases moved so that latents fire as often."""
    turned = stack.turned(turn)
    pre = {fold: turned.pre_activations(rows[:, index]) for fold, index in halves(rows.shape[1]).items()}
    if stack.activation == "relu":
        rated = pre["match"][..., :RATED]
        place = ((1 - rates) * (rated.shape[-1] - 1)).round().long().clamp(0, rated.shape[-1] - 1)
        # NumPy sorts short rows several times as fast as torch.
        level = torch.from_numpy(np.sort(rated.numpy())).gather(-1, place.repeat(1, turn.shape[1])[..., None])
        pre = {fold: values.sub_(level) for fold, values in pre.items()}
    return turned, _coded(turned, pre)


def rotations(
    known: list[Moments],
    bias: Float[Tensor, "repetitions units"],
    draws: int,
    seeds: Int[np.ndarray, " repetitions"],
    run: int,
) -> Float[Tensor, "repetitions draws units units"]:
    """`comparing.chance.turns` of every repetition, from the same streams, in float64."""
    frames = [_frame(one, own.double()) for one, own in zip(known, bias, strict=True)]
    result = torch.empty(len(known), draws, *frames[0][0].shape, dtype=torch.float64)
    structures: dict[tuple[int, ...], list[int]] = {}
    for index, (_, edges) in enumerate(frames):
        structures.setdefault(tuple(edges), []).append(index)
    for cuts, members in structures.items():
        frame = torch.stack([frames[index][0] for index in members])[:, None]
        turned = frame.expand(-1, draws, -1, -1).clone()
        sizes = [high - low for low, high in pairwise(cuts)]
        for (low, high), gaussian in zip(pairwise(cuts), _gaussians(sizes, draws, seeds[members], run), strict=True):
            turned[..., low:high] = frame[..., low:high] @ orthonormal(gaussian)
        result[members] = turned @ frame.mT
    return result


def _frame(known: Moments, bias: Float[Tensor, " units"]) -> tuple[Float[Tensor, "units units"], list[int]]:
    """Eigenvectors as columns and the edges of the blocks; before them the mean's direction, where it is held."""
    mean, covariance, held = known.mean - bias, known.covariance, 0
    across = None
    if mean.square().sum() > covariance.diagonal().mean() and len(mean) > 1:
        basis = torch.linalg.qr(torch.cat([mean[:, None], torch.eye(len(mean)).to(mean)], 1))[0]
        across, held = basis[:, 1:], 1
        second = across.T @ covariance @ across
        covariance = (second + second.T) / 2
    ascending, vectors = torch.linalg.eigh(covariance)
    blocks = eigenvalue_blocks(ascending.flip(0))
    frame = vectors.flip(1) if across is None else torch.cat([basis[:, :1], across @ vectors.flip(1)], 1)
    return frame, [held, *(held + block.stop for block in blocks)]


def _gaussians(
    sizes: list[int], draws: int, seeds: Int[np.ndarray, " members"], run: int
) -> Iterator[Float[Tensor, "members draws size size"]]:
    """The normal numbers behind each block's rotations, in the order in which `spectral_rotations` draws them."""
    drawn = [torch.empty(len(seeds), draws, size, size, dtype=torch.float64) for size in sizes]
    for member, seed in enumerate(seeds.tolist()):
        generator = stream("compare", "null", seed, run)
        for draw in range(draws):
            for block in drawn:
                block[member, draw].normal_(generator=generator)
    yield from drawn


def orthonormal(gaussian: Float[Tensor, "... size size"]) -> Float[Tensor, "... size size"]:
    """Q of the QR decomposition with a positive diagonal, the same as `nulls.haar_rotation`'s.

    By Gram & Schmidt, each column cleared twice (Giraud et al. 2005: then it is orthogonal to rounding): for many
    small matrices this is far quicker than LAPACK, one after the other.
    """
    q = torch.zeros_like(gaussian)
    for column in range(gaussian.shape[-1]):
        rest, before = gaussian[..., column : column + 1], q[..., :column]
        for _ in range(2 if column else 0):
            rest = rest - before @ (before.mT @ rest)
        q[..., column : column + 1] = rest / rest.norm(dim=-2, keepdim=True)
    return q
