"""Animals that are sums of attributes: what do dictionaries find, do codes equal read-offs, which basis is simple?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.similarity import cosine
from homolog.analyses.animal_circuits import KINDS, Circuits, circuits_of
from homolog.analyses.animal_tuning import tuned
from homolog.analyses.by_trial import ByTrial, Values, with_first_column
from homolog.analyses.recovered import auc_between, oracle_features
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.animals import labels_of, new_animals
from homolog.worlds.base import Drawn, unit
from homolog.worlds.description import bits_per_row
from homolog.worlds.trials import Progress, Trial, fit_trials, trials_of

KNOWN = ("units", "attributes", "known codes")
"""Bases that nothing is fitted for: axes as they stand, which are at random to all features; read-offs of the
attributes and, where there are labels, of axes of their space; and the true codes, with features by least squares."""
PAIRS = 256
Numbers = dict[str, float]
TITLES = {
    "found_animals": "share of animals found",
    "found_attributes": "share of attributes found",
    "told_animals": "share of <animal, x> that is in its code",
    "told_attributes": "share of <attribute, x> that is in its code",
    "interference_animals": "read-off of animals that are off (root mean square)",
    "interference_attributes": "read-off of attributes that are off (root mean square)",
    "interference_expected": "read-off in a random direction, |x| / sqrt(d)",
    "read_right": "share of rows whose animal has the largest read-off of all animals",
    **{f"edges_{kind}": f"edges of a circuit: {said}" for kind, said in KINDS.items()},
    **{f"reached_{kind}": f"share of circuits that edges can do at all: {said}" for kind, said in KINDS.items()},
    **{f"circuit_fvu_{kind}": f"what trained circuits miss of their facts: {said}" for kind, said in KINDS.items()},
    "bits": "bits to describe a row",
    "bits_codes": "of these, bits for codes",
    "fvu": "FVU on other rows",
    "l0": "active latents on a row",
    "both_on": "known animal with an attribute: both latents are on",
    "composed_fvu": "known animal with an attribute: FVU",
    "new_fvu": "animal never seen: FVU",
    "told_apart": "new animal has the larger error (0.5: chance)",
    "moved": "1 - cosine of an animal before and after",
    "old_before": "what old circuits miss, before",
    "old_after": "what old circuits miss, after",
    "common": "cosine of what old and new circuits read",
    "found_after": "share of animals, as they are after, that the dictionary of before has",
}
SHARES = ("found_animals", "found_attributes", "read_right", "both_on", "told_apart", "found_after")


@dataclass(frozen=True)
class Basis:
    """Directions, and what turns rows (with what is true of them) into codes."""

    directions: Float[Tensor, "latents units"]
    codes: Callable[[Drawn], Tensor]
    offset: Float[Tensor, " units"]


def animals(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit dictionaries to worlds of animals, train circuits on their rows, and describe both in every basis.

    Variables `TITLES` by ``world`` and ``basis`` (fitted decompositions, and `KNOWN` ones), means over replicates with
    bounds; what is no dictionary's by ``world`` alone, and what fine-tuning does by ``world`` and ``strength``.
    `found_animals_null` and `found_attributes_null`: the dictionary turned within the spectrum of its rows.
    """
    options, trials, found = spec["options"], trials_of(spec), ByTrial.of(spec, KNOWN)
    circuits = circuits_of(options, trials, progress)
    after, by_strength = tuned(options, trials, progress)

    def measure(trial: Trial, bases: list[Basis]) -> Numbers:
        number = spec["worlds"].index(trial.spec) * options["replicates"] + trial.replicate
        each = [measured(options, trial, one, circuits[number], after[number]) for one in bases]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}

    for trial, own in zip(trials, circuits, strict=True):
        found.put(trial, read_off(trial) | own.missed())
        for column, basis in enumerate(known_bases(trial), len(found.labels) - len(KNOWN)):
            found.put(trial, measure(trial, [basis]), column)
    for first, decomposition in with_first_column(spec["decompositions"]):
        for fitted in fit_trials(decomposition, trials, options["told"], device, progress):
            trial, dictionaries = fitted.trial, fitted.dictionaries
            chance = [_chance(options, trial, one, number) for number, one in enumerate(dictionaries)]
            null = {name: float(np.mean([one[name] for one in chance])) for name in chance[0]}
            found.put(trial, measure(trial, [basis_of(one) for one in dictionaries]) | null, first + fitted.point)
    tuning: Values = {name: (("world", "replicate", "strength"), array) for name, array in by_strength.items()}
    coords = {"basis": found.labels, "strength": options["strengths"]}
    dataset = over_replicates(found.values(column="basis") | tuning, coords, TITLES, SHARES)
    facts = {name: options[name] for name in ("replicates", "rows", "true_cosine", "kept", "distortion", "facts")}
    return dataset.assign_coords(_worlds(spec)).assign_attrs(experiment=spec["experiment"], **facts)


