"""Fit a declared decomposition to one run: every grid point, on all training rows and on two disjoint halves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from homolog.alignment.gauge import Gauge, no_gauge
from homolog.decompositions.base import Decomposition, Member, Progress
from homolog.decompositions.gaussian import gaussian_like
from homolog.decompositions.memory import FLOAT32, tell_held, tell_size
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary, quality
from homolog.loading import load
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.store.activations import Activations
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN

ROWS = {"all": None, "a": HALF_A, "b": HALF_B}
# Of Gaussian samples there are only two disjoint sets, as large as the halves: that is all that a null needs.
HALVES = {"a": HALF_A, "b": HALF_B}


def fit(
    spec: dict[str, Any],
    activations: Activations | StoredActivations,
    partner: Activations | StoredActivations | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> list[Dictionary]:
    """Fit all members of `spec`: its ``grid`` (points) x ``seeds`` x rows (all, a, b), in this order.

    `activations` and `partner` are hook points of one run, in memory or as they lie in its file. Dictionaries come back
    on the CPU, in the gauge, with units in the model's own order, and with ``fvu``, ``l0`` and ``dead_fraction`` on the
    rows they were fitted to and ``fvu_test`` on the test rows. With ``gaussian`` in `spec`, members are fitted to two
    sets of Gaussian samples instead, of the train rows' mean and covariance. A fit that was killed goes on from its
    `checkpoint` if the `fingerprint` is the same.
    """
    gauge = choose_gauge(spec["gauge"], activations)
    members = members_of(spec, activations, partner, device)
    dictionaries = fit_members(spec["method"], members, progress, spec.get("threads", 1), checkpoint, fingerprint)
    test = _choose(activations, activations.rows.where(TEST), gauge, device)
    labels = [label for label in spec["labels"] for _ in range(len(members) // len(spec["grid"]))]
    return [
        to_model_order(describe(dictionary, member, label, test), gauge)
        for dictionary, member, label in zip(dictionaries, members, labels, strict=True)
    ]


def _choose(
    activations: Activations | StoredActivations, index: Int[Tensor, " chosen"], gauge: Gauge, device: Any
) -> Samples:
    size = FLOAT32 * len(index) * activations.units
    with tell_held(f"{len(index)} rows of {activations.hook_point} in {activations.run}", size, "take device cpu"):
        return choose_samples(activations, index, gauge, device)


def members_of(
    spec: dict[str, Any],
    activations: Activations | StoredActivations,
    partner: Activations | StoredActivations | None = None,
    device: str | torch.device = "cpu",
) -> list[Member]:
    """The members of `spec` with what each is fitted to: grid x seeds x rows, in this order."""
    key = (spec["run"]["model"], spec["run"]["seed"], activations.hook_point, spec["name"])
    hook_points = [activations] if partner is None else [activations, partner]

    def read(half: int | None) -> list[Samples]:
        gauges = [choose_gauge(spec["gauge"], one) for one in hook_points]
        index = activations.rows.where(TRAIN, half)
        return [_choose(one, index, gauge, device) for one, gauge in zip(hook_points, gauges, strict=True)]

    if spec.get("gaussian"):
        sizes = [len(activations.rows.where(TRAIN, half)) for half in HALVES.values()]
        samples = dict(zip(HALVES, gaussian_like(read(None), sizes, ("gaussian", *key[:3])), strict=True))
    else:
        samples = {rows: read(half) for rows, half in ROWS.items()}
    return [
        Member(options, seed, rows, sides[0], sides[1] if partner is not None else None, key)
        for options in spec["grid"]
        for seed in spec["seeds"]
        for rows, sides in samples.items()
    ]


def fit_members(
    method: str,
    members: list[Member],
    progress: Progress = iter,
    threads: int = 1,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    together: int = 1,
) -> list[Dictionary]:
    """Fit members, whose options are complete, by the method that a target (``module:Class``) names."""
    decomposition: Decomposition = load(method)(threads, checkpoint, fingerprint, together)
    with tell_size(members):
        return decomposition.fit(members, progress)


def choose_gauge(name: str, activations: Activations | StoredActivations) -> Gauge:
    """The hook point's own gauge for ``write_out_norm``, the trivial one for ``none``."""
    return activations.gauge if name == "write_out_norm" else no_gauge(activations.units)


def describe(dictionary: Dictionary, member: Member, label: str, test: Samples) -> Dictionary:
    """The dictionary on the CPU with all that is known of the member."""
    seen = dictionary.member
    if "fvu" not in seen:
        measured = quality(dictionary, member.activations.blocks(), member.activations.mean)
        seen = seen | {"fvu": measured.fvu, "l0": measured.l0}
    facts: dict[str, str | int | float] = {
        "label": label,
        "seed": member.seed,
        "rows": member.rows,
        **{name: value for name, value in member.options.items() if value is not None},
        **seen,
        "dead_fraction": float((dictionary.firing_rate == 0).double().mean()),
    }
    if test.samples:
        facts["fvu_test"] = math.nan if dictionary.diverged else quality(dictionary, test.blocks(), test.mean).fvu
    if dictionary.moved is not None:
        facts["distance_from_initialisation"] = math.nan if dictionary.diverged else float(dictionary.moved.mean())
    return replace(dictionary.to("cpu"), member=facts)


def to_model_order(dictionary: Dictionary, gauge: Gauge) -> Dictionary:
    """The dictionary with units in the model's own order, of one with units in canonical order."""
    return replace(
        dictionary,
        directions=gauge.to_model_order(dictionary.directions),
        encoder=gauge.to_model_order(dictionary.encoder),
        bias=gauge.to_model_order(dictionary.bias[None])[0],
    )
