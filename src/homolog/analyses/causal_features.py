"""Which directions are causal: ablate one, and some inputs are lost while the rest is untouched? Do these return?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.random_dictionaries import SPECTRAL, random_dictionary
from homolog.alignment.views.score import Score
from homolog.analyses.ablation import answered, lost, splits
from homolog.analyses.admission import acceptance, counted_runs
from homolog.analyses.by_run import Table, class_means, means, neurons, over_runs, units_of
from homolog.analyses.comparison import Fitted, live_latents
from homolog.analyses.latents import by_latent, find_bases
from homolog.analyses.replicates import mean_of_known
from homolog.analyses.stability import open_fitted
from homolog.dictionary import Dictionary
from homolog.store.runs import StoredRun
from homolog.streams import stream

Progress = Callable[[Iterable[Any]], Iterable[Any]]
# What stands beside the decompositions: no basis at all, and what the labels know.
BESIDE = {"units": neurons, "class means": class_means}
# So few latents have no rank correlation worth the name.
FEWEST_RANKED = 6
TITLES = {
    "destroyed": "share of inputs destroyed",
    "between": "share of inputs damaged by halves",
    "untouched": "share of inputs untouched",
    "separation": "destroyed, of those not untouched",
    "spill": "of the loss, share on inputs not destroyed",
    "bimodality": "variance between the two groups, of all",
    "one_class": "of the destroyed, share of one class",
    "splits": "share of latents that split the inputs",
    "more_splits": "share of latents that split the inputs, above chance",
    "more_separation": "destroyed, of those not untouched, above chance",
    "live": "live latents",
    "returns_causal": "returns, of latents that split",
    "returns_other": "returns, of the others",
    "more_returns": "returns, of latents that split less the others",
    "similarity_causal": "similarity, of latents that split",
    "similarity_other": "similarity, of the others",
    "with_return": "rank correlation of destroyed and similarity, size held",
}
SHARES = (
    "destroyed",
    "between",
    "untouched",
    "separation",
    "spill",
    "bimodality",
    "one_class",
    "splits",
    "returns_causal",
    "returns_other",
)


def causal_features(
    spec: dict[str, Any], runs: dict[str, StoredRun], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Ablate every latent of every run that counts, at each hook point, and see on which inputs the answer is lost.

    Variables `TITLES` by ``hook_point`` and ``decomposition``: means over latents, then over runs with bounds.
    `<name>_null`: the same dictionary turned within the layer's spectrum, which reads and writes other directions of
    like variance. `<name>_same_size`: its own amounts, on its own inputs, along the turned directions; `more_splits`,
    `more_separation`: above the higher of these, run by run.
    """
    accepted = acceptance(spec, runs)
    counted = {*counted_runs(accepted, [run for pair in spec["pairs"] for run in (pair["a"], pair["b"])])}
    points = [_at(spec, runs, point, counted, device, progress) for point in spec["hook_points"]]
    dataset = xr.concat(points, pd.Index(spec["hook_points"], name="hook_point"), data_vars="all")
    return dataset.merge(accepted).assign_attrs(experiment=spec["experiment"], tolerance=spec["options"]["tolerance"])


def _at(
    spec: dict[str, Any],
    runs: dict[str, StoredRun],
    hook_point: str,
    counted: set[str],
    device: str | torch.device,
    progress: Progress,
) -> xr.Dataset:
    fitted = open_fitted(spec, runs, hook_point, device)
    layers = {run: one.layer for run, one in next(iter(fitted.values())).items()}
    for label, make in BESIDE.items():
        fitted[label] = {run: Fitted(layer, label, {("all", 0): make(layer)}) for run, layer in layers.items()}
    pairs = [pair["a"] in counted and pair["b"] in counted for pair in spec["pairs"]]
    draws = spec["options"]["null_draws"]
    table: Table = {label: {} for label in fitted}
    by_run: dict[tuple[str, str], dict[str, Tensor]] = {}
    for label, run in progress([(label, run) for label in fitted for run in layers if run in counted]):
        by_run[label, run], table[label][run] = _ablated(fitted[label][run], draws)
    bases = find_bases(spec["pairs"], pairs)
    names = list(dict.fromkeys(run for base in bases for run in base.others))
    returned = by_latent(bases, fitted, [Score()], names, draws)
    returned = returned.isel(view=0).assign_coords(decomposition=list(fitted))
    for number, base in enumerate(bases):
        for label in fitted:
            cell = returned.isel(base=number).sel(decomposition=label)
            for run in base.others:
                found = _returns(by_run[label, base.run], cell, names.index(run))
                table[label][run] = table[label][run] | found
    dataset = over_runs(table, units_of(spec["pairs"]), TITLES, SHARES)
    return dataset.merge(_latents(by_run, fitted, bases[0].run, returned.isel(base=0)))


def chosen(fitted: Fitted) -> Dictionary:
    """The fit to all rows with the first seed."""
    return fitted.members["all", min(seed for rows, seed in fitted.members if rows == "all")]


