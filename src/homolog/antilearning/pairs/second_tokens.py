"""A network that composes one set of tokens: has it learned the same operation on a second set?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.tokens import Composed, recipe_of, split_rows
from homolog.groups.base import Group, energies
from homolog.groups.named import named
from homolog.toys.composing import Composing, distinct_pairs
from homolog.toys.training import Parameters

# Frequencies of largest energy that count as those in use.
LARGEST = 8


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """X: pairs of the first tokens; Y: those of the second ones, whose results are the same classes.

    Pairs are unordered where the group commutes. `TaskPair.energies` tells how much of the first and of the second
    embeddings is made of the irreps that the first ones use most.
    """
    group = named(options["group"])
    rows = distinct_pairs(group)
    labels = group.table[rows[:, 0], rows[:, 1]]
    network = Composing(2 * group.order, group.order, options["width"], options["combine"], tied=group.commutative)
    parts = {
        part: split_rows(f"{group.name}, {said} tokens", rows + offset, labels, options[share], members, *key, part)
        for part, said, offset, share in (("x", "first", 0, "share"), ("y", "second", group.order, "y_share"))
    }
    return TaskPair(
        name="second_tokens",
        network=Composed(network),
        classes=group.order,
        x=parts["x"],
        y=parts["y"],
        recipe=recipe_of(options),
        energies=partial(shared_irreps, group=group),
        facts={"group": group.name, "tokens": 2 * group.order, "chance": 1 / group.order},
    )


def shared_irreps(parameters: Parameters, group: Group) -> dict[str, Float[Tensor, " members"]]:
    """Energy in the `LARGEST` irreps of the first tokens' left embeddings: of these, and of the second tokens' ones.

    Random embeddings have ``random``: the sum of the projectors' ranks over the order.
    """
    left = parameters["left"]
    first, second = (energies(group, left[:, start : start + group.order]) for start in (0, group.order))
    used = first.topk(min(LARGEST, len(group.irreps)), dim=1).indices
    return {
        "first": first.gather(1, used).sum(1),
        "second": second.gather(1, used).sum(1),
        "random": group.random_shares[used].sum(1),
    }
