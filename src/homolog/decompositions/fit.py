"""Fit a declared decomposition to one run: every grid point, on all training rows and on two disjoint halves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.gauge import Gauge, no_gauge
from homolog.decompositions.base import Decomposition, Member, Progress
from homolog.dictionary import Dictionary, fraction_of_variance_unexplained
from homolog.loading import load
from homolog.store.activations import Activations
from homolog.tasks.base import HALF_A, HALF_B, TRAIN

ROWS = {"all": None, "a": HALF_A, "b": HALF_B}


def fit(
    spec: dict[str, Any],
    activations: Activations,
    partner: Activations | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
) -> list[Dictionary]:
    """Fit all members of `spec`: its ``grid`` (points) x ``seeds`` x rows (all, a, b), in this order.

    `activations` and `partner` are hook points of one run. Dictionaries come back on the CPU, in the gauge, with units
    in the model's own order, and with ``fvu``, ``l0`` and ``dead_fraction`` on the rows they were fitted to.
    """
    method: Decomposition = load(spec["method"])()
    gauge = choose_gauge(spec["gauge"], activations)
    values = _prepare(activations, gauge, device)
    partner_values = None if partner is None else _prepare(partner, choose_gauge(spec["gauge"], partner), device)
    identity = (spec["run"]["model"], spec["run"]["seed"], activations.hook_point, spec["name"])
    members = []
    for point, options in enumerate(spec["grid"]):
        for seed in spec["seeds"]:
            for rows, half in ROWS.items():
                chosen = activations.rows.where(TRAIN, half).to(values.device)
                key = (*identity, point if len(spec["grid"]) > 1 else 0, seed, rows)
                other = None if partner_values is None else partner_values[chosen]
                members.append(Member(options, seed, rows, values[chosen], other, key))
    dictionaries = method.fit(members, progress)
    return [_describe(d, m, spec, gauge) for d, m in zip(dictionaries, members, strict=True)]


def choose_gauge(name: str, activations: Activations) -> Gauge:
    """The hook point's own gauge for ``write_out_norm``, the trivial one for ``none``."""
    return activations.gauge if name == "write_out_norm" else no_gauge(activations.values.shape[1])


def _prepare(activations: Activations, gauge: Gauge, device: str | torch.device) -> Float[Tensor, "samples units"]:
    return gauge.canonical(activations.values).to(device)


def _describe(dictionary: Dictionary, member: Member, spec: dict[str, Any], gauge: Gauge) -> Dictionary:
    codes = dictionary.codes(member.activations.to(dictionary.encoder))
    facts: dict[str, str | int | float] = {
        "label": spec["labels"][spec["grid"].index(member.options)],
        "seed": member.seed,
        "rows": member.rows,
        **{name: value for name, value in member.options.items() if value is not None},
        "fvu": fraction_of_variance_unexplained(member.activations, dictionary.reconstruct(codes)),
        "l0": float((codes != 0).double().sum(1).mean()),
        "dead_fraction": float((dictionary.firing_rate == 0).double().mean()),
    }
    on_cpu = dictionary.to("cpu")
    return replace(
        on_cpu,
        directions=gauge.to_model_order(on_cpu.directions),
        encoder=gauge.to_model_order(on_cpu.encoder),
        bias=gauge.to_model_order(on_cpu.bias[None])[0],
        member=facts,
    )
