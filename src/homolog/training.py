"""Train one run: from scratch, or from a finished run of which some layers are drawn anew and the rest is frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from homolog.models.build import build_model, load_state
from homolog.models.symmetry import random_symmetry
from homolog.store.files import content_hash
from homolog.store.saved_state import SavedState
from homolog.streams import stream
from homolog.tasks.base import TRAIN, Data

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW}

Progress = Callable[[Iterable[int]], Iterable[int]]


@runtime_checkable
class Lesson(Protocol):
    """What a network learns from, and is judged by: a task's `Data`, or a corpus with an objective."""

    def rows(self, split: int) -> Tensor:
        """Numbers of the inputs of a split, ascending."""

    def loss(self, call: Callable[[Any], Any], rows: Tensor, /) -> Tensor:
        """The mean loss on some inputs of a network that is called on what the lesson feeds."""

    def measure(self, call: Callable[[Any], Any]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Loss and accuracy, each on the training and on the test split."""


@dataclass
class Curve:
    """Mean loss and accuracy on train and test rows, by optimiser step; step 0 is before training.

    The loss is a cross-entropy (nats), unless the objective says else. `parent_loss` is that of the network from which
    parts were taken over, where that is measured.
    """

    step: list[int] = field(default_factory=list)
    loss: list[tuple[float, float]] = field(default_factory=list)
    accuracy: list[tuple[float, float]] = field(default_factory=list)
    parent_loss: tuple[float, float] | None = None

    def add(self, step: int, measured: tuple[tuple[float, float], tuple[float, float]]) -> None:
        """What was measured at a step."""
        self.step.append(step)
        self.loss.append(measured[0])
        self.accuracy.append(measured[1])


@dataclass
class _State:
    """All that training changes. The order of batches needs no saving: it depends on the run and the step alone."""

    model: Any
    optimizer: torch.optim.Optimizer
    curve: Curve
    step: int = 0

    def arrays(self) -> dict[str, Tensor]:
        # Copies: weights that are tied share memory, which no file of tensors can say.
        model = {f"model.{name}": tensor.clone() for name, tensor in self.model.state_dict().items()}
        moments = self.optimizer.state_dict()["state"]
        optimizer = {f"optimizer.{i}.{name}": value for i, held in moments.items() for name, value in held.items()}
        curve = {
            "curve.step": torch.tensor(self.curve.step),
            "curve.loss": torch.tensor(self.curve.loss, dtype=torch.float64),
            "curve.accuracy": torch.tensor(self.curve.accuracy, dtype=torch.float64),
        }
        return {**model, **optimizer, **curve, "step": torch.tensor(self.step)}

    def restore(self, held: dict[str, Tensor]) -> None:
        """Go on from what was saved; from the beginning where there is nothing."""
        if not held:
            return
        model, optimizer, curve = (
            {name.removeprefix(part): array for name, array in held.items() if name.startswith(part)}
            for part in ("model.", "optimizer.", "curve.")
        )
        self.model.load_state_dict(model)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, array in optimizer.items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = array
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        for name, rows in curve.items():
            setattr(self.curve, name, [tuple(row) if isinstance(row, list) else row for row in rows.tolist()])
        self.step = int(held["step"])


def train(
    spec: dict[str, Any],
    data: Data,
    parent: dict[str, Tensor] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> tuple[Any, Curve]:
    """Train the run that `spec` describes and return the network (on the CPU, in evaluation mode) and its curve.

    `spec` has ``run`` (model and seed: the key of every random stream), ``architecture``, ``training``,
    ``reinitialise`` (hook points), ``symmetry`` (hook points of which the units are permuted and rescaled at random:
    the control whose function is its parent's). `parent` holds the weights that aren't
    drawn anew; all of them are frozen. `checkpoint` is a file that is written at times: a training that was stopped
    goes on from there if `fingerprint` is the same, and ends in the same bits.

    Raises ValueError when the loss is no longer finite.
    """
    run = (spec["run"]["model"], spec["run"]["seed"])
    model, trainable = _prepare(spec, data, parent, run)
    begins = content_hash((name, tensor.numpy()) for name, tensor in model.state_dict().items())
    saved = SavedState(checkpoint, [fingerprint, torch.__version__, str(device), spec, data.digest(), begins])
    model.to(device)
    curve = optimise(model, trainable, spec["training"], data.to(device), run, progress, saved)
    saved.remove()
    return model.cpu().eval(), curve


def _prepare(
    spec: dict[str, Any], data: Data, parent: dict[str, Tensor] | None, run: tuple[str, int]
) -> tuple[Any, set[str]]:
    """The network before its first step, and the names of the parameters that will be trained."""
    model = build_model(spec["architecture"], data.inputs.shape[1], data.n_classes)
    every = {name for name, _ in model.named_parameters()}
    model.initialise(stream("init", *run))
    if parent is None:
        return model, every
    drawn: set[str] = set().union(*(model.parameters_around(hook_point) for hook_point in spec["reinitialise"]))
    load_state(model, {**parent, **{name: p.detach() for name, p in model.named_parameters() if name in drawn}})
    for hook_point in spec["symmetry"]:
        drawn_map = random_symmetry(
            model.symmetry(hook_point), model.units(hook_point), stream("symmetry", *run, hook_point)
        )
        model.apply_symmetry(hook_point, *drawn_map)
    return model, drawn


def _as_it_is(_step: int) -> AbstractContextManager[None]:
    return nullcontext()


def optimise(
    model: Any,
    trainable: set[str],
    training: dict[str, Any],
    lesson: Lesson,
    run: tuple[str, int],
    progress: Progress,
    saved: SavedState,
    call: Callable[[Any], Any] | None = None,
    during: Callable[[int], AbstractContextManager[None]] = _as_it_is,
) -> Curve:
    """Train some parameters of a model, and return the curve; after n steps it is as after the first n of more.

    `call` runs the model on what the lesson feeds (the model itself, if not said), `during` is what each step, by its
    number, is made in. Raises ValueError when the loss is no longer finite.
    """
    call = call or model
    parameters = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
        parameters += [parameter] if name in trainable else []
    curve = Curve()
    curve.add(0, lesson.measure(call))
    if not training["steps"] or not parameters:
        return curve
    optimizer = OPTIMIZERS[training["optimizer"]](parameters, lr=training["lr"], weight_decay=training["weight_decay"])
    state = _State(model, optimizer, curve)
    state.restore(saved.read())
    batches = islice(_batches(lesson.rows(TRAIN), training["batch_size"], stream("order", *run)), state.step, None)
    steps = progress(range(state.step + 1, training["steps"] + 1))
    for step in saved.between(steps, state.arrays):
        batch = next(batches)
        optimizer.zero_grad(set_to_none=True)
        with during(step):
            loss: Any = lesson.loss(call, batch)
            loss.backward()
        optimizer.step()
        state.step = step
        if step % training["log_every"] == 0 or step == training["steps"]:
            curve.add(step, lesson.measure(call))
            if not all(map(math.isfinite, curve.loss[-1])):
                raise ValueError(
                    f"training of {run[0]}, seed {run[1]}, diverged: the loss is {curve.loss[-1][0]} at step {step} "
                    f"(lr = {training['lr']}, optimizer {training['optimizer']}); a finite loss is needed: "
                    f"lower models.{run[0]}.training.lr."
                )
    return curve


def _batches(rows: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches of row numbers: each epoch a new permutation, its incomplete last batch left out."""
    size = min(batch_size, len(rows))
    while True:
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        for start in range(0, len(rows) - size + 1, size):
            yield rows[order[start : start + size]]
