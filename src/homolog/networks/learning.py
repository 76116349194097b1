"""What does a network that is trained on a corpus learn: the next token, or the class of each input?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.corpora.base import Batch, Corpus
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN, UNKNOWN

# Inputs on which loss and accuracy are measured, of each split: drawn once, the same for all runs.
MEASURED = 256
# Inputs that are measured at once.
AT_ONCE = 32
# Logits that are held in float64 at once: 64 MiB.
NUMBERS = 2**23
# What isn't to be predicted: torch's own mark.
NOTHING = -100


@dataclass(frozen=True)
class Lesson:
    """A corpus and what is to be predicted of it, as `training.train` takes it in the place of a task's data."""

    corpus: Corpus
    objective: str
    device: str | torch.device = "cpu"

    def rows(self, split: int) -> Int[Tensor, " inputs"]:
        """Numbers of the inputs of a split, ascending."""
        return torch.nonzero(self.corpus.split == split).squeeze(1)

    def loss(self, call: Callable[[Batch], Any], inputs: Int[Tensor, " inputs"]) -> Float[Tensor, ""]:
        """Mean cross-entropy (nats) of what is to be predicted of some inputs."""
        total, _, count = self._sums(call, inputs)
        return total / count

    @torch.no_grad()
    def measure(self, call: Callable[[Batch], Any]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Loss and accuracy, each on inputs of the training and of the test split."""
        found = []
        for split in (TRAIN, TEST):
            parts = [self._sums(call, inputs) for inputs in torch.split(self._measured(split), AT_ONCE)]
            loss, right, count = (sum(float(part[place]) for part in parts) for place in range(3))
            found.append((loss / count, right / count))
        (train_loss, train_accuracy), (test_loss, test_accuracy) = found
        return (train_loss, test_loss), (train_accuracy, test_accuracy)

    def _measured(self, split: int) -> Int[Tensor, " inputs"]:
        rows = self.rows(split)
        return rows[torch.randperm(len(rows), generator=stream("measured", split))[:MEASURED]]

    @torch.no_grad()
    def losses(
        self, call: Callable[[Batch], Any], inputs: Int[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, " predicted"], Int[Tensor, " predicted"]]:
        """Cross-entropy (nats, float64) of each thing that is to be predicted, and of which of the inputs it is."""
        flat, right, of = self._predicted(call, inputs)
        at_once = max(1, NUMBERS // flat.shape[-1])
        parts = zip(torch.split(flat, at_once), torch.split(right, at_once), strict=True)
        each = [functional.cross_entropy(one.double(), wanted, reduction="none") for one, wanted in parts]
        return torch.cat(each), of

    def _sums(
        self, call: Callable[[Batch], Any], inputs: Int[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, ""], Tensor, int]:
        """Sum of losses, number of right predictions, and how many there were."""
        flat, right, _ = self._predicted(call, inputs)
        self.check_any(len(right), inputs)
        return (
            functional.cross_entropy(flat.float(), right, reduction="sum"),
            (flat.argmax(-1) == right).sum(),
            len(right),
        )

    def check_any(self, predicted: int, inputs: Int[Tensor, " inputs"]) -> None:
        """Raise ValueError where nothing is to be predicted of some inputs."""
        if not predicted:
            raise ValueError(f"objective {self.objective}: nothing is to be predicted of {len(inputs)} inputs.")

    def _predicted(
        self, call: Callable[[Batch], Any], inputs: Int[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, "predicted classes"], Int[Tensor, " predicted"], Int[Tensor, " predicted"]]:
        """Logits and right answer of each thing that is to be predicted, and of which of the inputs it is."""
        batch = on_device(self.corpus.batches(inputs), self.device)
        outputs = logits_of(call(batch))
        wanted = OBJECTIVES[self.objective](self.corpus, inputs).to(outputs.device)
        if outputs.shape[:-1] != wanted.shape:
            raise ValueError(
                f"objective {self.objective}: the network gave {tuple(outputs.shape)}, and {tuple(wanted.shape)} with "
                "logits behind is needed: choose another objective, or let it return logits."
            )
        known = wanted != NOTHING
        flat, right = outputs[known], wanted[known]
        if len(right) and int(right.max()) >= flat.shape[-1]:
            raise ValueError(
                f"objective {self.objective}: {int(right.max())} is to be predicted, and the network tells "
                f"{flat.shape[-1]} apart: give it more outputs."
            )
        return flat, right, known.nonzero()[:, 0]


def logits_of(output: Any) -> Float[Tensor, "... classes"]:
    """The logits in what a network returns: a tensor, or what calls them ``logits``."""
    found = output if isinstance(output, Tensor) else None
    if found is None:
        found = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if not isinstance(found, Tensor):
        raise ValueError(
            f"the network returned {type(output).__name__} without logits: let it return them as a tensor."
        )
    return found


def _next_token(corpus: Corpus, inputs: Int[Tensor, " inputs"]) -> Int[Tensor, "inputs positions"]:
    """The token behind each position; nothing where that is padding or special, and at the last one."""
    named = corpus.named(inputs)
    if "token_id" not in named:
        raise ValueError("objective next_token needs a corpus of tokens: this one has none.")
    tokens = torch.where(corpus.keep(inputs), named["token_id"], NOTHING)
    return functional.pad(tokens[:, 1:], (0, 1), value=NOTHING)


def _label(corpus: Corpus, inputs: Int[Tensor, " inputs"]) -> Int[Tensor, " inputs"]:
    """The class of each input."""
    labels = corpus.label[inputs].long()
    return torch.where(labels == UNKNOWN, NOTHING, labels)


OBJECTIVES = {"next_token": _next_token, "label": _label}


def on_device(batch: Batch, device: str | torch.device) -> Batch:
    """What a network is fed, on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    return {name: values.to(device) for name, values in batch.items()}
