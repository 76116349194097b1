"""How does a network that knows an operation learn it for new tokens: with the circuit it has, or with another?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr

from homolog.analyses.replicates import over_replicates
from homolog.groups.base import Group, energies
from homolog.groups.named import named
from homolog.streams import stream
from homolog.toys.composing import CORE, Composing, Split, reached_at, split_pairs, train_composing
from homolog.toys.training import Parameters, accuracies

Progress = Callable[[Iterable[Any]], Iterable[Any]]
STARTS = ("after the first", "frozen core", "scratch", "frozen random core")
"""New embeddings for the trained rest, all trained on or the embeddings alone; and the same for a random rest."""
# Accuracy from which on an operation counts as found.
LEARNED = 0.95
TITLES = {
    "test_accuracy": "accuracy on held-out pairs of new tokens",
    "first_accuracy": "accuracy on held-out pairs of the first tokens",
    "found_at": "step from which on 95 % of the held-out pairs are right",
    "area": "area above the curve from scratch",
    "same_units": "correlation of units, first and new",
    "same_irreps": "correlation of irreps' energies, first and new embeddings",
}


def reuse(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks on a group's operation, then on the same operation with new tokens.

    Variables by ``start``, means over replicates with bounds: ``test_accuracy`` along ``step``, ``found_at`` (NaN where
    it is never found), ``area`` between a replicate's curve and that of its scratch, over that above the scratch: 1
    where all is right at once, 0 for scratch; ``first_accuracy``, of the first tokens with the rest as it is then;
    ``same_units``, of units' embeddings, whose null is the next unit, and ``same_irreps``, whose null correlates
    with the first embeddings of the other replicates.
    """
    options = spec["options"]
    group, replicates = named(options["group"]), options["replicates"]
    network = Composing(group.order, group.order, options["width"], options["combine"], group.commutative)
    splits = [split_pairs(group, options[share], replicates, "reuse", share) for share in ("share", "new_share")]
    rest = network.start(replicates, stream("reuse", "first"))
    first, _ = _train(network, rest, splits[0], options, progress)
    values: dict[str, list[np.ndarray]] = {}
    for start in STARTS:
        begun = network.start(replicates, stream("reuse", "new"))
        if start in STARTS[:2]:
            begun |= _core(first)
        new, curve = _train(network, begun, splits[1], options, progress, frozen=start.startswith("frozen"))
        held_out = splits[0].test
        before = accuracies(network.logits(first | _core(new), held_out.pairs), held_out.labels)
        same, null = _same_irreps(group, first, new)
        units, random = _same_units(first, new)
        found = {
            "test_accuracy": curve,
            "first_accuracy": before.numpy(),
            "same_units": units,
            "same_units_null": random,
            "same_irreps": same,
            "same_irreps_null": null,
        }
        for name, one in found.items():
            values.setdefault(name, []).append(one)
    steps = np.arange(0, options["steps"] + 1, options["every"])
    return _told(values, steps, group).assign_attrs(experiment=spec["experiment"], **options)


def _train(
    network: Composing,
    begun: Parameters,
    split: Split,
    options: dict[str, Any],
    progress: Progress,
    frozen: bool = False,
) -> tuple[Parameters, np.ndarray]:
    """Trained parameters, and accuracies on held-out pairs (replicate, step)."""
    curve = []

    def watch(parameters: Parameters, step: int) -> None:
        if step % options["every"] == 0:
            curve.append(accuracies(network.logits(parameters, split.test.pairs), split.test.labels).numpy())

    core = CORE if frozen else ()
    trained = train_composing(network, begun, split.train, options, options["steps"], watch, progress, core)
    return trained, np.stack(curve, -1)


def _core(parameters: Parameters) -> Parameters:
    return {name: parameters[name] for name in CORE}


def _same_irreps(group: Group, first: Parameters, new: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Correlation over irreps of the energies above those of random embeddings; and with other replicates' first."""
    one, other = ((energies(group, parameters["left"]) - group.random_shares).numpy() for parameters in (first, new))
    count = len(one)
    table = np.corrcoef(one, other)[:count, count:]
    others = np.where(np.eye(count, dtype=bool), np.nan, table)
    return np.diagonal(table).copy(), np.asarray(np.nanmean(others, axis=0))


def _same_units(first: Parameters, new: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Mean over units of how alike they read the first and the new token of an element; and of each and the next unit.

    Units are those of one rest, so that no matching is needed; a product of two tokens leaves their sign open.
    """
    one, other = (parameters["left"] - parameters["left"].mean(1, keepdim=True) for parameters in (first, new))
    one, other = (values / values.norm(dim=1, keepdim=True) for values in (one, other))
    return (one * other).sum(1).abs().mean(1).numpy(), (one * other.roll(1, 2)).sum(1).abs().mean(1).numpy()


def _told(values: dict[str, list[np.ndarray]], steps: np.ndarray, group: Group) -> xr.Dataset:
    stacked = {name: np.stack(one) for name, one in values.items()}
    curve = stacked["test_accuracy"]
    scratch = curve[STARTS.index("scratch")]
    stacked["area"] = (curve - scratch).sum(-1) / (1 - scratch).sum(-1)
    stacked["found_at"] = reached_at(curve, steps, LEARNED)
    dims = {name: ("start", "replicate", "step")[: one.ndim] for name, one in stacked.items()}
    found = over_replicates(
        {name: (dims[name], one) for name, one in stacked.items()}, {"start": list(STARTS), "step": steps}, TITLES
    )
    return found.assign(test_accuracy_null=((), 1 / group.order))
