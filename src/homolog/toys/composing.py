"""How do networks learn a group's operation, from pairs of tokens to the token of the result?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.groups.base import Group
from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, cross_entropies, train_members

Combining = Literal["relu", "square", "product"]


@dataclass(frozen=True)
class Composing:
    """Two tokens in, logits of the result out, through one hidden layer.

    The embeddings of both tokens are added and pass a ReLU (`relu`) or are squared (`square`, as of Gromov, 2023), or
    are multiplied unit by unit (`product`). Where `tied` both places share one embedding, as a commutative operation
    may have it.
    """

    tokens: int
    classes: int
    width: int
    combine: Combining = "relu"
    tied: bool = False

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Parameters before training, each member's drawn alone: normal, so that the hidden layer begins at a scale of
        order ``1 / sqrt(width)``, or ``1 / width`` where it is of second order in the embeddings."""
        spread = self.width**-0.5
        places = ("left",) if self.tied else ("left", "right")
        wide = 1.2 if self.combine == "product" else 1.0
        drawn = {
            place: wide * spread * torch.randn(members, self.tokens, self.width, generator=generator)
            for place in places
        }
        out = spread * torch.randn(members, self.width, self.classes, generator=generator)
        return drawn | {"out": out, "out_bias": torch.zeros(members, self.classes)}

    def embedded(
        self, parameters: Parameters, pairs: Int[Tensor, "members rows 2"]
    ) -> tuple[Float[Tensor, "members rows width"], Float[Tensor, "members rows width"]]:
        """What stands for the left and for the right token."""
        left = parameters["left"]
        return looked_up(left, pairs[..., 0]), looked_up(parameters.get("right", left), pairs[..., 1])

    def hidden(
        self, parameters: Parameters, pairs: Int[Tensor, "members rows 2"]
    ) -> Float[Tensor, "members rows width"]:
        """The hidden layer of each pair."""
        return self.combined(*self.embedded(parameters, pairs))

    def combined(
        self, left: Float[Tensor, "*members rows width"], right: Float[Tensor, "*members rows width"]
    ) -> Float[Tensor, "*members rows width"]:
        """The hidden layer of what stands for two tokens."""
        if self.combine == "product":
            return left * right
        return (left + right) ** 2 if self.combine == "square" else (left + right).relu()

    def logits(
        self, parameters: Parameters, pairs: Int[Tensor, "members rows 2"]
    ) -> Float[Tensor, "members rows classes"]:
        """Logits of each result."""
        return read_out(parameters, self.hidden(parameters, pairs))


def read_out(
    parameters: Parameters, hidden: Float[Tensor, "members rows width"]
) -> Float[Tensor, "members rows classes"]:
    """The affine map from the hidden layer to the logits."""
    return torch.baddbmm(parameters["out_bias"][:, None], hidden, parameters["out"])


CORE = ("out", "out_bias")
"""All parameters but the embeddings."""


def train_composing(
    network: Composing,
    begun: Parameters,
    train: Examples,
    options: Mapping[str, Any],
    steps: int,
    watch: Callable[[Parameters, int], None],
    progress: Progress = iter,
    frozen: Collection[str] = (),
) -> Parameters:
    """Networks that learn their pairs, all of them at each step, by `options` ``lr`` and ``weight_decay``."""

    def losses(parameters: Parameters, step: int) -> Tensor:
        # What gets no gradient isn't stepped, so that it doesn't decay either.
        now = {name: one.detach() if name in frozen else one for name, one in parameters.items()}
        return cross_entropies(network.logits(now, train.pairs), train.labels)

    lr, weight_decay = options["lr"], options["weight_decay"]
    rest: dict[str, Any] = {"weight_decay": weight_decay, "warm_up": 0.03, "decay": False}
    return train_members(begun, losses, steps, lr, **rest, watch=watch, progress=progress)


def reached_at(
    accuracy: Float[np.ndarray, "... steps"], steps: Int[np.ndarray, " steps"], level: float
) -> Float[np.ndarray, ...]:
    """The first measured step from which on an accuracy stays at `level` or above; NaN where it never does."""
    stays = np.flip(np.logical_and.accumulate(np.flip(accuracy >= level, -1), axis=-1), -1)
    return np.where(stays.any(-1), np.asarray(steps)[stays.argmax(-1)], np.nan)


def looked_up(
    embedding: Float[Tensor, "members tokens width"], tokens: Int[Tensor, "members rows"]
) -> Float[Tensor, "members rows width"]:
    """Rows of each member's own embedding."""
    members, count, width = embedding.shape
    offsets = torch.arange(members)[:, None] * count
    return functional.embedding(tokens + offsets, embedding.reshape(members * count, width))


@dataclass(frozen=True)
class Examples:
    """Pairs of tokens and their results, a table of its own for each member."""

    pairs: Int[Tensor, "members rows 2"]
    labels: Int[Tensor, "members rows"]

    def joined(self, other: Examples) -> Examples:
        """Those of more members, behind its own."""
        return Examples(torch.cat([self.pairs, other.pairs]), torch.cat([self.labels, other.labels]))


@dataclass(frozen=True)
class Split:
    """What networks are trained on, and what is held out of that."""

    train: Examples
    test: Examples


def distinct_pairs(group: Group) -> Int[Tensor, "pairs 2"]:
    """All ordered pairs of elements; of a commutative group unordered ones, since a mirror image would tell."""
    every = torch.ones(group.order, group.order, dtype=torch.bool)
    return (every.triu() if group.commutative else every).nonzero()


def split_pairs(group: Group, share: float, members: int, *key: str | int, shuffled: bool = False) -> Split:
    """A share of the distinct pairs for training, drawn for each member from the stream (key, member).

    `shuffled`: their results are permuted over all pairs: the null, in which there is nothing to generalise. Raises
    ValueError where either part would be empty.
    """
    pairs = distinct_pairs(group)
    results = group.table[pairs[:, 0], pairs[:, 1]]
    generators = [stream(*key, member) for member in range(members)]
    parts = split_orders(group.name, len(pairs), share, generators)
    labels = torch.stack(
        [results[torch.randperm(len(pairs), generator=one)] if shuffled else results for one in generators]
    )
    train, test = (Examples(pairs[part], labels.gather(1, part)) for part in parts)
    return Split(train, test)


def split_orders(
    name: str, rows: int, share: float, generators: Sequence[torch.Generator]
) -> tuple[Int[Tensor, "members train"], Int[Tensor, "members test"]]:
    """Numbers of the rows that are trained on, a share of them, and of the others: drawn for each member alone.

    Raises ValueError, which tells `name`, where either part would be empty.
    """
    count = round(share * rows)
    if not 0 < count < rows:
        raise ValueError(
            f"{name}: a share of {share:g} of {rows} distinct pairs leaves {count} for training and "
            f"{rows - count} for the test; both need some: change share."
        )
    order = torch.stack([torch.randperm(rows, generator=one) for one in generators])
    return order[:, :count], order[:, count:]


def all_pairs(group: Group, members: int) -> Int[Tensor, "members pairs 2"]:
    """Every ordered pair, row by row of the table."""
    return torch.ones_like(group.table).nonzero().expand(members, -1, 2)
