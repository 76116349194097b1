"""What does a network that is trained on a corpus learn: the next token, a class, or what another network gives?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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
# Numbers that a teacher gave, in float32, that are kept to be asked for again: 256 MiB.
KEPT = 2**26
# What isn't to be predicted: torch's own mark.
NOTHING = -100
# To give what another network gives; of that nothing is right or wrong.
IMITATE = "imitate"
Call: TypeAlias = Callable[[Batch], Any]


@dataclass(frozen=True)
class Lesson:
    """A corpus and what is to be predicted of it, as `training.optimise` takes it in the place of a task's data.

    `objective` is one of `OBJECTIVES`, or `IMITATE`: then what the `teacher` gives, a network too, is to be given.
    """

    corpus: Corpus
    objective: str
    device: str | torch.device = "cpu"
    teacher: Call | None = None
    _known: dict[tuple[int, ...], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def rows(self, split: int) -> Int[Tensor, " inputs"]:
        """Numbers of the inputs of a split, ascending."""
        return torch.nonzero(self.corpus.split == split).squeeze(1)

    def loss(self, call: Call, inputs: Int[Tensor, " inputs"]) -> Float[Tensor, ""]:
        """Mean cross-entropy (nats) of what is to be predicted of some inputs; to imitate, the mean squared error."""
        total, _, count = self._sums(call, inputs)
        return total / count

    @torch.no_grad()
    def measure(self, call: Call) -> tuple[tuple[float, float], tuple[float, float]]:
        """Loss and accuracy (NaN to imitate), each on inputs of the training and of the test split."""
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
        self, call: Call, inputs: Int[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, " predicted"], Int[Tensor, " predicted"]]:
        """Loss (nats, or squared error; float64) of each thing that is to be predicted, and of which input it is."""
        if self.objective == IMITATE:
            errors, of = self._errors(call, inputs, keep=True)
            return errors.double(), of
        flat, right, of = self._predicted(call, inputs)
        at_once = max(1, NUMBERS // flat.shape[-1])
        parts = zip(torch.split(flat, at_once), torch.split(right, at_once), strict=True)
        each = [functional.cross_entropy(one.double(), wanted, reduction="none") for one, wanted in parts]
        return torch.cat(each), of

    def _sums(self, call: Call, inputs: Int[Tensor, " inputs"]) -> tuple[Float[Tensor, ""], float, int]:
        """Sum of losses, number of right predictions, and how many there were."""
        if self.objective == IMITATE:
            errors, _ = self._errors(call, inputs)
            self.check_any(len(errors), inputs)
            return errors.sum(), math.nan, len(errors)
        flat, right, _ = self._predicted(call, inputs)
        self.check_any(len(right), inputs)
        return (
            functional.cross_entropy(flat.float(), right, reduction="sum"),
            float((flat.argmax(-1) == right).sum()),
            len(right),
        )

    def judged(self, output: Any) -> Float[Tensor, ...]:
        """What the objective looks at in what a network returns."""
        return output_of(output) if self.objective == IMITATE else logits_of(output)

    def check_any(self, predicted: int, inputs: Int[Tensor, " inputs"]) -> None:
        """Raise ValueError where nothing is to be predicted of some inputs."""
        if not predicted:
            raise ValueError(f"objective {self.objective}: nothing is to be predicted of {len(inputs)} inputs.")

    def _predicted(
        self, call: Call, inputs: Int[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, "predicted classes"], Int[Tensor, " predicted"], Int[Tensor, " predicted"]]:
        """Logits and right answer of each thing that is to be predicted, and of which of the inputs it is."""
        batch = on_device(self.corpus.batches(inputs), self.device)
        outputs = self.judged(call(batch))
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

    def _errors(
        self, call: Call, inputs: Int[Tensor, " inputs"], keep: bool = False
    ) -> tuple[Float[Tensor, " places"], Int[Tensor, " places"]]:
        """Mean squared error at each place that becomes a row, or of each input, and of which of the inputs it is.

        With `keep` what the teacher gives is kept, to be compared with again.
        """
        batch = on_device(self.corpus.batches(inputs), self.device)
        found, wanted = self.judged(call(batch)), self._wanted(batch, inputs, keep)
        places = self.corpus.keep(inputs).to(wanted.device)
        if self.corpus.positions is None or wanted.shape[:2] != places.shape:
            places = torch.ones(len(wanted), dtype=torch.bool, device=wanted.device)
        errors = (found[places].float() - wanted[places].float()).square().flatten(1).mean(1)
        return errors, places.nonzero()[:, 0]

    @torch.no_grad()
    def _wanted(self, batch: Batch, inputs: Int[Tensor, " inputs"], keep: bool) -> Float[Tensor, ...]:
        """What the teacher gives to a batch."""
        if self.teacher is None:
            raise ValueError("objective imitate needs a network to imitate: give a parent, or another objective.")
        key = tuple(inputs.tolist())
        if key in self._known:
            return self._known[key]
        wanted = self.judged(self.teacher(batch))
        if keep and wanted.numel() + sum(one.numel() for one in self._known.values()) <= KEPT:
            self._known[key] = wanted
        return wanted


def output_of(output: Any) -> Float[Tensor, ...]:
    """What a network gives, to be imitated: a tensor, or what calls them ``logits``, or ``last_hidden_state``."""
    for name in ("logits", "last_hidden_state"):
        found = output if isinstance(output, Tensor) else _called(output, name)
        if isinstance(found, Tensor):
            return found
    raise ValueError(
        f"objective imitate: the network returned {type(output).__name__} without logits or last_hidden_state: let it "
        "return a tensor."
    )


def _called(output: Any, name: str) -> Any:
    return output.get(name) if isinstance(output, dict) else getattr(output, name, None)


def logits_of(output: Any) -> Float[Tensor, "... classes"]:
    """The logits in what a network returns: a tensor, or what calls them ``logits``."""
    found = output if isinstance(output, Tensor) else _called(output, "logits")
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
