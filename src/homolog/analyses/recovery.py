"""Which methods find the features of a world, what do chance and known codes find, and is what is stable true?"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from homolog.analyses.by_trial import ByTrial, Values, with_first_column
from homolog.analyses.recovered import (
    at_best,
    captured,
    codes_found,
    described,
    features_found,
    live,
    probed,
    shortfall,
    stable_and_true,
)
from homolog.analyses.replicates import mean_of_known, over_replicates
from homolog.analyses.sweeps import Sweep, slopes, summarised
from homolog.decompositions.sae.initial import input_scale
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.worlds.trials import Fitted, Progress, Trial, fit_trials, trials_of

TITLES = {
    "f1": "F1 of features and latents",
    "f1_signed": "F1 where the sign counts",
    "mmcs": "largest cosine of a feature with a latent",
    "mmcs_back": "largest cosine of a latent with a feature",
    "codes": "correlation of codes with the true ones",
    "fvu": "FVU on other rows",
    "l0": "active latents on a row",
    "dead": "share of dead latents",
    "live": "live latents",
    "stable": "share of latents that another seed finds",
    "true_if_stable": "share of true ones among latents that return",
    "true_if_not": "share of true ones among latents that don't",
    "captured": "share of the dense part that dense latents span",
    "short": "codes of found features below the true ones",
    "probe": "AUC of single latents for known labels",
    "probe_sparse": "AUC of single latents: is a feature on?",
    "probe_dense": "AUC of single latents: sign of a dense axis",
}
# Of these more is better.
RISING = ("f1", "f1_signed", "mmcs", "mmcs_back", "codes", "probe", "probe_sparse", "probe_dense")
# Neither is below 0 or above 1.
SHARES = (*RISING, "dead", "stable", "true_if_stable", "true_if_not", "captured")
GUESSES = "guess_features", "guess_active"
Numbers = dict[str, float]


def recovery(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit every decomposition to every world, and hold it against the truth.

    Variables `TITLES` by ``world`` and ``decomposition``, means over replicates with bounds. `<name>_null`: the same
    dictionary turned within the spectrum of the rows (of `stable`: against another seed's). `<name>_ceiling`, by
    ``world``: features by least squares from the true codes of the rows that were fitted. With the option `along` all
    of them by ``line`` and the axis that it names, and what `homolog.analyses.sweeps.summarised` makes of those that
    are shown; the ceiling of F1 is then that of as many latents, all live.
    """
    options, trials = spec["options"], trials_of(spec)
    known = options["true_cosine"]
    ceilings = {one.key: at_best(one.train, one.test, one.world.features, known) for one in trials}
    found = ByTrial(spec, [label for label, *_ in columns_of(spec)])
    every, pca_first = zip(*fits_of(spec), strict=True)
    for (first, decomposition), after in zip(with_first_column(every), pca_first, strict=True):
        for one in fit_trials(decomposition, trials, options["told"], device, progress, after):
            numbers = measured(one, options["true_cosine"])
            if "short" in options["shown"]:
                numbers |= shrunk(one, options["true_cosine"])
            if options["along"] is not None:
                numbers |= at_best_of_so_many(ceilings[one.trial.key], one)
            found.put(one.trial, numbers, first + one.point)
    for trial in trials:
        found.put(trial, {f"{name}_ceiling": value for name, value in ceilings[trial.key].items()})
    facts = {name: options[name] for name in ("replicates", "rows", "test_rows", "true_cosine", "shown")}
    facts |= {"experiment": spec["experiment"], "told": int(options["told"])}
    if options["along"] is not None:
        return swept(spec, found).assign_attrs(facts)
    dataset = over_replicates(found.values(), {"decomposition": found.labels}, TITLES, SHARES)
    return dataset.assign_coords(world_coords(spec)).assign_attrs(facts)


