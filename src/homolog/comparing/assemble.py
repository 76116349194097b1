"""How do all numbers of a comparison come into one labelled dataset: a row for each latent, a line for each view?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from homolog.alignment.decisions import benjamini_yekutieli, lower_bound
from homolog.alignment.representations.dictionaries import max_cosine, pw_mcc, shared_fraction
from homolog.alignment.statistics import excess, jackknife_interval, mean_over_pairs, similarity_interval
from homolog.comparing.blocks import blocks
from homolog.comparing.chance import LEVEL
from homolog.comparing.measure import Held, Likeness, Options, Runs, at_refits, mean_similarity
from homolog.comparing.views import CAVEATS, Side

Measured = dict[tuple[str, int, int], Held]
# Levels of a quality-coverage curve, and of a distribution.
SHARES = np.linspace(0, 1, 101)
# Paulo & Belrose (2025) count a pair as shared above this cosine of decoders and of encoders.
SHARED_COSINE = 0.7


def assemble(runs: Runs, options: Options, measured: Measured, labelled: Likeness, primary: str) -> xr.Dataset:
    """Dims: `row` (a latent of a dictionary), `dictionary`, `other`, `view`, `pair` of dictionaries, `share`."""
    parts = [
        _by_latent(runs, options, measured, labelled, primary),
        _by_pair(runs, options, measured, labelled),
        _curves(runs, options, measured),
    ]
    sides = [runs.side(i) for i in range(len(runs))]
    counts = {
        "latents": [side.latents for side in sides],
        "live": [int(side.live.sum()) for side in sides],
        "dead": [int((side.rates == 0).all(0).sum()) for side in sides],
        "l0": [float(side.rates.mean(0).sum()) for side in sides],
    }
    parts.append(
        xr.Dataset({name: ("dictionary", values) for name, values in counts.items()}, {"dictionary": runs.names})
    )
    dataset = xr.merge(parts, join="exact", compat="no_conflicts")
    identified = [
        all(runs.identified(view, i, j) for i, j in combinations(range(len(runs)), 2)) for view in options.views
    ]
    return dataset.assign_coords(
        identified=("view", identified), caveat=("view", [CAVEATS.get(view, "") for view in options.views])
    )


def _by_latent(runs: Runs, options: Options, measured: Measured, labelled: Likeness, primary: str) -> xr.Dataset:
    """A row for each latent of each dictionary, in order."""
    n, views = len(runs), options.views
    sizes = [runs.side(i).latents for i in range(n)]
    starts = np.cumsum([0, *sizes])
    shape = (starts[-1], n, len(views))
    names = ("similarity", "null", "null_quantile", "p_value", "adjusted_p_value", "conditional_null")
    found = {name: np.full(shape, np.nan) for name in names}
    found |= {"match": np.full(shape, -1, np.int32), "mutual": np.zeros(shape, bool)}
    for (view, i, j), held in measured.items():
        place = slice(starts[i], starts[i + 1]), j, views.index(view)
        values = (held.observed.similarity, held.null, held.quantile, held.p)
        for name, value in zip(names, values, strict=False):
            found[name][place] = value.numpy()
        found["match"][place] = held.observed.index.numpy()
        found["mutual"][place] = held.observed.mutual.numpy()
        if (view, i, j) in labelled:
            found["conditional_null"][place] = labelled[view, i, j].numpy()
    for index in range(len(views)):
        p = found["p_value"][..., index]
        found["adjusted_p_value"][..., index] = benjamini_yekutieli(p.ravel()).reshape(p.shape)
    data = xr.Dataset(
        {name: (("row", "other", "view"), values) for name, values in found.items()},
        {"other": runs.names, "view": views, **_rows(runs)},
    )
    data = data.merge(_returns(data.adjusted_p_value.sel(view=primary).values))
    return data.merge(_means(data.similarity.values, starts, runs.names))


def _rows(runs: Runs) -> dict[str, Any]:
    """What a row is: dictionary, latent, whether it is live, rare or dead, how often it fires, its block."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("dictionary_of_row", "latent", "status", "firing_rate", "block")
    }
    for i, name in enumerate(runs.names):
        side = runs.side(i)
        columns["dictionary_of_row"] += [name] * side.latents
        columns["latent"] += range(side.latents)
        columns["status"] += status(side)
        columns["firing_rate"] += side.rates.mean(0).tolist()
        columns["block"] += blocks(side).tolist()
    return {name: ("row", values) for name, values in columns.items()}


