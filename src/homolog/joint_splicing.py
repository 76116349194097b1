"""How much of each run's own loss is kept when its part of a joint dictionary's reconstruction is spliced in?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.joint import COPIES, JointDictionary, key_of, pairing
from homolog.loading import build
from homolog.models.build import restore_model
from homolog.splicing import BATCH, check_data, facts_of, losses_of, out_of_gauge
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.store.activations import Activations
from homolog.store.models import SavedModel
from homolog.tasks.base import TEST, TRAIN, Data


def with_joint_loss_recovered(
    members: list[JointDictionary],
    spec: dict[str, Any],
    activations: list[Activations | StoredActivations],
    saved: list[SavedModel],
    device: str | torch.device = "cpu",
) -> list[JointDictionary]:
    """The `members` that were fitted to all `activations` together, each with what each run's network loses by it.

    `spec` has ``task`` (all runs read the same inputs), ``architectures``, ``gauge`` and ``name``; `saved` are the
    weights of the networks, in the order of `activations`. What all hook points read of the test rows is in memory.
    Raises ValueError when the task's data aren't those that were recorded.
    """
    data, networks = build(spec["task"]).data(), []
    for one, architecture, weights in zip(activations, spec["architectures"], saved, strict=True):
        check_data(data, one)
        model = restore_model(architecture, weights.state, weights.sizes)
        mean = choose_samples(one, one.rows.where(TRAIN), None, device).mean
        networks.append(read_network(model, data, one.hook_point, choose_gauge(spec["gauge"], one), mean, device))
    labels, key = data.labels[data.rows(TEST)], key_of(spec, activations)
    orders = {name: pairing(name, labels, (*key, name, "test"), len(networks)) for name in {m.control for m in members}}
    return [replace(m, loss=joint_loss_recovered(m, networks, orders[m.control], data, device)) for m in members]


@dataclass(frozen=True)
class Network:
    """A network, what its hook point reads of the test rows, and its loss on each: its own, and with the mean there."""

    model: Any
    hook_point: str
    gauge: Gauge
    values: Float[Tensor, "rows units"]
    original: Float[Tensor, " rows"]
    ablated: Float[Tensor, " rows"]


def read_network(
    model: Any,
    data: Data,
    hook_point: str,
    gauge: Gauge,
    mean: Float[Tensor, " units"],
    device: str | torch.device = "cpu",
) -> Network:
    """A network as `joint_loss_recovered` takes it; `mean` is that of the train rows, before the gauge."""
    model, seen = model.to(device).eval(), []

    def keep(values: Tensor) -> Tensor:
        seen.append(values)
        return values

    original = losses_of(model, data, hook_point, keep, device)
    ablated = losses_of(model, data, hook_point, lambda values: mean.to(values).expand_as(values), device)
    return Network(model, hook_point, gauge, torch.cat(seen), original, ablated)


def joint_loss_recovered(
    member: JointDictionary,
    networks: list[Network],
    orders: list[Int[Tensor, " rows"]],
    data: Data,
    device: str | torch.device = "cpu",
) -> dict[str, Float[Tensor, " runs"]]:
    """The facts of `loss_recovered` by run: the codes are of all runs' activations, each run's part is spliced into it.

    `orders` says which of each run's test rows stand side by side; in the control of copies all runs are the first.
    Of a member that diverged, what is spliced is NaN.
    """
    if member.control == COPIES:
        networks = [networks[0]] * len(networks)
    if member.dictionary.diverged:
        losses = [torch.full_like(network.original, torch.nan) for network in networks]
    else:
        written = _written(member, networks, orders)
        losses = [
            losses_of(network.model, data, network.hook_point, _in_turn(values), device)
            for network, values in zip(networks, written, strict=True)
        ]
    facts = [facts_of(n.original, n.ablated, spliced) for n, spliced in zip(networks, losses, strict=True)]
    return {name: torch.tensor([fact[name] for fact in facts], dtype=torch.float64) for name in facts[0]}


def _in_turn(rows: Float[Tensor, "rows units"]) -> Callable[[Tensor], Tensor]:
    """Gives as many of the next rows as it is handed."""
    start = 0

    def give(values: Tensor) -> Tensor:
        nonlocal start
        start += len(values)
        return rows[start - len(values) : start]

    return give


@torch.no_grad()
def _written(
    member: JointDictionary, networks: list[Network], orders: list[Int[Tensor, " rows"]]
) -> list[Float[Tensor, "rows units"]]:
    """Each network's activations as the member writes them, rows in their own order."""
    written = [torch.empty_like(network.values) for network in networks]
    dictionary = member.dictionary.to(networks[0].values.device)
    for start in range(0, len(orders[0]), BATCH):
        rows = slice(start, start + BATCH)
        index = [order[rows].to(network.values.device) for order, network in zip(orders, networks, strict=True)]
        values = [network.values[at] for at, network in zip(index, networks, strict=True)]
        scaled = [n.gauge.fix(x) * f for n, x, f in zip(networks, values, member.factors, strict=True)]
        codes = dictionary.codes(torch.cat(scaled, 1).to(dictionary.encoder))
        parts = torch.split(dictionary.reconstruct(codes), member.widths, 1)
        for r, (part, factor) in enumerate(zip(parts, member.factors, strict=True)):
            written[r][index[r]] = out_of_gauge(networks[r].gauge, (part / factor).to(values[r]), values[r])
    return written
