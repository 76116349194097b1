"""Which latents of the base run came back, how alike the best of them are, and which of them belong together?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from homolog.alignment.decisions import benjamini_yekutieli, lower_bound, null_quantile, quantile_test
from homolog.alignment.matching import match
from homolog.alignment.random_dictionaries import SPECTRAL
from homolog.alignment.views.base import View
from homolog.analyses.comparison import NULL, OBSERVED, Fitted, Key, refits, turns_dictionary

PRIMARY = "score"
# One to one: r of R is about a latent's own match.
MATCHING = "hungarian"
# Shares of the latents at which quality-coverage curves are kept.
SHARES = np.linspace(0, 1, 51)[1:]
# Latents of a heat map, at most: the most active ones.
MOST_SHOWN = 96
CURVES = ("observed", "null", "ceiling")
DECIDED = ("null_quantile", "p_value", "adjusted_p_value", "found", "found_low")


@dataclass(frozen=True)
class Base:
    """A run whose latents are asked for, and the runs of one condition in which they may be found again."""

    condition: str
    run: str
    others: list[str]

    @property
    def name(self) -> str:
        return f"{self.condition}: {self.run}"


def find_bases(pairs: list[dict[str, str]], accepted: list[bool]) -> list[Base]:
    """Each base with its accepted retrainings; of runs trained independently, the first with all others."""
    found: dict[tuple[str, str], list[str]] = {}
    first: dict[str, str] = {}
    for pair, counts in zip(pairs, accepted, strict=True):
        if pair["kind"] == "independent":
            reference = first.setdefault(pair["condition"], pair["a"])
        elif pair["kind"] == "base-retrained":
            reference = pair["a"]
        else:
            continue
        if reference == pair["a"]:
            others = found.setdefault((pair["condition"], reference), [])
            others += [pair["b"]] if counts else []
    return [Base(condition, run, others) for (condition, run), others in found.items()]


def by_latent(
    bases: list[Base], fitted: dict[str, dict[str, Fitted]], views: list[View], runs: list[str], draws: int
) -> xr.Dataset:
    """Similarity of every latent of every base with its match in every other run, and what it says; docs/files.md.

    The latents are those of the fit to all rows with the first seed. Only views that are identified between the base
    and all others have values; the null is the turned dictionary, matched anew in every draw.
    """
    members = (d for by_run in fitted.values() for one in by_run.values() for d in one.members.values())
    width = max(len(d.directions) for d in members)
    shape = (len(bases), len(fitted), len(views), width)
    arrays = {f"latent_{name}": np.full(shape, np.nan) for name in DECIDED}
    arrays["latent_similarity"] = np.full((*shape, len(runs)), np.nan)
    arrays["latent_match"] = np.full((*shape, len(runs)), -1, np.int32)
    arrays["latent_rate"] = np.full((*shape[:2], width), np.nan)
    curves = {f"coverage_{name}": np.full((*shape[:3], len(SHARES)), np.nan) for name in CURVES}
    for (i, base), (j, by_run) in product(enumerate(bases), enumerate(fitted.values())):
        own, others = by_run[base.run], [by_run[run] for run in base.others]
        rate = own.members[_chosen(own)].firing_rate.cpu().numpy()
        latents, places = slice(0, len(rate)), [runs.index(run) for run in base.others]
        arrays["latent_rate"][i, j, latents] = rate
        for k, view in enumerate(views):
            seen = Seen.of(view, own, others, draws)
            if seen is None:
                continue
            arrays["latent_similarity"][i, j, k, latents, places] = seen.similarity
            arrays["latent_match"][i, j, k, latents, places] = seen.index
            for name, values in decide(seen, _stratified_by(own)).items():
                arrays[f"latent_{name}"][i, j, k, latents] = values
            for name, values in _curves(view, own, others, draws).items():
                curves[f"coverage_{name}"][i, j, k] = values
            for one in (own, *others):
                one.forget()
    dims = ("base", "decomposition", "view", "latent")
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    found |= {f"latent_{name}": (dims, arrays[f"latent_{name}"]) for name in DECIDED}
    found |= {name: ((*dims, "run"), arrays[name]) for name in ("latent_similarity", "latent_match")}
    found["latent_rate"] = (("base", "decomposition", "latent"), arrays["latent_rate"])
    found |= {name: ((*dims[:3], "share"), values) for name, values in curves.items()}
    coordinates = {
        "base": [base.name for base in bases],
        "base_run": ("base", [base.run for base in bases]),
        "base_condition": ("base", [base.condition for base in bases]),
        "base_runs": ("base", [len(base.others) for base in bases]),
        "share": SHARES,
    }
    return xr.Dataset(found, coordinates)


@dataclass
class Seen:
    """One base in one view: similarity of each latent with its match in the runs, in the null's draws, in refits."""

    live: np.ndarray
    similarity: Float[np.ndarray, "runs latents"]
    index: np.ndarray
    null: Float[np.ndarray, "draws latents"]

    @classmethod
    def of(cls, view: View, a: Fitted, others: list[Fitted], draws: int) -> Seen | None:
        """None where the view isn't identified or defined between the base and all others, or nothing fires."""
        known = view.by_latent
        known = known and all(view.identified(a.layer, b.layer) and view.defined(a.layer, b.layer) for b in others)
        live = a.seen(view, _chosen(a)).cpu().numpy() if known and others else np.zeros(0, bool)
        if not live.any():
            return None
        kind = NULL if turns_dictionary(view) else SPECTRAL
        rows, nulls = [], []
        for b in others:
            keys, transport = (_chosen(a), _chosen(b)), view.transport(a.layer, b.layer)
            values, index = _between(view, a, b, keys, transport)
            # A match's number among all latents of the other run, not among those that are live.
            kept = b.seen(view, _chosen(b)).nonzero()[:, 0].cpu().numpy()
            index[index >= 0] = kept[index[index >= 0]]
            rows.append((values, index))
            nulls += [_between(view, a, b, keys, transport, kind, draw)[0] for draw in range(draws)]
        similarity, index = (np.stack(column) for column in zip(*rows, strict=True))
        null = np.stack(nulls)
        return None if np.isnan(null).all() else cls(live, similarity, index, null)


