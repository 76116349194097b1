"""In which bases of two adjacent layers do the fewest edges carry what the second reads of the first?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.alignment.layer import Layer
from homolog.alignment.nulls import haar_rotation
from homolog.alignment.random_dictionaries import SPECTRAL, random_dictionary
from homolog.analyses.admission import acceptance, counted_runs
from homolog.analyses.by_run import linear, units_of
from homolog.analyses.causal_features import chosen
from homolog.analyses.comparison import Fitted, live_latents
from homolog.analyses.replicates import mean_of_known, over_replicates
from homolog.analyses.stability import open_fitted
from homolog.analyses.virtual_weights import first_below, mean_reads, unexplained, virtual_weights
from homolog.dictionary import Dictionary
from homolog.store.runs import StoredRun
from homolog.streams import stream
from homolog.toys.top_m import participation

Progress = Callable[[Iterable[Any]], Iterable[Any]]
# One bit says which half: a quarter of the variance is left (a normal variable's rate is -1/2 log2 of that).
ONE_BIT = 0.25
FEW = 4
TURNED = ", turned"
TITLES = {
    "fvu": "left of what the next layer reads",
    "edges": "edges a reading for one bit",
    "acting": "edges that act on an input, for one bit",
    "bits": f"bits of a reading from its {FEW} best edges",
    "spread": "sources over which a reading's weights spread",
    "sources": "live latents of the first layer",
    "least": "left with all edges",
    "between": "edges a reading for one bit",
}
Numbers = dict[str, Any]


def weight_sparsity(
    spec: dict[str, Any], runs: dict[str, StoredRun], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Edges between adjacent hook points of every run that counts, in the bases of both layers.

    By ``hook_point`` (the second layer) and ``basis``: `TITLES`, means over runs with bounds; `fvu` also by ``edge``.
    `between` has every pair of a ``basis`` of the first layer and of one that ``reads``. Bases: units, principal axes,
    units turned at random (Haar), each dictionary, and each turned within its layer's spectrum: the null.
    """
    accepted = acceptance(spec, runs)
    counted = counted_runs(accepted, spec["references"])
    units = units_of(spec["pairs"])
    fitted = {point: open_fitted(spec, runs, point, device) for point in spec["hook_points"]}
    found = []
    for below, above in adjacent(spec["hook_points"], next(iter(fitted.values())), counted):
        rows = {
            run: _of_run(
                _bases(fitted[below], run, spec["options"]["null_draws"]),
                _bases(fitted[above], run, spec["options"]["null_draws"]),
            )
            for run in progress(counted)
        }
        found.append(
            _gathered(rows, units).expand_dims(hook_point=[above]).assign_coords(below=("hook_point", [below]))
        )
    dataset = xr.concat(found, "hook_point", data_vars="all", join="outer")
    return dataset.merge(accepted).assign_attrs(experiment=spec["experiment"], tolerance=spec["options"]["tolerance"])


def adjacent(hook_points: list[str], fitted: dict[str, dict[str, Fitted]], runs: list[str]) -> list[tuple[str, str]]:
    """Pairs of the hook points of which the second reads the first, in all runs; a ValueError without any."""
    one = next(iter(fitted.values()))[runs[0]].layer.model
    found = [(one.below(above), above) for above in hook_points if one.below(above) in hook_points]
    if not found:
        raise ValueError(
            f"weights between layers: of the hook points {', '.join(hook_points)} none reads another; allowed: "
            "neighbours, such as hidden_1 and hidden_2; name two of these."
        )
    return found


# A basis and where it stands: the layer and, by draw, the dictionary in its gauge.
Basis = tuple[Layer, list[Dictionary]]


