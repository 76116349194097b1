"""Which latents of all runs of an experiment are one and the same, and what became of each where something changed?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.alignment.layer import Layer
from homolog.analyses.admission import acceptance, check_same_inputs, counted_runs
from homolog.analyses.changes import changes_of, follow
from homolog.analyses.consensus import CONFIDENCE, Consensus, Groups, Series
from homolog.analyses.rival import hold_against, read_joint_codes
from homolog.analyses.scores import Codes
from homolog.store.joint import read_joint_dictionaries
from homolog.store.runs import StoredRun

Progress = Callable[[Iterable[Any]], Iterable[Any]]
Rows = dict[str, list[xr.Dataset]]
FEWEST_RUNS = 3
# What stands where there is nothing: no latent, no run; NaN elsewhere.
_NO_LATENT = ("latent", "child", "parent", "joint_track", "track_joint")
_NO_COUNT = ("n_latents", "live_latents", "joint_shared")


def track(
    spec: dict[str, Any],
    runs: dict[str, StoredRun],
    joint: Iterable[str | Path] = (),
    device: str | torch.device = "cpu",
    progress: Progress = iter,
) -> xr.Dataset:
    """Track the latents of the runs that count, by hook point and decomposition: `tracks.nc` of docs/files.md.

    `spec` lists the runs, their groups and changes; `joint` are files of joint decompositions. Where fewer than three
    runs count, or `least_runs`, only the runs are described, and a warning says so. Raises ValueError for fewer than
    three runs, and for runs that were read on different inputs.
    """
    if len(spec["runs"]) < FEWEST_RUNS:
        raise ValueError(
            f"tracks of experiment {spec['experiment']}: they need at least {FEWEST_RUNS} runs, but it compares "
            f"{len(spec['runs'])} ({', '.join(spec['runs'])}): add seeds or models."
        )
    accepted = acceptance(spec, runs)
    counted = counted_runs(accepted, spec["runs"])
    rows: Rows = {"track": [], "point": [], "change": [], "rival": []}
    if len(counted) >= max(FEWEST_RUNS, spec["options"]["least_runs"]):
        for hook_point in spec["hook_points"]:
            _add(rows, spec, runs, hook_point, counted, joint, device, progress)
    else:
        rows["track"].append(_no_tracks(spec, counted))
    sizes = {name: len(index) for name, index in Groups(spec["groups"], counted).index.items()}
    verdicts = ("run", [run in counted for run in spec["runs"]])
    facts = xr.Dataset(
        {"accepted_run": verdicts, "runs_in": ("group", list(sizes.values()))},
        {"run": spec["runs"], "group": list(sizes)},
    )
    parts = [_end_to_end(rows[name], name) for name in ("track", "change", "rival") if rows[name]]
    parts += [_stacked(rows["point"])] if rows["point"] else []
    found = xr.merge([facts, *parts], join="outer", fill_value=_fill(parts)).reindex(run=spec["runs"])
    named = {name: spec["options"][name] for name in ("quorum", "least_runs", "null_draws", "level")}
    named["conditional_on"] = spec["options"].get("conditional_on", "label")
    return found.assign_attrs(experiment=spec["experiment"], confidence=CONFIDENCE, **named)


def _add(
    rows: Rows,
    spec: dict[str, Any],
    runs: dict[str, StoredRun],
    hook_point: str,
    counted: list[str],
    joint: Iterable[str | Path],
    device: str | torch.device,
    progress: Progress,
) -> None:
    """Everything at one hook point, onto the lists of `rows`."""
    layers = _layers(spec, runs, hook_point, device)
    series = {
        one.label: one
        for options in spec["decompositions"]
        for one in _series({run: (runs[run], layers[run, options["gauge"]]) for run in runs}, options["name"])
    }
    rivals = [
        one
        for path, options in zip(joint, spec["joint"], strict=True)
        for one in read_joint_codes(
            read_joint_dictionaries(path, hook_point), [layers[run, options["gauge"]] for run in spec["runs"]]
        )
    ]
    level, groups = spec["options"]["level"], Groups(spec["groups"], counted)
    for one in progress(list(series.values())):
        consensus = Consensus.of(one, groups, spec["options"])
        start = sum(part.sizes["track"] for part in rows["track"])
        numbered = {"track": start + np.arange(len(consensus.found.tracks.latent))}
        rows["track"].append(consensus.tracks(groups).assign_coords(numbered))
        rows["point"].append(consensus.summary(groups).expand_dims(hook_point=[hook_point], decomposition=[one.label]))
        for held in hold_against(rivals, consensus.found, one.signed, (hook_point, one.label), level):
            known = held.joint_track >= 0
            held = held.assign_coords(numbered).assign(
                joint_track=held.joint_track.where(~known, held.joint_track + start)
            )
            rows["rival"].append(held.assign(rival_hook_point=hook_point, rival_decomposition=one.label))
    changes = changes_of(spec, series, hook_point, counted)
    rows["change"] += [followed for change in progress(changes) if (followed := follow(change, series, level))]


def _layers(
    spec: dict[str, Any], runs: dict[str, StoredRun], hook_point: str, device: str | torch.device
) -> dict[tuple[str, str], Layer]:
    """Every run in every gauge that a decomposition was fitted in, all on the same inputs."""
    gauges = dict.fromkeys(options["gauge"] for options in (*spec["decompositions"], *spec["joint"]))
    about_rows = spec["options"].get("conditional_on", "label"), spec["options"].get("documents")
    layers = {(run, gauge): runs[run].layer(hook_point, gauge, device, *about_rows) for run in runs for gauge in gauges}
    check_same_inputs(layers.values())
    return layers


def _series(read: dict[str, tuple[StoredRun, Layer]], name: str) -> list[Series]:
    """The grid points of one decomposition, with the codes of all members in all runs."""
    found: dict[str, Series] = {}
    for run, (stored, layer) in read.items():
        for dictionary in stored.dictionaries(layer, name):
            facts = dictionary.member
            one = found.setdefault(
                str(facts["label"]), Series(layer.hook_point, str(facts["label"]), dictionary.signed, {})
            )
            one.codes.setdefault(run, {})[str(facts["rows"]), int(facts["seed"])] = Codes.read(layer, dictionary)
    return list(found.values())


def _no_tracks(spec: dict[str, Any], counted: list[str]) -> xr.Dataset:
    logging.getLogger(__name__).warning(
        "tracks of experiment %s: %d of %d runs count, too few for any (%d needed); raise the tolerance or add seeds",
        *(spec["experiment"], len(counted), len(spec["runs"]), max(FEWEST_RUNS, spec["options"]["least_runs"])),
    )
    shape = (0, len(spec["runs"]))
    columns = {"latent": np.zeros(shape, int), "similarity": np.zeros(shape), "member_p_value": np.zeros(shape)}
    return xr.Dataset({name: (("track", "run"), values) for name, values in columns.items()}, {"run": spec["runs"]})


def _end_to_end(parts: list[xr.Dataset], dim: str) -> xr.Dataset:
    """Parts joined along `dim`."""
    # What is by track has all tracks of the file, of other parts too.
    return xr.concat(parts, dim, join="outer", data_vars="all", fill_value=_fill(parts), combine_attrs="drop")


def _stacked(parts: list[xr.Dataset]) -> xr.Dataset:
    """Parts of one hook point and one decomposition each, beside each other along both."""
    fill: dict[str, Any] = {"join": "outer", "data_vars": "minimal", "fill_value": _fill(parts)}
    hook_points = dict.fromkeys(part.hook_point.item() for part in parts)
    beside = [
        xr.concat([p for p in parts if p.hook_point.item() == name], "decomposition", **fill) for name in hook_points
    ]
    return xr.concat(beside, "hook_point", **fill)


def _fill(parts: list[xr.Dataset]) -> dict[str, Any]:
    """What stands where a part has nothing."""
    names = {str(name) for part in parts for name in part.data_vars}
    return {name: -1 if name in _NO_LATENT else 0 if name in _NO_COUNT else np.nan for name in names}