def _worlds(spec: dict[str, Any]) -> dict[str, Any]:
    """What figures need to know of each world."""
    own = [one["options"] for one in spec["worlds"]]
    known = {name: ("world", [one[name] for one in own]) for name in ("animals", "attributes", "shows")}
    return world_coords(spec) | known | {"units": ("world", [one["attributes"] + one["labels"] for one in own])}


def basis_of(dictionary: Dictionary) -> Basis:
    """A fitted dictionary as a basis, in single precision."""
    single = dictionary.to(torch.float32)
    return Basis(single.directions, lambda drawn: single.codes(drawn.rows), single.bias)


def known_bases(trial: Trial) -> list[Basis]:
    """`KNOWN`, in this order."""
    units = trial.world.features.shape[1]
    attributes = trial.world.features[trial.spec["options"]["animals"] :]
    axes, none = torch.cat([attributes, labels_of(attributes)]), torch.zeros(units)
    learnt, offset = oracle_features(trial.train)
    norms = learnt.norm(dim=1)
    return [
        Basis(torch.eye(units), lambda drawn: drawn.rows, none),
        Basis(axes, lambda drawn: drawn.rows @ axes.T, none),
        Basis(unit(learnt), lambda drawn: drawn.codes * norms, offset),
    ]


def read_off(trial: Trial) -> Numbers:
    """What reading <feature, row> gives of features that aren't there, and how often the animal's is the largest."""
    drawn, features, count = trial.test, trial.world.features, trial.spec["options"]["animals"]
    read, off = drawn.rows @ features.T, drawn.codes == 0
    length = drawn.rows.square().sum(1).mean() / drawn.rows.shape[1]
    own = drawn.codes[:, :count]
    with_animal = own.any(1)
    right = (read[:, :count].argmax(1) == own.argmax(1))[with_animal]
    return {
        "interference_animals": float(read[:, :count][off[:, :count]].square().mean().sqrt()),
        "interference_attributes": float(read[:, count:][off[:, count:]].square().mean().sqrt()),
        "interference_expected": float(length.sqrt()),
        "read_right": float(right.double().mean()),
    }


def measured(
    options: dict[str, Any], trial: Trial, basis: Basis, circuits: Circuits, after: Float[Tensor, "animals units"]
) -> Numbers:
    """Everything that is said of one basis of one trial."""
    codes = basis.codes(trial.test)
    left = trial.test.rows - codes @ basis.directions - basis.offset
    spread = trial.test.rows - trial.test.rows.mean(0)
    total = float(spread.square().sum())
    distortion = options["distortion"] * total / spread.numel()
    own, rest = bits_per_row(codes, left, distortion)
    return {
        **_found(options, trial, basis.directions),
        **_told(options, trial, basis.directions, codes),
        **circuits.edges(codes, basis.directions, options["kept"]),
        "bits": own + rest,
        "bits_codes": own,
        "fvu": float(left.square().sum()) / total,
        "l0": float((codes != 0).double().sum(1).mean()),
        **composed_or_new(options, trial, basis),
        "found_after": _share(options, after, basis.directions),
    }