def _ablated(fitted: Fitted, draws: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    """By latent, what its ablation does (NaN where it's dead), and the means over live ones beside their nulls."""
    layer, dictionary = fitted.layer, chosen(fitted)
    live = live_latents(layer, dictionary)
    own = _measured(layer, dictionary, dictionary)
    numbers = {name: torch.where(live, value, torch.nan) for name, value in own.items()}
    found = means(numbers) | {"live": float(live.sum())}
    chance: dict[str, list[dict[str, float]]] = {"null": [], "same_size": []}
    for draw in range(draws):
        generator = stream("ablation", layer.run, layer.hook_point, fitted.label, draw)
        turned = random_dictionary(SPECTRAL, layer, dictionary, generator)
        for kind, reads in (("null", turned), ("same_size", dictionary)):
            drawn = _measured(layer, reads, turned)
            chance[kind].append(means({name: value[live] for name, value in drawn.items()}))
    for kind, rows in chance.items():
        for name in own:
            found[f"{name}_{kind}"] = float(mean_of_known([row[name] for row in rows]))
    # By run, so that what runs share doesn't widen the interval.
    for name in ("splits", "separation"):
        found[f"more_{name}"] = found[name] - float(np.fmax(found[f"{name}_null"], found[f"{name}_same_size"]))
    numbers["size"] = torch.where(live, size(layer, dictionary), torch.nan)
    return numbers, found


def _measured(layer: Layer, reads: Dictionary, writes: Dictionary) -> dict[str, Tensor]:
    """What is lost where the amounts that one dictionary reads are put at their mean along another's directions."""
    shares, labels = [], []
    for fold in FOLDS:
        rest = layer.rest[fold]
        shares.append(lost(rest, writes.directions, reads.codes(layer.activations[fold][: rest.rows])))
        labels.append(rest.labels[answered(rest)])
    return splits(torch.cat(shares, 1), torch.cat(labels))


def size(layer: Layer, dictionary: Dictionary) -> Float[Tensor, " latents"]:
    """Root mean square by which ablating each latent moves the activation, held out."""
    codes = torch.cat([dictionary.codes(layer.activations[fold]) for fold in FOLDS])
    moved: Tensor = codes.std(0, correction=0) * dictionary.directions.norm(dim=1)
    return moved


def _returns(numbers: dict[str, Tensor], cell: xr.Dataset, run: int) -> dict[str, float]:
    """How often latents that split the inputs are found in another run, how often the others are."""
    width = len(numbers["splits"])
    similarity = cell.latent_similarity.values[:width, run]
    returned = np.where(np.isnan(similarity), np.nan, similarity > cell.latent_null_quantile.values[:width])
    causal = numbers["splits"].cpu().numpy()
    found = {}
    for kind, here in (("causal", causal == 1), ("other", causal == 0)):
        found[f"similarity_{kind}"] = float(mean_of_known(similarity[here]))
        found[f"returns_{kind}"] = float(mean_of_known(returned[here]))
    found["more_returns"] = found["returns_causal"] - found["returns_other"]
    columns = [numbers["destroyed"].cpu().numpy(), similarity, numbers["size"].cpu().numpy()]
    return found | {"with_return": partial_rank_correlation(*columns)}


def partial_rank_correlation(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], held: Float[np.ndarray, " n"]
) -> float:
    """Spearman's correlation of a and b with that of `held` taken off both (Kendall's partial formula, on ranks).

    NaN below `FEWEST_RANKED` entries that have all three, and where one doesn't vary.
    """
    known = ~np.isnan([a, b, held]).any(0)
    if known.sum() < FEWEST_RANKED:
        return np.nan
    ranks = np.stack([stats.rankdata(one[known]) for one in (a, b, held)])
    if (np.ptp(ranks, axis=1) == 0).any():
        return np.nan
    ab, ac, bc = np.corrcoef(ranks)[[0, 0, 1], [1, 2, 2]]
    left = (1 - ac**2) * (1 - bc**2)
    return float((ab - ac * bc) / np.sqrt(left)) if left > 1e-12 else np.nan


def _latents(
    by_run: dict[tuple[str, str], dict[str, Tensor]],
    fitted: dict[str, dict[str, Fitted]],
    base: str,
    returned: xr.Dataset,
) -> xr.Dataset:
    """By latent of one base, what its ablation does, and how alike its matches in the other runs are."""
    width = returned.sizes["latent"]
    names = ("destroyed", "between", "untouched", "splits", "size")
    arrays = {name: np.full((len(fitted), width), np.nan) for name in names}
    for row, label in enumerate(fitted):
        for name in names:
            values = by_run[label, base][name].cpu().numpy()
            arrays[name][row, : len(values)] = values
    columns = {f"latent_{name}": (("decomposition", "latent"), array) for name, array in arrays.items()}
    similarity = returned.latent_similarity.mean("run").transpose("decomposition", "latent").values
    return xr.Dataset(columns | {"latent_similarity": (("decomposition", "latent"), similarity)})
