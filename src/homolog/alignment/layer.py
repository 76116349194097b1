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
from homolog.alignment.nulls import Spectrum
from homolog.alignment.rest import Rest, rest_of
from homolog.store.activations import Activations
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN, UNKNOWN

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
    float64 and in the gauge, units in canonical order: `order` lists their numbers in the model, `scale` is in
    canonical order too; `shift` and `rotation` are the gauge's, `below_rotation` that of the layer below. `support`
    projects onto the span of the train rows. `symmetry` names the maps that leave the network's function alone. `model`
    is None where no network is known. `labels` are what the conditional null keeps (empty where none are known),
    `documents` which rows belong together, if they aren't exchangeable; `targets` are the task's own labels, by which
    losses are measured, where they are others than `labels`.
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
    symmetry: str = "permute_scale"
    shift: bool = False
    rotation: Float[Tensor, "units units"] | None = None
    documents: dict[str, Int[Tensor, " samples"]] | None = None
    targets: dict[str, Int[Tensor, " samples"]] | None = None
    below_rotation: Float[Tensor, "below_units below_units"] | None = None

    @property
    def units(self) -> int:
        return self.covariance.shape[0]

    @cached_property
    def gauge(self) -> Gauge:
        """The gauge that everything here is in."""
        return Gauge(self.scale[self.order.argsort()], self.order, self.shift, self.rotation)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of the training rows' covariance, for nulls that turn dictionaries within it."""
        return Spectrum.of(self.covariance)

    @cached_property
    def rest(self) -> dict[str, Rest]:
        """What the network makes of the hook point, for the first rows of each fold; empty without a network."""
        targets = self.labels if self.targets is None else self.targets
        return rest_of(self.model, self.hook_point, self.gauge, self.activations, targets)

    @cached_property
    def jacobian(self) -> dict[str, Float[Tensor, "rows units below_units"]]:
        """Derivative of each unit with respect to the layer below, for the first rows of each fold."""
        if self.below is None:
            return {}
        module = self.model.get_submodule(self.hook_point).double()
        found = {}
        for fold, rows in self.below.items():
            of_units = _derivative(module, rows).mT
            # The gauge is linear, so that it maps derivatives as it maps activations.
            inner = self.gauge.canonical(of_units.reshape(-1, self.units)).reshape(of_units.shape).mT
            found[fold] = (inner if self.below_rotation is None else inner @ self.below_rotation).contiguous()
        return found


def _derivative(module: Any, rows: Float[Tensor, "rows below_units"]) -> Float[Tensor, "rows units below_units"]:
    """Of each unit at each row, a pass back for each unit: the module sees each row by itself."""
    with torch.enable_grad():
        read = rows.detach().requires_grad_()
        written = module(read).sum(0)
        passes = [torch.autograd.grad(unit, read, retain_graph=True)[0] for unit in written]
    return torch.stack(passes, dim=1)


def build_layer(
    model: Any,
    activations: Activations,
    below: Activations | None,
    gauge: Gauge,
    device: str | torch.device = "cpu",
    conditional_on: str = "label",
    documents: str | None = None,
) -> Layer:
    """Prepare a hook point for comparing: `below` holds the activations that its layer reads, if they are recorded.

    Without a `model` (activations that others recorded) there is no Jacobian, and what needs the layers around is not
    identified; without labels, `labels` is empty.
    `conditional_on` and `documents` name what the rows' labels and documents are (`Rows.named`).
    """
    rows = activations.rows
    folds = {"match": rows.where(TEST, HALF_A), "score": rows.where(TEST, HALF_B)}
    values = gauge.canonical(activations.values.double()).to(device)
    train = values[rows.where(TRAIN)]
    labels = rows.named(conditional_on)
    hook_point = activations.hook_point
    return Layer(
        run=activations.run,
        hook_point=hook_point,
        activations={fold: values[index] for fold, index in folds.items()},
        labels={fold: labels[index].to(device) for fold, index in folds.items() if bool((labels != UNKNOWN).any())},
        documents=None
        if documents is None
        else {fold: rows.named(documents)[index].to(device) for fold, index in folds.items()},
        targets={fold: rows.label[index].to(device) for fold, index in folds.items()},
        covariance=torch.cov(train.T, correction=0),
        support=_projector(train),
        write_out=None if activations.write_out is None else _write_out(activations.write_out, gauge).to(device),
        frames=_frames_of_activations(activations) if model is None else _frames(model, hook_point),
        model=None if model is None else model.to(device),
        below=None
        if below is None
        else {fold: below.values[index[:READ_IN_ROWS]].double().to(device) for fold, index in folds.items()},
        scale=gauge.scale.double()[gauge.order].to(device),
        order=gauge.order.to(device),
        input_digest=hashlib.sha256(rows.input_id.numpy().tobytes() + rows.split.numpy().tobytes()).hexdigest(),
        symmetry="none" if model is None else model.symmetry(hook_point),
        shift=gauge.shift,
        rotation=None if gauge.rotation is None else gauge.rotation.double().to(device),
        # A stream turns as a whole, the layer below with it.
        below_rotation=None
        if gauge.rotation is None or below is None or below.gauge.rotation is None
        else below.gauge.rotation.double().to(device),
    )


def _write_out(weights: Float[Tensor, "next_units units"], gauge: Gauge) -> Float[Tensor, "next_units units"]:
    """Outgoing weights for activations in the gauge; 0 for a unit that had none, whose scale is 0 then."""
    scale = gauge.scale.double()
    return gauge.to_canonical_order(torch.where(scale != 0, weights.double() / torch.where(scale != 0, scale, 1), 0))


def _frames(model: Any, hook_point: str) -> Frames:
    state = model.state_dict()
    return Frames(
        _digest(state, model.frame_below(hook_point)),
        _digest(state, model.frame_above(hook_point)),
        _digest(state, model.frame_own(hook_point)),
    )


def _frames_of_activations(activations: Activations) -> Frames:
    """Without a network: the basis is one where the activations are, and nothing is known of the layers around.

    Or where the file says that the same weights fix it, as they do a stream of which but a part was retrained.
    """
    if basis := activations.attributes.get("basis"):
        return Frames(f"unknown, of {activations.run}", f"unknown, of {activations.run}", str(basis))
    own = hashlib.sha256(activations.values.contiguous().numpy().tobytes()).hexdigest()
    return Frames(f"unknown, of {activations.run}", f"unknown, of {activations.run}", own)


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