def _share(options: dict[str, Any], features: Tensor, directions: Tensor) -> float:
    return float((_nearest(features, directions)[0] >= options["true_cosine"]).double().mean())


def _nearest(features: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each feature the largest absolute cosine with a latent, which one that is, and its sign."""
    cosines = cosine(features, directions).float()
    latent = cosines.abs().argmax(1)
    signed = cosines.gather(1, latent[:, None])[:, 0]
    return signed.abs(), latent, signed.sign()


def _found(options: dict[str, Any], trial: Trial, directions: Tensor) -> Numbers:
    count = trial.spec["options"]["animals"]
    features = trial.world.features
    kinds = {"animals": features[:count], "attributes": features[count:]}
    return {f"found_{kind}": _share(options, own, directions) for kind, own in kinds.items()}


def _chance(options: dict[str, Any], trial: Trial, dictionary: Dictionary, number: int) -> Numbers:
    turn = trial.turn(number).to(dictionary.directions)
    found = _found(options, trial, (dictionary.directions @ turn).float())
    return {f"{name}_null": value for name, value in found.items()}


def _told(options: dict[str, Any], trial: Trial, directions: Tensor, codes: Tensor) -> Numbers:
    """``1 - sum (code - <f, x>)^2 / sum <f, x>^2`` over features that have a latent, by kind; NaN without any."""
    features, count = trial.world.features, trial.spec["options"]["animals"]
    near, latent, sign = _nearest(features, directions)
    read = trial.test.rows @ features.T
    missed = (codes[:, latent] * sign - read).square().sum(0).double()
    energy, has = read.square().sum(0).double(), near >= options["true_cosine"]
    parts = {"animals": torch.arange(len(features)) < count, "attributes": torch.arange(len(features)) >= count}
    return {f"told_{kind}": float(1 - missed[of & has].sum() / energy[of & has].sum()) for kind, of in parts.items()}


def composed_or_new(options: dict[str, Any], trial: Trial, basis: Basis) -> Numbers:
    """Rows of a known animal and one attribute, and rows as long of animals that are in no row: what codes make of
    both.

    `both_on`: the latents of the animal and of the attribute exist and are on. `told_apart`: how often a new animal is
    reconstructed worse than a composed one (0.5: error says nothing).
    """
    drawn, new = _pairs(trial)
    count = trial.spec["options"]["animals"]
    near, latent, sign = _nearest(trial.world.features, basis.directions)
    codes = basis.codes(drawn)
    here = drawn.codes != 0
    on = (codes[:, latent] * sign > 0) & (near >= options["true_cosine"])
    animal, attribute = (on[:, part] & here[:, part] for part in (slice(count), slice(count, None)))
    errors = [(one.rows - basis.codes(one) @ basis.directions - basis.offset).square().sum(1) for one in (drawn, new)]
    return {
        "both_on": float((animal.any(1) & attribute.any(1)).double().mean()),
        "composed_fvu": float(errors[0].sum() / drawn.rows.square().sum()),
        "new_fvu": float(errors[1].sum() / new.rows.square().sum()),
        "told_apart": auc_between(errors[1], errors[0]),
    }


def _pairs(trial: Trial) -> tuple[Drawn, Drawn]:
    features, options, own = trial.world.features, trial.spec["options"], stream("pairs", *trial.key)
    count, attributes = options["animals"], features[options["animals"] :]
    codes, rows = torch.zeros(PAIRS, len(features)), torch.arange(PAIRS)
    codes[rows, torch.randint(count, (PAIRS,), generator=own)] = 1
    codes[rows, count + torch.randint(len(attributes), (PAIRS,), generator=own)] = 1
    composed = codes @ features
    new = new_animals(PAIRS, attributes, labels_of(attributes), own) * composed.norm(dim=1, keepdim=True)
    noise = options["noise"] * features.shape[1] ** -0.5 * torch.randn(2, *new.shape, generator=own)
    # True codes can't say what a new animal is: none of the features is on.
    return Drawn(composed + noise[0], codes), Drawn(new + noise[1], torch.zeros_like(codes))
