"""How does a network of tokens show its layers, and which tuples of tokens may it learn from?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import Edits, Examples, Recipe, Task, edited
from homolog.streams import stream
from homolog.toys.composing import Composing, read_out, split_orders
from homolog.toys.training import Parameters


@dataclass(frozen=True)
class Composed:
    """A network that composes two tokens, with layers to be read: both embeddings, the hidden layer, the logits."""

    composing: Composing
    layers: tuple[str, ...] = ("embeddings", "hidden", "logits")

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Parameters before training, each member's drawn alone."""
        return self.composing.start(members, generator)

    def activations(
        self, parameters: Parameters, inputs: Int[Tensor, "members rows 2"], edits: Edits | None = None
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        """Each of `layers` at pairs of tokens, after its edit; embeddings are those of the left, then of the right."""
        both = edited(edits, "embeddings", torch.cat(self.composing.embedded(parameters, inputs), -1))
        hidden = edited(edits, "hidden", self.composing.combined(*both.chunk(2, -1)))
        return {"embeddings": both, "hidden": hidden, "logits": edited(edits, "logits", read_out(parameters, hidden))}


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """How options say that a pair of tokens is trained."""
    return Recipe(**{name: options[name] for name in ("steps", "lr", "weight_decay", "batch", "decay")})


def split_rows(
    name: str,
    rows: Int[Tensor, "rows places"],
    labels: Int[Tensor, " rows"],
    share: float,
    members: int,
    *key: str | int,
    test_rows: int | None = None,
    part: Int[Tensor, " rows"] | None = None,
) -> Task:
    """A share of the rows for training, drawn for each member from the stream (key, member), the others held out.

    At most `test_rows` of those stay, which spares time. `part` is as in `Examples`. Raises ValueError, which tells
    `name`, where nothing would be trained on or held out.
    """
    train, test = split_orders(name, len(rows), share, [stream(*key, member) for member in range(members)])
    halves = [
        Examples(rows[chosen], labels[chosen], None if part is None else part[chosen])
        for chosen in (train, test[:, :test_rows])
    ]
    return Task(*halves)