def fits_of(spec: dict[str, Any]) -> list[tuple[dict[str, Any], bool]]:
    """Decompositions as they are fitted: each as it is, and, where that is asked for, after principal components."""
    every = spec["decompositions"]
    hybrid = [one for one in every if any(options.get("dense") for options in one["grid"])]
    return [(one, False) for one in every] + [(one, True) for one in hybrid if spec["options"]["pca_first"]]


def columns_of(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], list[str]]]:
    """Label, name, options and what varies over its grid, of each decomposition at each grid point."""
    columns = []
    for one, pca_first in fits_of(spec):
        varying = [key for key in one["grid"][0] if any(point[key] != one["grid"][0][key] for point in one["grid"])]
        after = ", PCA first" if pca_first else ""
        for label, options in zip(one["labels"], one["grid"], strict=True):
            columns.append((label + after, one["name"] + after, options, varying))
    return columns


def swept(spec: dict[str, Any], found: ByTrial) -> xr.Dataset:
    """All measures by line and along the axis, and what the lines come to."""
    options, columns = spec["options"], columns_of(spec)
    sweep = Sweep.of(options["along"], spec["worlds"], [(name, point, keys) for _, name, point, keys in columns])
    whole = {name: sweep.unfolded(array) for name, array in found.by_column.items()}
    of_worlds = {name: one for name, one in found.whole.items() if name not in whole}
    whole |= {name: sweep.unfolded(np.repeat(one[:, None], len(columns), 1)) for name, one in of_worlds.items()}
    values: Values = {name: (("line", sweep.along, "replicate"), array) for name, array in whole.items()}
    for name in RISING:
        values |= summarised(name, whole[name], sweep) if name in whole else {}
    coords = sweep.coords()
    if options["against"] is not None:
        lost = values[f"{options['shown'][0]}_falls_at"][1]
        steep = slopes(options["against"], lost, sweep)
        coords["family"] = list(steep)
        values["falls_at_slope"] = ("family", "replicate"), np.array(list(steep.values()))
        # Where a penalty is a mean over latents, the weight that does the same is so many times as large.
        sizes = np.array([float(one.get(options["against"], np.nan)) for one in sweep.options])
        as_mean = slopes(options["against"], lost * sizes[:, None], sweep)
        values["falls_at_slope_of_mean"] = ("family", "replicate"), np.array(list(as_mean.values()))
    dataset = over_replicates(values, coords, TITLES, SHARES)
    dataset = dataset.assign({name: dataset[name].where(known) for name, known in known_in_all(values).items()})
    return dataset.assign_attrs(along=sweep.along, against=options["against"] or "", **common(spec["worlds"]))


def known_in_all(values: Values) -> dict[str, xr.DataArray]:
    """Of places on the axis, and of slopes of these, whether every replicate has one: else the mean would be one of
    those that fall early.
    """
    names = [name for name in values if name.endswith("_falls_at") or name.startswith("falls_at_slope")]
    return {name: xr.DataArray(np.isfinite(values[name][1]), dims=values[name][0]).all("replicate") for name in names}


def common(worlds: list[dict[str, Any]]) -> dict[str, Any]:
    """Options that all worlds share, as attributes."""
    first, others = worlds[0]["options"], [one["options"] for one in worlds]
    shared = [key for key, value in first.items() if all(one.get(key, "") == value for one in others)]
    return {f"world_{key}": first[key] for key in shared if first[key] is not None}


def world_coords(spec: dict[str, Any]) -> dict[str, Any]:
    """Worlds by label, and along them their group and what methods are told, over what is true."""
    worlds = spec["worlds"]
    guesses = {name: ("world", [one["options"][name] for one in worlds]) for name in GUESSES}
    groups = ("world", [one["group"] for one in worlds])
    return {"world": [one["label"] for one in worlds], "group": groups} | guesses


