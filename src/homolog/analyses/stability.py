"""When a network or a layer is trained again, which latents come back: each number with its floor and its ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from homolog.alignment.layer import Layer
from homolog.alignment.representations.canonical import excess_correlations
from homolog.alignment.representations.kernel import linear_cka
from homolog.alignment.views.base import View
from homolog.analyses.admission import acceptance, check_same_inputs, counted_runs
from homolog.analyses.comparison import Fitted, Key, turns_dictionary
from homolog.analyses.latents import by_latent, find_bases, heat_maps
from homolog.analyses.roles import ROLES, Sources, measure_roles
from homolog.analyses.summary import summarise
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.store.runs import StoredRun
from homolog.streams import stream

Progress = Callable[[Iterable[Any]], Iterable[Any]]
# Neighbours nearer than so many sampling errors of their gap have arbitrary vectors: only their span is defined.
NEAR_DEGENERATE = 2.0


def stability(
    spec: dict[str, Any], runs: dict[str, StoredRun], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Compare the pairs of runs that `spec` lists, at every hook point, decomposition, view and matching.

    The dataset's dims and variables are described in docs/files.md. Only pairs of accepted runs enter the summaries.
    """
    accepted = acceptance(spec, runs)
    points: list[xr.Dataset] = []
    for hook_point in spec["hook_points"]:
        coordinates = _pair_coordinates(spec["pairs"], accepted)
        measured, latents = _measure(spec, runs, hook_point, coordinates["accepted"][1], device, progress)
        measured = measured.assign_coords(coordinates)
        summary = summarise(measured, spec["pairs"])
        by_pair = measured.drop_vars([name for name in measured if str(name).endswith("_and_rank")])
        by_pair = by_pair.rename(observed_by_pair="observed").transpose(
            "decomposition", "view", "matching", "pair", ...
        )
        points.append(xr.merge([by_pair, summary, latents], join="exact", compat="no_conflicts"))
    dataset = xr.concat(points, pd.Index(spec["hook_points"], name="hook_point"), data_vars="all")
    merged = xr.merge([dataset, accepted], join="exact", compat="no_conflicts")
    options = spec["options"]
    facts = {"tolerance": options["tolerance"], "conditional_on": options.get("conditional_on", "label")}
    return merged.assign_attrs(experiment=spec["experiment"], **facts)


def _pair_coordinates(pairs: list[dict[str, str]], accepted: xr.Dataset) -> dict[str, tuple[str, list[Any]]]:
    counted = {*counted_runs(accepted, [run for pair in pairs for run in (pair["a"], pair["b"])])}
    return {
        "run_a": ("pair", [pair["a"] for pair in pairs]),
        "run_b": ("pair", [pair["b"] for pair in pairs]),
        "kind": ("pair", [pair["kind"] for pair in pairs]),
        "condition": ("pair", [pair["condition"] for pair in pairs]),
        "accepted": ("pair", [{pair["a"], pair["b"]} <= counted for pair in pairs]),
    }


