"""A network that composes even permutations of five things: has it learned to compose all of them?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.tokens import Composed, recipe_of, split_rows
from homolog.groups.base import Group, energies
from homolog.groups.named import named
from homolog.toys.composing import Composing, distinct_pairs
from homolog.toys.training import Parameters


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """X: pairs of A5; Y: the pairs of S5 with an odd element among them, in both orders, since S5 doesn't commute.

    An irrep of S5, restricted to A5, is "1", "4", "5" or "3" and "3'" together: one 3-dimensional irrep of A5 extends
    to none (Fulton & Harris, 1991, 5.1). `TaskPair.energies` tells which irreps the embeddings are made of, those of
    even elements by A5's, all of them by S5's.
    """
    even, whole = named("A5"), named("S5")
    rows = distinct_pairs(whole)
    labels = whole.table[rows[:, 0], rows[:, 1]]
    inside = (rows < even.order).all(1)
    return TaskPair(
        name="a5_s5",
        network=Composed(Composing(whole.order, whole.order, options["width"], options["combine"])),
        classes=whole.order,
        x=split_rows("A5", rows[inside], labels[inside], options["share"], members, *key, "x"),
        y=split_rows(
            "S5 without A5",
            rows[~inside],
            labels[~inside],
            options["y_share"],
            members,
            *key,
            "y",
            test_rows=options["test_rows"],
        ),
        recipe=recipe_of(options),
        energies=partial(irreps, groups=(even, whole)),
        facts={"X": "A5, 60 elements", "Y": "S5, 120 elements", "chance": 1 / whole.order},
    )


def irreps(parameters: Parameters, groups: tuple[Group, ...]) -> dict[str, Float[Tensor, " members"]]:
    """Share of the norm of both embeddings that each irrep's projector keeps, by ``<group> <irrep>``."""
    both = torch.cat([parameters["left"], parameters["right"]], -1)
    found: dict[str, Tensor] = {}
    for group in groups:
        shares = energies(group, both[:, : group.order])
        found |= {f"{group.name} {irrep}": shares[:, place] for place, irrep in enumerate(group.irreps)}
    return found
