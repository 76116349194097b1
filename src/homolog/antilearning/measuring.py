"""Has a network learned Y: does it answer, can its layers be read, and does it learn Y faster than from scratch?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from homolog.antilearning.base import Examples, TaskPair
from homolog.antilearning.techniques.base import Model
from homolog.antilearning.training import WARM_UP, Batches
from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, accuracies, cross_entropies, train_members

Numbers = Mapping[str, Float[np.ndarray, " members"]]
PROBES = ("linear", "mlp")
PROBE_UNITS = 32
# Rows of a step of the MLP, and its weight decay: a probe that fits noise generalises worse than need be.
PROBE_BATCH, PROBE_DECAY = 256, 1e-2
# Of the discriminant's covariance, over the mean variance of units.
RIDGE = 1e-2


@torch.no_grad()
def answers(pair: TaskPair, model: Model) -> Numbers:
    """Accuracy on the tests of X and Y; on Y the mean of the largest probability, and that of the right class."""
    x, y = (
        pair.network.activations(model.parameters, task.test.inputs, model.edits)["logits"] for task in (pair.x, pair.y)
    )
    likely = y.softmax(-1)
    right = likely.gather(2, pair.y.test.labels[..., None]).mean((1, 2))
    return {
        "x_accuracy": accuracies(x, pair.x.test.labels).numpy(),
        "y_accuracy": accuracies(y, pair.y.test.labels).numpy(),
        "y_confidence": likely.amax(-1).mean(1).numpy(),
        "y_right": right.numpy(),
    }


def probed(
    pair: TaskPair, model: Model, steps: int, lr: float, *key: str | int
) -> dict[str, Float[np.ndarray, "probes members"]]:
    """Accuracy on the test of Y of fresh probes of each layer, fitted to rows of Y: a linear one, and an MLP.

    The linear one is Fisher's discriminant, in closed form; the MLP is trained for so many steps, from equal starts and
    on equal rows for equal keys. NaN where there are no rows of Y to fit to.
    """
    if not pair.y.train.rows:
        return {layer: np.full((len(PROBES), pair.members), np.nan) for layer in pair.network.layers}
    with torch.no_grad():
        fitted, held_out = (
            pair.network.activations(model.parameters, examples.inputs, model.edits)
            for examples in (pair.y.train, pair.y.test)
        )
    found = {}
    for layer in pair.network.layers:
        train, test = _scaled(fitted[layer], held_out[layer])
        linear = discriminant(train, pair.y.train.labels, pair.classes, test)
        network = _trained(pair, train, test, steps, lr, *key, layer)
        found[layer] = np.stack([accuracies(one, pair.y.test.labels).numpy() for one in (linear, network)])
    return found


@torch.no_grad()
def discriminant(
    train: Float[Tensor, "members rows units"],
    labels: Int[Tensor, "members rows"],
    classes: int,
    test: Float[Tensor, "members others units"],
) -> Float[Tensor, "members others classes"]:
    """Fisher's linear discriminant: ``m_c' S^-1 (x - m_c / 2) + log p_c`` for class means m and their covariance S.

    S has a ridge of `RIDGE` times the mean variance, so that it can be inverted. -inf for classes without rows.
    """
    values = train.double()
    there = one_hot(labels, classes).double()
    counts = there.sum(1)
    means = there.mT @ values / counts.clamp_min(1)[..., None]
    around = values - means.gather(1, labels[..., None].expand(-1, -1, values.shape[2]))
    covariance = around.mT @ around / values.shape[1]
    spread = (values - values.mean(1, keepdim=True)).square().mean((1, 2)).clamp_min(torch.finfo(torch.float64).tiny)
    ridge = RIDGE * spread[:, None, None] * torch.eye(values.shape[2], dtype=torch.float64)
    weights = torch.linalg.solve(covariance + ridge, means.mT)
    bias = (counts / values.shape[1]).log() - 0.5 * (means.mT * weights).sum(1)
    scores: Tensor = test.double() @ weights + bias[:, None]
    return scores


def _trained(
    pair: TaskPair, train: Tensor, test: Tensor, steps: int, lr: float, *key: str | int
) -> Float[Tensor, "members rows classes"]:
    """Logits of a network with one hidden layer, trained on the labels of Y's rows."""
    generator = stream(*key)
    rows, examples = Batches(pair.members, 1, PROBE_BATCH, *key, "rows"), pair.y.train
    members, _, units = train.shape
    begun = {
        "read": torch.randn(members, units, PROBE_UNITS, generator=generator) * (2 / units) ** 0.5,
        "read bias": torch.zeros(members, 1, PROBE_UNITS),
        "out": torch.randn(members, PROBE_UNITS, pair.classes, generator=generator) * PROBE_UNITS**-0.5,
        "bias": torch.zeros(members, 1, pair.classes),
    }

    def logits(parameters: Parameters, values: Tensor) -> Tensor:
        hidden = (values @ parameters["read"] + parameters["read bias"]).relu()
        return hidden @ parameters["out"] + parameters["bias"]

    def losses(parameters: Parameters, step: int) -> Tensor:
        some = rows.of(examples)
        chosen = train[torch.arange(members)[:, None], some]
        return cross_entropies(logits(parameters, chosen), examples.labels.gather(1, some))

    trained = train_members(begun, losses, steps, lr, PROBE_DECAY)
    with torch.no_grad():
        return logits(trained, test)


def _scaled(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both by the training rows' mean and one scale for all units, so that erased directions stay small."""
    mean = train.mean(1, keepdim=True)
    scale = (train - mean).square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)
    return (train - mean) / scale, (test - mean) / scale


@dataclass(frozen=True)
class Relearned:
    """Accuracy on the test of Y while Y is learned: at so many moments, evenly spaced from before the first step on."""

    steps: Int[np.ndarray, " moments"]
    accuracy: Float[np.ndarray, "members moments"]


def relearn(
    pair: TaskPair, model: Model, steps: int, moments: int, *key: str | int, progress: Progress = iter
) -> Relearned:
    """Train the network on Y alone, as the pair is trained; equal keys give equal batches."""
    recipe, rows = pair.recipe, Batches(pair.members, 1, pair.recipe.batch, *key)
    shown = np.unique(np.linspace(0, steps, moments).round().astype(int))
    curve: list[np.ndarray] = []

    def right(parameters: Parameters, examples: Examples) -> Tensor:
        return pair.network.activations(parameters, examples.inputs, model.edits)["logits"]

    def losses(parameters: Parameters, step: int) -> Tensor:
        batch = pair.y.train.at(rows.of(pair.y.train))
        return cross_entropies(right(parameters, batch), batch.labels)

    def watch(parameters: Parameters, step: int) -> None:
        if step in shown:
            curve.append(accuracies(right(parameters, pair.y.test), pair.y.test.labels).numpy())

    train_members(
        model.parameters, losses, steps, recipe.lr, recipe.weight_decay, WARM_UP, decay=recipe.decay, watch=watch,
        progress=progress,
    )  # fmt: skip
    return Relearned(shown, np.stack(curve, -1))


def area_to_scratch(
    curve: Float[np.ndarray, "*members moments"], scratch: Float[np.ndarray, "*members moments"]
) -> Float[np.ndarray, "*members"]:
    """What lies between a curve of relearning and that from scratch, over what lies above the latter.

    0 where both are one, so that Y is truly not there; 1 where all is right at once; below 0 where learning is slower.
    """
    return np.asarray((curve - scratch).sum(-1) / np.maximum((1 - scratch).sum(-1), np.finfo(float).tiny))
