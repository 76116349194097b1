"""What does the rest of a network make of a change at a hook point: of one latent's part, input by input?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.alignment.gauge import Gauge

# Inputs per fold on which latents are ablated or replaced: each costs a pass through the rest for every latent.
ROWS = 1000
# Numbers that a batch of passes holds at its entrance: 1 MiB of float64, which stays near the processor; a GPU, which
# would wait for the host, takes more at a time.
NEAR, FAR = 2**17, 2**22


class Rest:
    """The network behind a hook point, at some inputs, in float64: an affine map, then all else up to the logits.

    Activations and directions are in the gauge, in canonical order. A change by ``amount * direction`` passes the
    affine map as ``amount * map(direction)``, so that this map is applied once for each input and each direction, not
    for each pair of them.
    """

    def __init__(
        self,
        affine: Callable[[Tensor], Tensor],
        tail: Callable[[Tensor], Tensor],
        gauge: Gauge,
        activations: Float[Tensor, "rows units"],
        labels: Int[Tensor, " rows"],
    ) -> None:
        self._affine, self._tail, self._gauge, self.labels = affine, tail, gauge, labels
        with torch.no_grad():
            self._entrance = affine(gauge.undo(activations))
            self.logits = _centred(tail(self._entrance))

    @property
    def rows(self) -> int:
        return len(self.labels)

    @torch.no_grad()
    def effects(
        self, directions: Float[Tensor, "changes units"], amounts: Float[Tensor, "changes rows"]
    ) -> Float[Tensor, "changes rows classes"]:
        """By how much the centred logits change where ``amounts[i] * directions[i]`` is added; one change at a time.

        Where most amounts are 0, only the other pairs pass through the network; a bounded number at once.
        """
        steps = self._gauge.undo(directions)
        zero = self._affine(torch.zeros_like(steps[:1]))
        steps = self._affine(steps) - zero
        found = self.logits.new_zeros(*amounts.shape, self.logits.shape[1])
        numbers = NEAR if amounts.device.type == "cpu" else FAR
        if 2 * int(amounts.count_nonzero()) < amounts.numel():
            change, row = amounts.nonzero(as_tuple=True)
            at_once = max(1, numbers // max(1, steps.shape[1]))
            for index, rows in zip(torch.split(change, at_once), torch.split(row, at_once), strict=True):
                changed = self._tail(self._entrance[rows] + amounts[index, rows, None] * steps[index])
                found[index, rows] = _centred(changed) - self.logits[rows]
            return found
        at_once = max(1, numbers // max(1, self._entrance.numel()))
        for start in range(0, len(steps), at_once):
            part = slice(start, start + at_once)
            changed = torch.addcmul(self._entrance, amounts[part, :, None], steps[part, None])
            logits = self._tail(changed.flatten(0, 1)).reshape(*changed.shape[:2], -1)
            # What isn't touched doesn't change, not even by how a larger product is rounded.
            found[part] = torch.where(amounts[part, :, None] == 0, 0.0, _centred(logits) - self.logits)
        return found

    @torch.no_grad()
    def replaced(self, activations: Float[Tensor, "rows units"]) -> Float[Tensor, "rows classes"]:
        """By how much the centred logits change where other activations stand at the same inputs."""
        return _centred(self._tail(self._affine(self._gauge.undo(activations)))) - self.logits

    def losses(self, effects: Float[Tensor, "changes rows classes"]) -> Float[Tensor, "changes rows"]:
        """The loss of each input under each change: cross-entropy in nats, as in training."""
        logits = (self.logits + effects).flatten(0, 1)
        every = functional.cross_entropy(logits, self.labels.repeat(len(effects)), reduction="none")
        return every.reshape(effects.shape[:2])


def rest_of(
    model: Any,
    hook_point: str,
    gauge: Gauge,
    activations: dict[str, Float[Tensor, "samples units"]],
    labels: dict[str, Int[Tensor, " samples"]],
) -> dict[str, Rest]:
    """The rest of `model` by fold, at the first 1,000 inputs of each; empty without a model that can be cut there."""
    if not hasattr(model, "after"):
        return {}
    affine, tail = copy.deepcopy(model).double().after(hook_point)
    return {fold: Rest(affine, tail, gauge, x[:ROWS], labels[fold][:ROWS]) for fold, x in activations.items()}


def _centred(logits: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows classes"]:
    return logits - logits.mean(-1, keepdim=True)