def measured(fitted: Fitted, true_cosine: float) -> Numbers:
    """Means over seeds, and over ordered pairs of seeds, of one trial; NaN for what isn't defined in any.

    Dense latents, which are the first, are no candidates for sparse features.
    """
    trial, dictionaries = fitted.trial, fitted.dictionaries
    dense = fitted.options.get("dense", 0)
    each = [_one(trial, one, number, true_cosine, dense) for number, one in enumerate(dictionaries)]
    alive = [one.directions[_sparse(one, trial, dense)] for one in dictionaries]
    turned = [one @ trial.turn(number, purpose="stable").to(one) for number, one in enumerate(alive)]
    pairs = []
    for a, b in permutations(range(len(alive)), 2):
        seen = stable_and_true(alive[a], alive[b], trial.world.features, true_cosine)
        chance = stable_and_true(alive[a], turned[b], trial.world.features, true_cosine)
        pairs.append(seen | {"stable_null": chance["stable"]})
    return _means(each) | _means(pairs)


def at_best_of_so_many(best: Numbers, fitted: Fitted) -> Numbers:
    """The ceiling of F1 of as many live latents, where as many as features reach `best`: spare ones lower it."""
    features = len(fitted.trial.world.features)
    latents = fitted.options["n_latents"] - fitted.options.get("dense", 0)
    names = [name for name in ("f1", "f1_signed") if name in best]
    return {f"{name}_ceiling": 2 * min(best[name] * features, latents) / (features + latents) for name in names}


def shrunk(fitted: Fitted, true_cosine: float) -> Numbers:
    """`shortfall` beside the closed form with the method's own penalty on codes; means over seeds.

    ``short_alone``: of a feature alone, whose bias is free. Where it is on with probability p the bias rises by
    ``(weight / 2) p / (1 - p)`` along it, so that its code falls short by ``(weight / 2) / (1 - p)``.
    """
    trial = fitted.trial
    weight = penalty_weight(trial.train.rows, fitted.options)
    each = [shortfall(trial.test, trial.world.features, one, weight, true_cosine) for one in fitted.dictionaries]
    return _means(each) | {"short_alone": weight / 2 / (1 - trial.world.active / len(trial.world.features))}


def penalty_weight(rows: Float[torch.Tensor, "samples units"], options: dict[str, Any]) -> float:
    """The weight of an L1 penalty on codes in the scale of the rows; 0 for methods that don't shrink codes by one."""
    if options.get("penalty") != "l1":
        return 0.0
    # Of rows times s a code is s times as large, and the squared error s squared times.
    return float(options["coefficient"]) / input_scale(InMemory(rows), options["input_scale"])


def _sparse(dictionary: Dictionary, trial: Trial, dense: int) -> torch.Tensor:
    """Latents that are live and not dense ones."""
    alive = live(dictionary, trial.test)
    alive[:dense] = False
    return alive


def _one(trial: Trial, dictionary: Dictionary, number: int, true_cosine: float, dense: int) -> Numbers:
    alive = _sparse(dictionary, trial, dense)
    found = _truth(trial, dictionary, alive, true_cosine, dense)
    turned = dictionary.rotated(trial.turn(number).to(dictionary.directions))
    chance = _truth(trial, turned, alive, true_cosine, dense)
    null = {f"{name}_null": value for name, value in chance.items()}
    if "captured" in found:
        null["captured_random"] = min(1.0, dense / trial.train.rows.shape[1])
    return found | null | described(dictionary, trial.test) | {"live": float(alive.sum())}


def _truth(trial: Trial, dictionary: Dictionary, alive: torch.Tensor, true_cosine: float, dense: int) -> Numbers:
    directions, codes = dictionary.directions[alive], dictionary.codes(trial.test.rows)
    features, train = trial.world.features, trial.train
    return {
        **features_found(features, directions, true_cosine),
        "codes": codes_found(trial.test, features, codes[:, alive], directions),
        **captured(trial.world.dense, dictionary.directions[:dense]),
        **(probed(train, trial.test, dictionary.codes(train.rows), codes) if trial.world.dense is not None else {}),
    }


def _means(each: list[Numbers]) -> Numbers:
    return {name: float(mean_of_known([one[name] for one in each])) for name in (each[0] if each else {})}