def status(side: Side) -> list[str]:
    """`live`: fires in both halves of the rows. `rare`: in one, so that it can't be compared. `dead`: in none."""
    fired = (side.rates > 0).sum(0).tolist()
    return [("dead", "rare", "live")[count] for count in fired]


def _returns(adjusted_p: np.ndarray) -> xr.Dataset:
    """In how many of the other runs each latent is found, and the least share that this proves; NaN unless live."""
    live = ~np.isnan(adjusted_p).all(1)
    found = (adjusted_p <= LEVEL).sum(1)
    others = (~np.isnan(adjusted_p)).sum(1)
    bound = np.full(len(found), np.nan)
    for total in np.unique(others[live]):
        rows = live & (others == total)
        bound[rows] = lower_bound(found[rows], int(total))
    columns = {"found": np.where(live, found, np.nan), "runs": others, "returns_at_least": bound}
    return xr.Dataset({name: ("row", values) for name, values in columns.items()})


def _means(similarity: np.ndarray, starts: np.ndarray, names: list[str]) -> xr.Dataset:
    """Mean over the other runs, with its jackknife interval over them where there are three."""
    columns = {name: np.full(similarity[:, 0].shape, np.nan) for name in ("mean", "mean_low", "mean_high")}
    for i, name in enumerate(names):
        place, others = slice(starts[i], starts[i + 1]), [other for other in names if other != name]
        values = np.delete(similarity[place], i, axis=1).swapaxes(0, 1)
        columns["mean"][place] = mean_over_pairs(values)
        interval = similarity_interval(values, [name] * len(others), others)
        columns["mean_low"][place], columns["mean_high"][place] = interval.low, interval.high
    return xr.Dataset({name: (("row", "view"), values) for name, values in columns.items()})


def _by_pair(runs: Runs, options: Options, measured: Measured, labelled: Likeness) -> xr.Dataset:
    """Means over live latents by pair of runs, their scale, and the usual summaries of directions."""
    pairs = list(combinations(range(len(runs)), 2))
    names = tuple(f"{name}_by_pair" for name in ("observed", "null", "conditional_null", "refitted", "ceiling"))
    found = {name: np.full((len(pairs), len(options.views)), np.nan) for name in names}
    own = [at_refits(runs, options, i, i) for i in range(len(runs))]
    for place, (i, j) in enumerate(pairs):
        refitted = at_refits(runs, options, i, j)
        for index, view in enumerate(options.views):
            if (view, i, j) in measured:
                forth, back = measured[view, i, j], measured[view, j, i]
                values = (
                    mean_similarity(forth.observed, back.observed),
                    _mean(forth.null, back.null),
                    _mean(labelled[view, i, j], labelled[view, j, i]) if (view, i, j) in labelled else np.nan,
                    refitted.get(view, np.nan),
                    (own[i].get(view, np.nan) + own[j].get(view, np.nan)) / 2,
                )
                for name, value in zip(names, values, strict=True):
                    found[name][place, index] = value
    a, b = ([runs.names[pair[side]] for pair in pairs] for side in (0, 1))
    data = xr.Dataset({name: (("pair", "view"), values) for name, values in found.items()})
    data = data.assign_coords(view=options.views, a=("pair", a), b=("pair", b))
    directions = [_directions(runs, i, j) for i, j in pairs]
    data = data.assign({name: ("pair", [one[name] for one in directions]) for name in directions[0]})
    return data.merge(_scale(data, a, b))


