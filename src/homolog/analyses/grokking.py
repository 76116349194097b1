"""When do networks that have fitted their pairs find a group's operation, and which irreps carry it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from homolog.analyses.replicates import over_replicates
from homolog.groups.base import Group, energies, logit_energies
from homolog.groups.named import named
from homolog.streams import stream
from homolog.toys.composing import Composing, Split, all_pairs, reached_at, read_out, split_pairs, train_composing
from homolog.toys.training import Parameters, accuracies, cross_entropies

Progress = Callable[[Iterable[Any]], Iterable[Any]]
TABLES = ("operation", "no rule")
"""The group's own results, and the same ones permuted over the pairs: nothing to generalise."""
# Accuracy from which on pairs count as fitted, or the operation as found.
LEARNED = 0.99
# Frequencies that are told of a cyclic group, of largest energy first.
LARGEST = 8
TITLES = {
    "train_accuracy": "accuracy on training pairs",
    "test_accuracy": "accuracy on held-out pairs",
    "train_loss": "loss on training pairs",
    "test_loss": "loss on held-out pairs",
    "fitted_at": "step from which on 99 % of the training pairs are right",
    "found_at": "step from which on 99 % of the held-out pairs are right",
    "irreps_in_use": "irreps over which the embeddings' energy is spread",
}


def grokking(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks on a share of each group's distinct pairs, and as many on tables without a rule.

    Variables by ``group``, ``table`` and ``step``, means over replicates with bounds: accuracies and losses on training
    and held-out pairs (``test_accuracy_null``: 1 / order), ``irreps_in_use`` (inverse of the energies' sum of squares);
    ``fitted_at`` and ``found_at`` without ``step``. By group G, ``embedding_energy_<G>`` and ``logit_energy_<G>`` along
    ``irrep_<G>``: by name, or of a cyclic group by rank at the end, since each training finds frequencies of its own.
    """
    options = spec["options"]
    parts = [_of_group(name, one, options, progress) for name, one in options["groups"].items()]
    found = xr.concat([part[0] for part in parts], "group").assign_coords(group=list(options["groups"]))
    found = xr.merge([found, *(part[1] for part in parts)])
    facts = {name: options[name] for name in ("replicates", "steps", "every")}
    return found.assign_attrs(experiment=spec["experiment"], **facts)


@dataclass
class _Watched:
    """What is measured while networks train: lists over time of arrays with members in front."""

    group: Group
    network: Composing
    split: Split
    every: int
    steps: list[int] = field(default_factory=list)
    found: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def __call__(self, parameters: Parameters, step: int) -> None:
        if step % self.every:
            return
        self.steps.append(step)
        order, members = self.group.order, len(self.split.train.labels)
        everything = all_pairs(self.group, members)
        hidden = self.network.hidden(parameters, everything)
        logits = read_out(parameters, hidden)
        for name, one in (("train", self.split.train), ("test", self.split.test)):
            at = one.pairs[..., 0] * order + one.pairs[..., 1]
            own = logits[torch.arange(members)[:, None], at]
            self._add(f"{name}_accuracy", accuracies(own, one.labels))
            self._add(f"{name}_loss", cross_entropies(own, one.labels))
        shares = energies(self.group, parameters["left"])
        self._add("irreps_in_use", 1 / (shares**2).sum(-1))
        self._add("embedding_energy", shares)
        self._add("logit_energy", logit_energies(self.group, logits.reshape(members, order, order, -1)))

    def _add(self, name: str, values: Tensor) -> None:
        self.found.setdefault(name, []).append(values.double().numpy())


def _of_group(
    name: str, own: dict[str, Any], options: dict[str, Any], progress: Progress
) -> tuple[xr.Dataset, xr.Dataset]:
    """Numbers of one group that all groups have, and those by its own irreps."""
    group, replicates = named(name), options["replicates"]
    network = Composing(group.order, group.order, own["width"], own["combine"], group.commutative)
    split = _both(group, own["share"], replicates, name)
    watched = _Watched(group, network, split, options["every"])
    begun = network.start(2 * replicates, stream("grokking", name, "start"))
    train_composing(network, begun, split.train, own, options["steps"], watched, progress)
    values = {key: np.stack(one, -1) for key, one in watched.found.items()}
    return _curves(values, watched.steps, group, replicates), _by_irrep(values, watched.steps, group, replicates)


def _both(group: Group, share: float, replicates: int, name: str) -> Split:
    """Pairs of the operation, then of tables without a rule: for twice as many members."""
    key = ("grokking", name, "pairs")
    kinds = [split_pairs(group, share, replicates, *key), split_pairs(group, share, replicates, *key, shuffled=True)]
    return Split(kinds[0].train.joined(kinds[1].train), kinds[0].test.joined(kinds[1].test))


def _curves(values: dict[str, np.ndarray], steps: list[int], group: Group, replicates: int) -> xr.Dataset:
    dims = ("table", "replicate", "step")
    curves = {key: (dims, one.reshape(2, replicates, -1)) for key, one in values.items() if not key.endswith("_energy")}
    reached = {
        key: (dims[:2], reached_at(curves[curve][1], np.asarray(steps), LEARNED))
        for key, curve in (("fitted_at", "train_accuracy"), ("found_at", "test_accuracy"))
    }
    found = over_replicates({**curves, **reached}, {"table": list(TABLES), "step": steps}, TITLES)
    return found.assign(test_accuracy_null=((), 1 / group.order))


def _by_irrep(values: dict[str, np.ndarray], steps: list[int], group: Group, replicates: int) -> xr.Dataset:
    dim = f"irrep_{group.name}"
    names, found = list(group.irreps), {}
    for key in ("embedding_energy", "logit_energy"):
        one = values[key].reshape(2, replicates, len(group.irreps), -1)
        if group.commutative:
            order = np.argsort(-one[..., -1], axis=2)[:, :, :LARGEST]
            one = np.take_along_axis(one, order[..., None], axis=2)
            names = [f"largest {rank + 1}" for rank in range(one.shape[2])]
        found[f"{key}_{group.name}"] = (("table", "replicate", dim, "step"), one)
    titles = {
        f"embedding_energy_{group.name}": f"share of the embeddings' energy, {group.name}",
        f"logit_energy_{group.name}": f"share of the logits' variance along the character, {group.name}",
    }
    dataset = over_replicates(found, {"table": list(TABLES), "step": steps, dim: names}, titles)
    if group.commutative:
        return dataset
    # Without training: ranks of the projectors.
    return dataset.assign({f"embedding_energy_{group.name}_null": (dim, group.random_shares.numpy())})
