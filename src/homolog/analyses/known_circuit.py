"""Where the circuit is known: is it easier to read off in the basis of features, and does it return more than these?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.nulls import Spectrum, haar_rotation
from homolog.analyses.by_run import linear
from homolog.analyses.circuit_terms import Terms, alike, best_purity, carried, needed, purity, same_circuits
from homolog.analyses.replicates import mean_of_known, over_replicates
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary, quality
from homolog.groups.base import Group, logit_energies
from homolog.groups.harmonics import Harmonics
from homolog.groups.named import named
from homolog.groups.relabelling import Relabelling, relabelling
from homolog.streams import stream
from homolog.toys.composing import Composing, all_pairs, split_pairs, train_composing
from homolog.toys.training import Parameters, accuracies

Progress = Callable[[Iterable[Any]], Iterable[Any]]
UNITS = "units"
TITLES = {
    "purity": "share of a reading's variance in one irrep",
    "written": "share of what is written in one irrep",
    "purer": "purity above that of the basis turned",
    "needed": "latents that half of an irrep's circuit needs",
    "reached": "share of the circuits of which half is there",
    "fvu": "FVU on other pairs",
    "l0": "active latents on a pair",
    "live": "live latents",
    "codes": "latents: correlation of codes",
    "writes": "virtual weights of matched latents: cosine",
    "terms": "rank-one terms: cosine",
    "circuits": "circuits of all irreps: cosine",
    "more": "circuits above wired at random, less units above turned",
    "irreps": "correlation of energies over irreps",
    "accuracy": "accuracy on held-out pairs",
}
# Those of pairs of networks.
RETURNS = ("codes", "writes", "terms")
Numbers = dict[str, Any]


def known_circuit(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks on each group's operation, and hold bases of their hidden layer against its irreps.

    Variables `TITLES`, means over networks, and over pairs of neighbours in a ring of them, with bounds: by ``group``
    and ``basis`` (units and every decomposition), the last four by ``group``. ``<name>_null``: bases turned at random
    (units, by Haar) or within the layer's spectrum, of circuits reads and writes of other units; ``_ceiling``: of
    purity the best linear reading of the same irrep, of what returns a refit to other pairs of the same network;
    ``_relabelled``: one network's tokens renamed by a symmetry of the group.
    """
    options = spec["options"]
    found = [_of_group(spec, name, own, progress) for name, own in options["groups"].items()]
    coords = {"group": list(options["groups"]), "basis": list(found[0]["purity"])}
    values: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, first in found[0].items():
        by_basis = isinstance(first, dict)
        array = np.array([[one[name][b] for b in first] if by_basis else one[name] for one in found], float)
        values[name] = (("group", "basis", "replicate") if by_basis else ("group", "replicate"), array)
    facts = {name: options[name] for name in ("replicates", "steps", "rows", "null_draws")}
    return over_replicates(values, coords, TITLES).assign_attrs(experiment=spec["experiment"], **facts)


@dataclass
class _Network:
    """One trained network on all pairs of its group."""

    group: Group
    harmonics: Harmonics
    hidden: Float[Tensor, "pairs units"]
    out: Float[Tensor, "units results"]
    key: tuple[str | int, ...]

    @cached_property
    def spectrum(self) -> Spectrum:
        return Spectrum.of(torch.cov(self.hidden.double().T, correction=0))

    @cached_property
    def order(self) -> Int[Tensor, " pairs"]:
        """Of pairs, by which those that are fitted are drawn."""
        return torch.randperm(len(self.hidden), generator=stream(*self.key, "rows"))

    @cached_property
    def units(self) -> Dictionary:
        nothing = self.hidden.new_zeros(self.hidden.shape[1])
        return linear(torch.eye(len(nothing)), nothing)

    @cached_property
    def terms(self) -> Terms:
        """Of its units: their sum is the network."""
        return self.of(self.units)

    def of(self, dictionary: Dictionary, renamed: Relabelling | None = None) -> Terms:
        """Terms of the latents of a dictionary."""
        order = self.group.order
        codes = dictionary.codes(self.hidden).T.reshape(-1, order, order)
        writes = dictionary.directions @ self.out
        if renamed is not None:
            codes, writes = renamed.of_pairs(codes), renamed.of_results(writes)
        return Terms.of(codes, writes, self.harmonics)

    def turned(self, dictionary: Dictionary, draw: int, label: str) -> Dictionary:
        """Within the layer's spectrum; units, which know of none, in any way."""
        generator = stream(*self.key, "null", label, draw)
        if label == UNITS:
            return dictionary.rotated(haar_rotation(self.hidden.shape[1], generator).float())
        return dictionary.rotated(self.spectrum.rotation(generator).float())

    @property
    def logits(self) -> Float[Tensor, "elements elements results"]:
        """Of all pairs, without the bias."""
        return (self.hidden @ self.out).reshape(self.group.order, self.group.order, -1)