def _mean(*both: Tensor) -> float:
    """Mean over the latents of both sides, as `mean_similarity` has it."""
    return float(torch.stack([one.nanmean() for one in both]).mean())


def _scale(data: xr.Dataset, a: list[str], b: list[str]) -> xr.Dataset:
    """Means over pairs, the interval over runs, and the excess where refits give a ceiling clear of the null."""
    observed, null, refitted, ceiling = (
        data[f"{name}_by_pair"].values for name in ("observed", "null", "refitted", "ceiling")
    )
    interval = similarity_interval(observed, a, b)
    error = jackknife_interval(ceiling - null, a, b).standard_error
    columns = {
        "observed": mean_over_pairs(observed),
        "observed_low": interval.low,
        "observed_high": interval.high,
        "null_mean": mean_over_pairs(null),
        "conditional_null_mean": mean_over_pairs(data.conditional_null_by_pair.values),
        "refitted": mean_over_pairs(refitted),
        "ceiling": mean_over_pairs(ceiling),
        "excess": excess(mean_over_pairs(refitted), mean_over_pairs(null), mean_over_pairs(ceiling), error),
    }
    return xr.Dataset({name: ("view", values) for name, values in columns.items()})


def _directions(runs: Runs, i: int, j: int) -> dict[str, float]:
    """MMCS in both directions, PW-MCC and the shared fraction of the live latents; NaN unless the basis is one.

    As `alignment.representations.dictionaries` has them, but that what is shared is a share of the smaller dictionary.
    """
    found = dict.fromkeys(("mmcs_a_in_b", "mmcs_b_in_a", "pw_mcc", "shared_fraction"), np.nan)
    a, b = runs.side(i), runs.side(j)
    if not runs.one_basis(i, j) or not (a.live.any() and b.live.any()):
        return found
    signed = a.dictionary.signed and b.dictionary.signed
    one, other = (side.dictionary.directions[side.live] for side in (a, b))
    found["mmcs_a_in_b"] = max_cosine(one, other, signed).value
    found["mmcs_b_in_a"] = max_cosine(other, one, signed).value
    found["pw_mcc"] = pw_mcc(one, other, signed).value
    if runs.has("encoder", i, j):
        reading = [(side.dictionary.encoder[side.live], side.dictionary.directions[side.live]) for side in (a, b)]
        shared = shared_fraction(reading[0], reading[1], SHARED_COSINE, signed).per_latent
        found["shared_fraction"] = float((shared > SHARED_COSINE).sum()) / min(len(one), len(other))
    return found


def _curves(runs: Runs, options: Options, measured: Measured) -> xr.Dataset:
    """Quality-coverage curves and distributions of the similarities of all pairs, observed and under the null.

    `coverage`: mean similarity of the best share q of the live latents, against q. `quantile`: the q-th quantile.
    """
    found = {
        f"{kind}_{role}": np.full((len(options.views), len(SHARES)), np.nan)
        for kind in ("coverage", "quantile")
        for role in ("observed", "null")
    }
    for index, view in enumerate(options.views):
        held = [value for (name, _, _), value in measured.items() if name == view]
        for role in ("observed", "null"):
            values = [one.observed.similarity if role == "observed" else one.drawn.flatten() for one in held]
            live = np.sort(np.concatenate([value[~value.isnan()].numpy() for value in values] or [np.empty(0)]))[::-1]
            if len(live):
                mean = np.cumsum(live) / np.arange(1, len(live) + 1)
                found[f"coverage_{role}"][index] = mean[np.maximum(np.ceil(SHARES * len(live)).astype(int), 1) - 1]
                found[f"quantile_{role}"][index] = np.quantile(live, SHARES)
    return xr.Dataset(
        {name: (("view", "share"), values) for name, values in found.items()}, {"view": options.views, "share": SHARES}
    )
