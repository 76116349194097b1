"""What a comparison needs to know of one hook point of one run, all of it in the gauge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.store.activations import Activations
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN

FOLDS = ("match", "score")
# Inputs over which gradients are averaged, per fold: enough for a mean, few enough to hold a Jacobian for each.
READ_IN_ROWS = 1000
# Relative to the largest eigenvalue: below it there is rounding, not data.
NO_VARIANCE = 1e-10


@dataclass(frozen=True)
class Frames:
    """Hashes of the weights that fix the basis of the layer below, of the layer above, and of the hook point itself.

    Equal hashes mean that two runs share the weights, so that coordinates there name the same things.
    """

    below: str
    above: str
    own: str


@dataclass
class Layer:
    """A hook point of a run: both folds of held-out inputs, covariance, Jacobian, outgoing weights.

    `fold` rows are the test rows of half a (``match``: pairs are selected there) and half b (``score``). Everything is
    float64 and in the gauge, units in canonical order: `order` lists their numbers in the model. `support` projects
    onto the span of the train rows.
    """

    run: str
    hook_point: str
    activations: dict[str, Float[Tensor, "samples units"]]
    labels: dict[str, Int[Tensor, " samples"]]
    covariance: Float[Tensor, "units units"]
    support: Float[Tensor, "units units"]
    write_out: Float[Tensor, "next_units units"] | None
    frames: Frames
    model: Any
    below: dict[str, Float[Tensor, "rows below_units"]] | None
    scale: Float[Tensor, " units"]
    order: Int[Tensor, " units"]
    input_digest: str

    @property
    def units(self) -> int:
        return self.covariance.shape[0]

    @cached_property
    def jacobian(self) -> dict[str, Float[Tensor, "rows units below_units"]]:
        """Derivative of each unit with respect to the layer below, for the first rows of each fold."""
        if self.below is None:
            return {}
        module = self.model.get_submodule(self.hook_point).double()
        derivative = torch.func.vmap(torch.func.jacrev(module))
        with torch.no_grad():
            return {fold: derivative(rows)[:, self.order] * self.scale[:, None] for fold, rows in self.below.items()}


def build_layer(
    model: Any, activations: Activations, below: Activations | None, gauge: Gauge, device: str | torch.device = "cpu"
) -> Layer:
    """Prepare a hook point for comparing: `below` holds the activations that its layer reads, if they are recorded."""
    rows = activations.rows
    folds = {"match": rows.where(TEST, HALF_A), "score": rows.where(TEST, HALF_B)}
    values = gauge.canonical(activations.values.double()).to(device)
    order = gauge.order.to(device)
    train = values[rows.where(TRAIN)]
    scale = (torch.ones_like(gauge.scale) if gauge.shift else gauge.scale.double())[gauge.order].to(device)
    state = model.state_dict()
    hook_point = activations.hook_point
    around = model.parameters_around(hook_point) | model.frame_below(hook_point)
    return Layer(
        run=activations.run,
        hook_point=hook_point,
        activations={fold: values[index] for fold, index in folds.items()},
        labels={fold: rows.label[index].to(device) for fold, index in folds.items()},
        covariance=torch.cov(train.T, correction=0),
        support=_projector(train),
        write_out=None
        if activations.write_out is None
        else activations.write_out.double().to(device)[:, order] / scale,
        frames=Frames(
            _digest(state, model.frame_below(hook_point)),
            _digest(state, model.frame_above(hook_point)),
            _digest(state, around),
        ),
        model=model.to(device),
        below=None
        if below is None
        else {fold: below.values[index[:READ_IN_ROWS]].double().to(device) for fold, index in folds.items()},
        scale=scale,
        order=order,
        input_digest=hashlib.sha256(rows.input_id.numpy().tobytes() + rows.split.numpy().tobytes()).hexdigest(),
    )


def _projector(activations: Float[Tensor, "samples units"]) -> Float[Tensor, "units units"]:
    """Projection onto the span of the activations (not centred): dead units, for one, lie outside."""
    eigenvalues, vectors = torch.linalg.eigh(activations.T @ activations)
    inside = vectors[:, eigenvalues > NO_VARIANCE * eigenvalues[-1]]
    projector: Tensor = inside @ inside.T
    return projector


def _digest(state: dict[str, Tensor], names: set[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + state[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