def _bases(fitted: dict[str, dict[str, Fitted]], run: str, draws: int) -> dict[str, Basis]:
    """Bases of one layer of one run: each with its draws, of which those that are drawn have several."""
    layer = next(iter(fitted.values()))[run].layer
    nothing = layer.covariance.new_zeros(layer.units)
    key = (run, layer.hook_point)
    turns = [haar_rotation(layer.units, stream("weights", "haar", *key, draw)).to(nothing) for draw in range(draws)]
    bases: dict[str, Basis] = {
        "units": (layer, [linear(torch.eye(layer.units).to(nothing), nothing)]),
        "principal axes": (layer, [linear(layer.spectrum.vectors.T, nothing)]),
        "units" + TURNED: (layer, [linear(turn, nothing) for turn in turns]),
    }
    for label, by_run in fitted.items():
        one = chosen(by_run[run])
        generators = [stream("weights", label, *key, draw) for draw in range(draws)]
        bases[label] = (layer, [one])
        bases[label + TURNED] = (layer, [random_dictionary(SPECTRAL, layer, one, each) for each in generators])
    return bases


def _of_run(below: dict[str, Basis], above: dict[str, Basis]) -> dict[str, Numbers]:
    """Numbers of each basis, both layers in it; and edges for one bit between any two that aren't drawn."""
    plain = [label for label in below if not label.endswith(TURNED)]
    found = {}
    for label, (layer, drawn) in below.items():
        readers = above[label][1]
        each = [_edges(layer, source, above[label][0], reader) for source, reader in zip(drawn, readers, strict=True)]
        numbers: Numbers = {name: mean_of_known([one[name] for one in each]) for name in each[0]}
        found[label] = numbers
        if label in plain:
            numbers["between"] = {
                other: _edges(layer, drawn[0], above[other][0], above[other][1][0])["edges"] for other in plain
            }
    return found


def _edges(below: Layer, sources: Dictionary, above: Layer, readers: Dictionary) -> Numbers:
    live = live_latents(below, sources)
    directions = sources.directions[live]
    codes = {fold: sources.codes(rows)[:, live] for fold, rows in below.activations.items()}
    reads = mean_reads(above, readers.encoder[live_latents(above, readers)], below)
    left, acting = unexplained(reads, directions, codes["match"], codes["score"], below.activations["score"])
    curve = left.mean(0).cpu().numpy()
    edges = first_below(curve, ONE_BIT)
    weights = virtual_weights(reads, directions) * codes["match"].std(0, correction=0)
    at = np.arange(len(curve)) + 1
    return {
        # As long as the dictionary, whichever of its latents live.
        "fvu": np.pad(curve, (0, len(live) - len(curve)), constant_values=np.nan),
        "edges": edges,
        "acting": np.nan if np.isnan(edges) else float(np.interp(edges, at, acting.mean(0).cpu().numpy())),
        "bits": float(-0.5 * np.log2(max(curve[min(FEW, len(curve)) - 1], 1e-12))),
        "spread": float(participation(weights).mean()),
        "sources": float(live.sum()),
        "least": float(curve[-1]),
    }


def _gathered(rows: dict[str, dict[str, Numbers]], units: dict[str, str]) -> xr.Dataset:
    """Means over units of replication by basis."""
    bases = list(next(iter(rows.values())))
    plain = [label for label in bases if not label.endswith(TURNED)]
    replicates = list(dict.fromkeys(units[run] for run in rows))
    members = [[row for run, row in rows.items() if units[run] == one] for one in replicates]

    def put(get: Callable[[dict[str, Numbers]], Any]) -> np.ndarray:
        return np.array([mean_of_known([get(row) for row in of_unit]) for of_unit in members])

    most = max(len(row[label]["fvu"]) for row in rows.values() for label in bases)

    def curves(row: dict[str, Numbers]) -> list[np.ndarray]:
        return [np.pad(row[b]["fvu"], (0, most - len(row[b]["fvu"])), constant_values=np.nan) for b in bases]

    single = ("edges", "acting", "bits", "spread", "sources", "least")

    def column(name: str) -> np.ndarray:
        return put(lambda row: [row[b][name] for b in bases])

    values: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        name: (("replicate", "basis"), column(name)) for name in single
    }
    values["fvu"] = (("replicate", "basis", "edge"), put(curves))
    pairs = put(lambda row: [[row[b]["between"][other] for other in plain] for b in plain])
    values["between"] = (("replicate", "written", "reads"), pairs)
    coords = {"basis": bases, "edge": np.arange(most) + 1, "written": plain, "reads": plain}
    return over_replicates(values, coords, TITLES).assign_attrs(replicates=len(replicates))