# A basis as it was fitted to some pairs, and to others.
Fitted = tuple[Dictionary, Dictionary]


def _of_group(spec: dict[str, Any], name: str, own: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """By variable, lists over replicates, those of bases by basis."""
    options = spec["options"]
    networks, accuracy = _networks(name, own, options, progress)
    fitted = [{UNITS: (one.units, one.units)} for one in networks]
    for decomposition in spec["decompositions"]:
        for one, found in zip(fitted, _fitted(decomposition, networks, options["rows"], progress), strict=True):
            one |= found
    rows: list[dict[str, Numbers]] = []
    beside: list[Numbers] = []
    for place, (network, bases) in enumerate(zip(networks, fitted, strict=True)):
        after = (place + 1) % len(networks)
        renamed = relabelling(network.group, stream(*network.key, "relabelled"))
        rows.append({
            label: _read(network, *pair, label, options)
            | _returned(network, pair, networks[after], fitted[after][label][0], label, renamed, options["null_draws"])
            for label, pair in bases.items()
        })  # fmt: skip
        whole, own = _whole(network, networks[after], renamed, options["null_draws"]), rows[-1][UNITS]
        more = whole["circuits"] - whole["circuits_null"] - (own["codes"] - own["codes_null"])
        beside.append(whole | {"more": more})
    by_basis = {key: {label: [row[label][key] for row in rows] for label in rows[0]} for key in rows[0][UNITS]}
    return by_basis | {key: [one[key] for one in beside] for key in beside[0]} | {"accuracy": accuracy}


def _networks(
    name: str, own: dict[str, Any], options: dict[str, Any], progress: Progress
) -> tuple[list[_Network], list[float]]:
    """Trained networks, and their accuracies on held-out pairs."""
    group, replicates = named(name), options["replicates"]
    if 2 * options["rows"] >= group.order**2:
        raise ValueError(
            f"known_circuit: rows = {options['rows']} are drawn twice of the {group.order**2} pairs of {name}, and "
            f"some must be left; allowed: up to {(group.order**2 - 1) // 2}; lower rows."
        )
    network = Composing(group.order, group.order, own["width"], own["combine"], group.commutative)
    key = ("known_circuit", name)
    split = split_pairs(group, own["share"], replicates, *key, "pairs")
    begun = network.start(replicates, stream(*key, "start"))
    trained = train_composing(network, begun, split.train, own, options["steps"], _unwatched, progress)
    hidden, harmonics = network.hidden(trained, all_pairs(group, replicates)), Harmonics.of(group)
    found = [
        _Network(group, harmonics, one, out, (*key, i))
        for i, (one, out) in enumerate(zip(hidden, trained["out"], strict=True))
    ]
    return found, accuracies(network.logits(trained, split.test.pairs), split.test.labels).tolist()


def _unwatched(parameters: Parameters, step: int) -> None:
    """Nothing is measured while they train."""


def _fitted(
    decomposition: dict[str, Any], networks: list[_Network], rows: int, progress: Progress
) -> list[dict[str, Fitted]]:
    """By network and label, dictionaries of either part of the pairs, by the first and by the last seed."""
    seeds, labels = decomposition["seeds"], decomposition["labels"]
    members = [
        Member(options, seed, part, InMemory(network.hidden[chosen]), None, (*network.key, decomposition["name"]))
        for network in networks
        for options in decomposition["grid"]
        for seed, part, chosen in (
            (seeds[0], "a", network.order[:rows]), (seeds[-1], "b", network.order[rows : 2 * rows])
        )
    ]  # fmt: skip
    found = [one.to(torch.float32) for one in fit_members(decomposition["method"], members, progress)]
    pairs = list(zip(found[::2], found[1::2], strict=True))
    return [
        dict(zip(labels, pairs[first : first + len(labels)], strict=True))
        for first in range(0, len(pairs), len(labels))
    ]


def _read(network: _Network, one: Dictionary, _: Dictionary, label: str, options: dict[str, Any]) -> Numbers:
    """How purely latents read and write, how few carry an irrep's circuit, and the same of the basis turned."""
    terms = network.of(one)
    held = network.hidden[network.order[2 * options["rows"] :]]
    measured = quality(one, [held], held.double().mean(0))
    chance = [_purely(network, network.of(network.turned(one, i, label))) for i in range(options["null_draws"])]
    best = torch.cat([torch.zeros(1), best_purity(network.terms)])
    top = best[terms.read_shares().argmax(1)]
    found = _purely(network, terms)
    found |= {f"{key}_null": float(mean_of_known([each[key] for each in chance])) for key in chance[0]}
    return {
        **found,
        "purer": found["purity"] - found["purity_null"],
        "purity_ceiling": float((top * terms.variance).sum() / terms.variance.sum()),
        "fvu": measured.fvu,
        "l0": measured.l0,
        "live": float(len(terms.reads)),
    }


def _purely(network: _Network, terms: Terms) -> Numbers:
    circuits = network.terms.circuits()
    energy = torch.stack([one.square().sum() for one in circuits])
    number = needed(carried(terms, circuits))
    there = ~number.isnan()
    return {
        "purity": purity(terms.read_shares(), terms.variance),
        "written": purity(terms.written_shares(), terms.variance),
        "needed": float((number * energy)[there].sum() / energy[there].sum()),
        "reached": float(energy[there].sum() / energy.sum()),
    }


def _returned(
    network: _Network, pair: Fitted, other: _Network, its: Dictionary, label: str, renamed: Relabelling, draws: int
) -> Numbers:
    """What of one network's latents and of their terms returns in another."""
    one = network.of(pair[0])
    found = {"": [alike(one, other.of(its))], "_ceiling": [alike(one, network.of(pair[1]))]}
    found["_relabelled"] = [alike(one, other.of(its, renamed))]
    found["_null"] = [alike(one, other.of(other.turned(its, draw, label))) for draw in range(draws)]
    return {
        f"{name}{kind}": float(mean_of_known([each[name] for each in rows]))
        for kind, rows in found.items()
        for name in RETURNS
    }


def _whole(network: _Network, other: _Network, renamed: Relabelling, draws: int) -> Numbers:
    """What returns of the terms' sums, irrep by irrep, and of which irreps the logits go along."""
    own = network.terms.circuits()
    generator = stream(*network.key, "wired")
    orders = [torch.randperm(len(other.terms.writes), generator=generator) for _ in range(draws)]
    wired = [same_circuits(own, other.terms.wired(order).circuits()) for order in orders]
    used, its = (logit_energies(one.group, one.logits)[1:] for one in (network, other))
    moved = renamed.of_results(renamed.of_pairs(other.logits.permute(2, 0, 1)).permute(1, 2, 0))
    renamed_use = logit_energies(other.group, moved)[1:]
    return {
        "circuits": same_circuits(own, other.terms.circuits()),
        "circuits_null": float(mean_of_known(wired)),
        "circuits_relabelled": same_circuits(own, other.of(other.units, renamed).circuits()),
        "irreps": float(np.corrcoef(used, its)[0, 1]),
        "irreps_relabelled": float(np.corrcoef(used, renamed_use)[0, 1]),
    }