def _curves(view: View, a: Fitted, others: list[Fitted], draws: int) -> dict[str, Float[np.ndarray, " shares"]]:
    """Quality-coverage curves over refits, as observed and ceiling are measured: only the run differs."""
    kind = NULL if turns_dictionary(view) else SPECTRAL
    curves: dict[str, list[np.ndarray]] = {name: [] for name in CURVES}
    wanted = zip(CURVES, (others, others, [a]), (OBSERVED, kind, OBSERVED), (1, draws, 1), strict=True)
    for name, runs, how, most in wanted:
        for b in runs:
            transport, members = view.transport(a.layer, b.layer), refits(a, b)
            for keys, draw in product(members, range(-(-most // max(len(members), 1)))):
                curves[name].append(coverage(_between(view, a, b, keys, transport, how, draw)[0]))
    return {name: np.nanmean(rows, axis=0) for name, rows in curves.items() if not np.isnan(rows).all()}


def coverage(similarity: Float[np.ndarray, " latents"]) -> Float[np.ndarray, " shares"]:
    """Mean similarity of the best q latents, at shares q of those that have one; NaN where none has."""
    best = np.sort(similarity[~np.isnan(similarity)])[::-1]
    if not len(best):
        return np.full(len(SHARES), np.nan)
    mean = np.cumsum(best) / np.arange(1, len(best) + 1)
    return np.asarray(mean[np.maximum(np.round(SHARES * len(best)).astype(int), 1) - 1])


def _chosen(fitted: Fitted) -> Key:
    """The fit to all rows with the first seed: the dictionary that one would use."""
    return "all", min(seed for rows, seed in fitted.members if rows == "all")


def _between(
    view: View,
    a: Fitted,
    b: Fitted,
    keys: tuple[Key, Key],
    transport: Float[Tensor, "features_b features_a"] | None,
    kind: str = OBSERVED,
    draw: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Similarity and number of the match of each latent of a, (latents,) with NaN and -1 where there is none."""
    live = a.seen(view, keys[0]).cpu().numpy()
    values, index = np.full(len(live), np.nan), np.full(len(live), -1)
    own, other = a.signatures(view, keys[0]), b.signatures(view, keys[1], kind, draw)
    if own is not None and other is not None:
        selection, scoring = view.similarities(own, other, transport, a.signed, [MATCHING])[:2]
        found = match(selection.cpu(), scoring.cpu(), MATCHING)
        values[live], index[live] = found.per_latent.numpy(), found.index.numpy()
    return values, index


def _stratified_by(fitted: Fitted) -> np.ndarray:
    """What makes null latents comparable: how often they fire; or, where all always do, how much they vary."""
    chosen = fitted.members[_chosen(fitted)]
    rate: np.ndarray = chosen.firing_rate.cpu().numpy()
    return rate if len(np.unique(rate)) > 1 else np.asarray(chosen.importance.cpu().numpy())


def decide(seen: Seen, rate: np.ndarray) -> dict[str, np.ndarray]:
    """H0 of a latent: its mean similarity over runs is at most the null's 95 % quantile at its `rate`."""
    live, runs = seen.live, len(seen.similarity)
    quantile = null_quantile(rate[live], seen.null[:, live].ravel(), np.tile(rate[live], len(seen.null)))
    p = quantile_test(seen.similarity[:, live], quantile)
    # A latent without a match in a run wasn't found there.
    count = (np.nan_to_num(seen.similarity[:, live], nan=-np.inf) > quantile).sum(0)
    values = (quantile, p, benjamini_yekutieli(p), count, lower_bound(count, runs))
    found = {name: np.full(len(live), np.nan) for name in DECIDED}
    for name, value in zip(DECIDED, values, strict=True):
        found[name][live] = value
    return found


def heat_maps(base: Base, fitted: dict[str, dict[str, Fitted]], views: list[View]) -> xr.Dataset:
    """Similarities of latents of the base and of their matches in its first run, in the order that shows blocks.

    In the primary view, or the first where it isn't asked for.

    Along `shown` those that are alike within the base stand together: leaves of average linkage on 1 - similarity (of
    ordered methods, ranks). Along `shown_match` stand their matches. The most active `MOST_SHOWN` at most; NaN and -1
    behind those that there are.
    """
    view = next((view for view in views if view.name == PRIMARY), views[0])
    matrix = np.full((len(fitted), MOST_SHOWN, MOST_SHOWN), np.nan)
    latent = np.full((2, len(fitted), MOST_SHOWN), -1)
    for number, by_run in enumerate(fitted.values()):
        for run in base.others[:1]:
            numbers, values = _heat_map(by_run[base.run], by_run[run], view)
            n = len(values)
            matrix[number, :n, :n], latent[:, number, :n] = values, numbers
    return xr.Dataset(
        {
            "shown_similarity": (("decomposition", "shown", "shown_match"), matrix),
            "shown_latent": (("decomposition", "shown"), latent[0]),
            "shown_partner": (("decomposition", "shown_match"), latent[1]),
        }
    )


def _heat_map(a: Fitted, b: Fitted, view: View) -> tuple[np.ndarray, np.ndarray]:
    keys = _chosen(a), _chosen(b)
    numbers = [one.seen(view, key).nonzero()[:, 0].cpu().numpy() for one, key in ((a, keys[0]), (b, keys[1]))]
    own, other = a.signatures(view, keys[0]), b.signatures(view, keys[1])
    if own is None or other is None or not view.defined(a.layer, b.layer):
        return np.empty((2, 0), int), np.empty((0, 0))
    both = view.similarities(own, other, view.transport(a.layer, b.layer), a.signed, [MATCHING])[:2]
    selection, scoring = (one.cpu() for one in both)
    index = match(selection, scoring, MATCHING).index.numpy()
    importance = a.members[keys[0]].importance.cpu().numpy()[numbers[0]]
    matched = np.flatnonzero(index >= 0)
    kept = matched[np.argsort(-importance[matched], kind="stable")][:MOST_SHOWN]
    if len(kept) > 2 and not a.ordered:
        within, _ = view.similarities(own, own, None, a.signed, [MATCHING])[:2]
        distance = 1 - within.cpu().numpy()[np.ix_(kept, kept)].clip(-1, 1)
        np.fill_diagonal(distance, 0)
        kept = kept[leaves_list(linkage(squareform((distance + distance.T) / 2, checks=False), "average"))]
    scored = scoring.numpy()[np.ix_(kept, index[kept])]
    return np.stack([numbers[0][kept], numbers[1][index[kept]]]), scored
