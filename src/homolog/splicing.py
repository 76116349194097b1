"""How much of a network's own loss is kept when a dictionary's reconstruction takes the place of its activations?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from homolog.alignment.gauge import Gauge
from homolog.decompositions.fit import choose_gauge
from homolog.dictionary import Dictionary
from homolog.loading import build
from homolog.models.build import restore_model
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.store.activations import Activations
from homolog.store.models import SavedModel, read_model
from homolog.tasks.base import TEST, TRAIN, Data

# Of rows of units, others of equal shape.
Replacement = Callable[[Tensor], Tensor]
# Rows that run through the network at once.
BATCH = 1024
# Below 2 standard errors over the test rows a harm isn't told from 0, and a ratio with it has no finite moments to
# speak of; nor does it mean anything where float32 logits' rounding is as large (of the order of 1e-6 of a loss).
_HARM_ERRORS, _ROUNDING = 2.0, 1e-5


def with_loss_recovered(
    dictionaries: list[Dictionary],
    spec: dict[str, Any],
    activations: Activations | StoredActivations,
    saved: SavedModel,
    device: str | torch.device = "cpu",
) -> list[Dictionary]:
    """The `dictionaries` that were fitted to `activations`, each with the facts of `loss_recovered` in its ``member``.

    `spec` has ``task``, ``architecture`` and ``gauge``, `saved` the weights of the network that was recorded. The
    network reads the task's own inputs, built anew, so that any network will do whose modules have names; to start
    it at the hook point from the stored activations would be wrong wherever something passes the hook point by.
    Raises ValueError when the task's data aren't those that were recorded.
    """
    data, rows = build(spec["task"]).data(), activations.rows
    check_data(data, activations)
    model = restore_model(spec["architecture"], saved.state, saved.sizes)
    gauge = choose_gauge(spec["gauge"], activations)
    mean = choose_samples(activations, rows.where(TRAIN), None, device).mean
    facts = loss_recovered(model, data, activations.hook_point, gauge, mean, dictionaries, device)
    return [replace(d, member={**d.member, **measured}) for d, measured in zip(dictionaries, facts, strict=True)]


def with_losses(
    dictionaries: list[Dictionary],
    spec: dict[str, Any],
    activations: Activations | StoredActivations,
    weights: str | Path | None,
    teacher: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> list[Dictionary]:
    """The `dictionaries` with what the run's network loses by each, where it is known what it was trained for.

    ``task`` in `spec` says so of a network of our own, ``spliced`` of one that is known by its modules. `weights` is
    the file of those that were found here, `teacher` that of the network which is imitated, if there are any.
    """
    if spec["spliced"]:
        spliced = build(spec["spliced"])
        found: list[Dictionary] = spliced.with_loss_recovered(
            dictionaries, spec["gauge"], activations, weights, teacher, device
        )
        return found
    if spec["task"] is None or not weights:
        return dictionaries
    return with_loss_recovered(dictionaries, spec, activations, read_model(weights), device)


def check_data(data: Data, activations: Activations | StoredActivations) -> None:
    """Raise ValueError when a task's data aren't those that the activations were recorded from."""
    rows = activations.rows
    if not (torch.equal(data.labels, rows.label) and torch.equal(data.split, rows.split)):
        raise ValueError(
            f"loss recovered: the task gives {len(data.labels)} samples, whose labels or split differ from those of "
            f"the {len(rows.label)} that the activations of {activations.run} were recorded from: its data set has "
            "changed; delete the model's folder under results/models and build it again."
        )


def loss_recovered(
    model: Any,
    data: Data,
    hook_point: str,
    gauge: Gauge,
    mean: Float[Tensor, " units"],
    dictionaries: list[Dictionary],
    device: str | torch.device = "cpu",
) -> list[dict[str, float]]:
    """What the network loses by each dictionary: its mean loss on the test rows (in the loss's own unit, nats).

    ``loss_original`` is the network's own, ``loss_ablated`` with each activation at the hook point replaced by `mean`
    (that of the train rows, before the gauge), ``loss_spliced`` with the dictionary's reconstruction there instead.
    ``loss_recovered = (ablated - spliced) / (ablated - original)``: 1 where nothing is lost, 0 where the dictionary is
    worth no more than the mean, below 0 where it is worth less. To the mean and not to zero, as some have it
    (Rajamanoharan et al., 2024): a dictionary's bias alone would recover what the mean is worth. NaN where the ablation
    does no harm that is told from 0: `ablated - original` under 2 of its standard errors over the rows, or under 1e-5
    of `ablated`. Of a dictionary that diverged, ``loss_spliced`` and ``loss_recovered`` are NaN.

    Dictionaries are in the gauge, with units in the model's own order. The model is moved to `device`; one batch of
    rows and one dictionary are in use at a time.
    """
    model = model.to(device).eval()

    def losses(replacement: Replacement) -> Tensor:
        return losses_of(model, data, hook_point, replacement, device)

    original, ablated = losses(lambda values: values), losses(ablation(mean))
    return facts_by(losses, original, ablated, gauge, dictionaries, device)


def ablation(mean: Float[Tensor, " units"]) -> Replacement:
    """Puts the mean in the place of each row."""
    return lambda values: mean.to(values).expand_as(values)


def facts_by(
    losses: Callable[[Replacement], Float[Tensor, " rows"]],
    original: Float[Tensor, " rows"],
    ablated: Float[Tensor, " rows"],
    gauge: Gauge,
    dictionaries: list[Dictionary],
    device: str | torch.device,
    inputs: Int[Tensor, " rows"] | None = None,
) -> list[dict[str, float]]:
    """The facts of `loss_recovered` for each dictionary, where `losses` gives those of all rows under a replacement.

    `inputs` says to which input each row belongs, where rows of one input aren't independent.
    """
    facts = []
    for dictionary in dictionaries:
        spliced = torch.full_like(original, torch.nan)
        if not dictionary.diverged:
            spliced = losses(_reconstruction(dictionary.to(device), gauge))
        facts.append(facts_of(original, ablated, spliced, inputs))
    return facts


@torch.no_grad()
def losses_of(
    model: Any, data: Data, hook_point: str, replacement: Replacement, device: str | torch.device
) -> Float[Tensor, " rows"]:
    """The loss of each test row, float64, when a hook point's activations make way for their `replacement`."""
    calls = 0

    def splice(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return replacement(output)

    losses = []
    handle = _module_at(model, hook_point).register_forward_hook(splice)
    try:
        for rows in torch.split(data.rows(TEST), BATCH):
            outputs = model(data.inputs[rows].to(device))
            losses.append(data.losses(outputs.double(), data.labels[rows].to(device)).cpu())
    finally:
        handle.remove()
    if calls != len(losses):  # Else nothing would be replaced, and nothing seem lost.
        raise ValueError(
            f"loss recovered: the module {hook_point!r} ran {calls} times in {len(losses)} passes of the network, and "
            "once in each is needed: choose a hook point that every input goes through once."
        )
    return torch.cat(losses)


def _module_at(model: Any, hook_point: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if hook_point not in modules:
        raise ValueError(
            f"loss recovered: the network has no module {hook_point!r}; it has {', '.join(filter(None, modules))}: "
            "choose one of these as the hook point."
        )
    return modules[hook_point]


def _reconstruction(dictionary: Dictionary, gauge: Gauge) -> Replacement:
    def reconstruct(values: Tensor) -> Tensor:
        codes = dictionary.codes(gauge.fix(values).to(dictionary.encoder))
        return out_of_gauge(gauge, dictionary.reconstruct(codes).to(values), values)

    return reconstruct


def out_of_gauge(
    gauge: Gauge, reconstruction: Float[Tensor, "samples units"], activations: Float[Tensor, "samples units"]
) -> Float[Tensor, "samples units"]:
    """A reconstruction as the network would have computed it: what `Gauge.fix` did to `activations` is taken back.

    Each row's mean that was taken off (logits) is put back; the loss doesn't see it, since the symmetry says that a
    constant for each row is no difference. A unit of scale 0 writes nothing to the next layer (or the same to all
    logits), so that the loss can't see it either: of it nothing is left in the gauge to divide, and it keeps its value.
    """
    if gauge.shift:
        return reconstruction + activations.mean(1, keepdim=True)
    scale = gauge.scale.to(activations)
    seen = scale.abs() > torch.finfo(scale.dtype).tiny  # A quotient by less may overflow.
    return torch.where(seen, reconstruction / torch.where(seen, scale, 1), activations)


def facts_of(
    original: Float[Tensor, " rows"],
    ablated: Float[Tensor, " rows"],
    spliced: Float[Tensor, " rows"],
    inputs: Int[Tensor, " rows"] | None = None,
) -> dict[str, float]:
    """Means of three losses of each row, and what share of the ablation's harm the dictionary undoes.

    `inputs` says which rows belong to one input (tokens of a sequence); None: each is one of its own.
    """
    harm = ablated - original
    limit = max(_HARM_ERRORS * _standard_error(harm, inputs), _ROUNDING * abs(float(ablated.mean())))
    # Not `<`: a NaN is no harm that is told from 0.
    clear = float(harm.mean()) > limit
    return {
        "loss_original": float(original.mean()),
        "loss_ablated": float(ablated.mean()),
        "loss_spliced": float(spliced.mean()),
        "loss_recovered": float((ablated - spliced).mean() / harm.mean()) if clear else math.nan,
    }


def _standard_error(values: Float[Tensor, " rows"], inputs: Int[Tensor, " rows"] | None) -> float:
    """Of the mean; over inputs, within which rows may depend on each other in any way (Liang & Zeger, 1986)."""
    if inputs is None:
        return float(values.std()) / math.sqrt(len(values))
    groups = int(inputs.max()) + 1
    sums = values.new_zeros(groups).index_add_(0, inputs, values - values.mean())
    there = int((torch.bincount(inputs, minlength=groups) > 0).sum())
    return math.sqrt(float(sums.square().sum()) * there / (there - 1)) / len(values) if there > 1 else math.inf
