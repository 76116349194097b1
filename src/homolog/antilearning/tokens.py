"""How does a network of tokens show its layers, and which tuples of tokens may it learn from?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import Examples, Task
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
        self, parameters: Parameters, inputs: Int[Tensor, "members rows 2"]
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        """Each of `layers` at pairs of tokens."""
        left, right = self.composing.embedded(parameters, inputs)
        hidden = self.composing.combined(left, right)
        return {
            "embeddings": torch.cat([left, right], -1),
            "hidden": hidden,
            "logits": read_out(parameters, hidden),
        }


def split_rows(
    name: str,
    rows: Int[Tensor, "rows places"],
    labels: Int[Tensor, " rows"],
    share: float,
    members: int,
    *key: str | int,
    test_rows: int | None = None,
) -> Task:
    """A share of the rows for training, drawn for each member from the stream (key, member), the others held out.

    At most `test_rows` of those stay, which spares time. Raises ValueError, which tells `name`, where either part would
    be empty.
    """
    train, test = split_orders(name, len(rows), share, [stream(*key, member) for member in range(members)])
    kept = test[:, :test_rows]
    return Task(Examples(rows[train], labels[train]), Examples(rows[kept], labels[kept]))


def check_apart(
    name: str, x: Int[Tensor, "x_rows places"], y: Int[Tensor, "y_rows places"], commutes: bool = False
) -> None:
    """Raises ValueError where a row of Y is one of X too, or is its mirror image in the first two places where those
    commute: then X would give it away."""
    known = set(_rows(x)) | (set(_rows(_mirrored(x))) if commutes else set())
    shared = [row for row in _rows(y) if row in known]
    if shared:
        raise ValueError(
            f"{name}: Y has {len(shared)} of X's rows, such as {shared[0]}, so that learning X would teach them; "
            "a row may stand in one of both: take it out of Y."
        )


def _mirrored(rows: Int[Tensor, "rows places"]) -> Int[Tensor, "rows places"]:
    return torch.cat([rows[:, :2].flip(1), rows[:, 2:]], 1)


def _rows(rows: Int[Tensor, "rows places"]) -> Sequence[tuple[int, ...]]:
    return [tuple(row) for row in rows.tolist()]