def _measure(
    spec: dict[str, Any],
    runs: dict[str, StoredRun],
    hook_point: str,
    accepted: list[bool],
    device: str | torch.device,
    progress: Progress,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Everything by pair, and everything by latent, at one hook point."""
    sources = open_sources(spec, runs, hook_point, device)
    fitted = {label: source.fitted for label, source in sources.items()}
    views: list[View] = [load(target)(by_name=True) for target in spec["options"]["views"]]
    work = [(label, view) for label in sources for view in views]
    ranks = _ranks(fitted)
    cells = [measure_roles(spec, hook_point, sources[label], view, ranks) for label, view in progress(work)]
    shape = (len(sources), len(views))
    stacked = {name: np.stack([cell[name] for cell in cells]) for name in cells[0]}
    dims = {f"{name}_by_pair": ("pair", "matching") for name in ROLES} | {"gauge": ("matching",)}
    dims |= {f"{name}_by_pair_and_rank": ("pair", "rank") for name in ROLES}
    variables = {
        name: (("decomposition", "view", *dims[name]), array.reshape(*shape, *array.shape[1:]))
        for name, array in stacked.items()
    }
    dataset = xr.Dataset(variables, coords=_coordinates(spec, list(fitted), views))
    bases = find_bases(spec["pairs"], accepted)
    latents = by_latent(bases, fitted, views, list(spec["references"]), spec["options"]["null_draws"])
    return dataset.merge(_describe(spec, fitted, views)), latents.merge(heat_maps(bases[0], fitted, views))


def open_sources(
    spec: dict[str, Any], runs: dict[str, StoredRun], hook_point: str, device: str | torch.device
) -> dict[str, Sources]:
    """What there is of each grid point of each decomposition, in every run."""
    options = spec["options"]
    about_rows = options.get("conditional_on", "label"), options.get("documents")
    layers: dict[tuple[str, str], Layer] = {}
    sources: dict[str, Sources] = {}
    compared = {pair[side] for pair in spec["pairs"] for side in ("a", "b")}
    for one in spec["decompositions"]:
        name = one["name"]
        for run, stored in runs.items():
            key = (run, one["gauge"])
            if key not in layers:
                layers[key] = stored.layer(hook_point, one["gauge"], device, *about_rows)
            found = {"fitted": stored.dictionaries(layers[key], name)}
            if run in compared and "start" in one:
                found["start"] = stored.dictionaries_at_start(layers[key], name, device)
            if run in spec.get("gaussian", {}) and name in spec["gaussian_decompositions"]:
                found["gaussian"] = stored.beside(spec["gaussian"][run]).dictionaries(layers[key], name)
            for kind, members in found.items():
                for label, by_key in _by_label(members).items():
                    source = sources.setdefault(label, Sources({}, {}, {}))
                    getattr(source, kind)[run] = Fitted(layers[key], label, by_key)
    check_same_inputs(layers.values())
    return sources


def open_fitted(
    spec: dict[str, Any], runs: dict[str, StoredRun], hook_point: str, device: str | torch.device
) -> dict[str, dict[str, Fitted]]:
    """Each grid point of each decomposition as it was fitted, by run: for analyses that ask nothing of its start."""
    plain = [{name: one[name] for name in ("name", "gauge")} for one in spec["decompositions"]]
    sources = open_sources({**spec, "decompositions": plain, "gaussian": {}}, runs, hook_point, device)
    return {label: source.fitted for label, source in sources.items()}


def _by_label(members: list[Dictionary]) -> dict[str, dict[Key, Dictionary]]:
    found: dict[str, dict[Key, Dictionary]] = {}
    for dictionary in members:
        facts = dictionary.member
        found.setdefault(str(facts["label"]), {})[str(facts["rows"]), int(facts["seed"])] = dictionary
    return found


def _ranks(fitted: dict[str, dict[str, Fitted]]) -> int:
    """The largest number of latents of any ordered decomposition."""
    ordered = [one for by_run in fitted.values() for one in by_run.values() if one.ordered]
    return max((len(d.directions) for one in ordered for d in one.members.values()), default=0)


def _coordinates(spec: dict[str, Any], labels: list[str], views: list[View]) -> dict[str, Any]:
    return {
        "decomposition": labels,
        "view": [view.name for view in views],
        "matching": spec["options"]["matchings"],
        # Whether the null of a view is a turned dictionary, and not a permutation of inputs.
        "null_turns": ("view", [turns_dictionary(view) for view in views]),
        "caveat": ("view", [view.caveat for view in views]),
    }


def _describe(spec: dict[str, Any], fitted: dict[str, dict[str, Fitted]], views: list[View]) -> xr.Dataset:
    """Facts beside the similarities: what is identified, how good the dictionaries are, what whole layers share."""
    first = next(iter(fitted.values()))
    pairs = [(first[pair["a"]].layer, first[pair["b"]].layer) for pair in spec["pairs"]]
    identified = [[view.identified(a, b) for view in views] for a, b in pairs]
    whole = [_whole_layers(a, b, spec["options"]["null_draws"]) for a, b in pairs]
    runs = list(spec["references"])
    quality = {
        name: [[_mean_fact(by_run[run], name) for run in runs] for by_run in fitted.values()]
        for name in ("fvu", "l0", "dead_fraction", "loss_recovered", "steps")
    }
    untrained = {pair[side]: pair[f"initial_{side}"] for pair in spec["pairs"] for side in ("a", "b")}
    before = [(run, untrained.get(run) or run) for run in runs]
    quality["loss_recovered_untrained"] = [
        [_mean_fact(by_run[other], "loss_recovered") if other != run else np.nan for run, other in before]
        for by_run in fitted.values()
    ]
    ranks = _ranks(fitted)
    near = [_near_degenerate([by_run[run] for run in runs], ranks) for by_run in fitted.values()]
    return xr.Dataset(
        {
            "identified_pair": (("pair", "view"), identified),
            **{name: ("pair", [values[name] for values in whole]) for name in whole[0]},
            **{name: (("decomposition", "run"), values) for name, values in quality.items()},
            "ordered": ("decomposition", [next(iter(by_run.values())).ordered for by_run in fitted.values()]),
            "near_degenerate": (("decomposition", "rank"), near),
            "rank": ("rank", np.arange(1, ranks + 1)),
            "run": ("run", runs),
        }
    )


def _whole_layers(a: Layer, b: Layer, draws: int) -> dict[str, float]:
    """What two layers share as wholes, over all held-out inputs: context for the latents."""
    x, y = (torch.cat(list(layer.activations.values())) for layer in (a, b))
    found = excess_correlations(x, y, max(draws, 20), stream("correlations", a.run, b.run, a.hook_point))
    return {
        "shared_correlations": float(found.count),
        "possible_correlations": float(len(found.correlations)),
        "samples_per_unit": found.samples_per_unit,
        "linear_cka": linear_cka(x, y).value,
    }


def _mean_fact(fitted: Fitted, name: str) -> float:
    """The mean over the members fitted to all rows that have a number there and haven't diverged; NaN without any."""
    members = [d for (rows, _), d in fitted.members.items() if rows == "all" and not d.diverged]
    known = [value for d in members if not np.isnan(value := float(d.member.get(name, np.nan)))]
    return float(np.mean(known)) if known else np.nan


def _near_degenerate(fitted: list[Fitted], ranks: int) -> np.ndarray:
    """Ranks whose gap to a neighbour is within its sampling error, as fits to the two halves of the data show it."""
    near = np.zeros(ranks, bool)
    if not all(one.ordered and {rows for rows, _ in one.members} >= {"all", "a", "b"} for one in fitted):
        return near
    fits = {rows: np.stack([_importance(one, rows) for one in fitted]) for rows in ("all", "a", "b")}
    # Half the squared difference is a half-fit's variance; a fit to all rows has half of that again.
    variance = ((fits["a"] - fits["b"]) ** 2 / 4).mean(0)
    gap = (fits["all"][:, :-1] - fits["all"][:, 1:]).mean(0)
    close = gap < NEAR_DEGENERATE * np.sqrt(variance[:-1] + variance[1:])
    near[: len(variance)] = np.append(close, False) | np.insert(close, 0, False)
    return near


def _importance(fitted: Fitted, rows: str) -> np.ndarray:
    return np.asarray(next(d for (which, _), d in fitted.members.items() if which == rows).importance.cpu().numpy())
