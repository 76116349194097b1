"""What every task hands to training: inputs, labels, and a split that is the same for every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.streams import stream

TRAIN, TEST = 0, 1
HALF_A, HALF_B = 0, 1
# The label of rows of which the class isn't known.
UNKNOWN = -1


@dataclass(frozen=True)
class Data:
    """One data set with its split.

    Dictionaries are fitted on train rows (all, half a, half b), matched on test rows of half a, scored on half b.
    `input_id` names the inputs where rows have other names than their numbers.
    """

    inputs: Float[Tensor, "samples inputs"]
    labels: Int[Tensor, " samples"]
    split: Int[Tensor, " samples"]
    half: Int[Tensor, " samples"]
    n_classes: int
    input_id: Int[Tensor, " samples"] | None = None

    def rows(self, split: int) -> Int[Tensor, " rows"]:
        """Row numbers of one split (`TRAIN` or `TEST`), ascending."""
        return torch.nonzero(self.split == split).squeeze(1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of inputs and classes."""
        return self.inputs.shape[1], self.n_classes

    def losses(self, outputs: Float[Tensor, "rows outputs"], labels: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The network's loss on each of some rows: cross-entropy in nats. Training lowers its mean."""
        return functional.cross_entropy(outputs, labels, reduction="none")

    def loss(self, call: Callable[[Tensor], Tensor], rows: Int[Tensor, " rows"]) -> Float[Tensor, ""]:
        """The mean loss on some rows of a network that is called on inputs."""
        return self.losses(call(self.inputs[rows]), self.labels[rows]).mean()

    @torch.no_grad()
    def measure(self, call: Callable[[Tensor], Tensor]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Mean loss and accuracy of a network, each on all rows of the training and of the test split."""
        losses, accuracies = [], []
        for split in (TRAIN, TEST):
            rows = self.rows(split)
            outputs, labels = call(self.inputs[rows]), self.labels[rows]
            losses.append(float(self.losses(outputs, labels).mean()))
            accuracies.append(float((outputs.argmax(1) == labels).float().mean()))
        return (losses[0], losses[1]), (accuracies[0], accuracies[1])

    def to(self, device: str | torch.device) -> Data:
        """The same data on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("inputs", "labels", "split", "half")}
        return replace(self, **moved)

    def digest(self) -> str:
        """Hash of inputs, labels and split: which data a run has seen."""
        digest = hashlib.sha256()
        named = () if self.input_id is None else (self.input_id,)
        for tensor in (self.inputs, self.labels, self.split, self.half, *named):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def split_at_random(
    inputs: Float[Tensor, "samples inputs"], labels: Int[Tensor, " samples"], n_test: int, name: str
) -> Data:
    """Draw `n_test` test rows, then halves of both splits, from streams that depend on the task's name alone."""
    samples = len(inputs)
    if not 4 <= n_test <= samples - 4:
        raise ValueError(
            f"task {name}: n_test = {n_test}, but {samples} samples allow 4 to {samples - 4}: change n_test."
        )
    order = torch.randperm(samples, generator=stream("split", name))
    split = torch.full((samples,), TRAIN, dtype=torch.int8)
    half = torch.empty(samples, dtype=torch.int8)
    split[order[:n_test]] = TEST
    for rows in (order[:n_test], order[n_test:]):
        half[rows[: len(rows) // 2]] = HALF_A
        half[rows[len(rows) // 2 :]] = HALF_B
    return Data(inputs, labels, split, half, n_classes=int(labels.max()) + 1)
