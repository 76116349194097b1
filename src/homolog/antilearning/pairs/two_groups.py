"""A network that composes within two groups: has it learned to compose in a larger group that contains both?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.pairs.a5_s5 import irreps
from homolog.antilearning.tokens import Composed, recipe_of, split_rows
from homolog.groups.named import named
from homolog.groups.permutations import subgroup
from homolog.toys.composing import Composing, distinct_pairs


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """X: pairs within the first or within the second subgroup of S5; Y: all other pairs of S5.

    The product of an element of the first group alone and one of the second alone lies in neither (else one of the two
    would lie in both), so that no result of X answers it. Raises ValueError for subgroups one of which holds the other.
    """
    whole = named("S5")
    names = options["groups"]
    rows = distinct_pairs(whole)
    labels = whole.table[rows[:, 0], rows[:, 1]]
    inside = within_one(rows, names)
    return TaskPair(
        name="two_groups",
        network=Composed(Composing(whole.order, whole.order, options["width"], options["combine"])),
        classes=whole.order,
        x=split_rows(" and ".join(names), rows[inside], labels[inside], options["share"], members, *key, "x"),
        y=split_rows(
            "S5 without them",
            rows[~inside],
            labels[~inside],
            options["y_share"],
            members,
            *key,
            "y",
            test_rows=options["test_rows"],
        ),
        recipe=recipe_of(options),
        energies=partial(irreps, groups=(whole,)),
        facts={"X": " and ".join(names), "Y": "S5", "pairs of X": int(inside.sum()), "chance": 1 / whole.order},
    )


def within_one(rows: Tensor, names: Sequence[str]) -> Bool[Tensor, " rows"]:
    """Whether both elements of a pair lie in one of two subgroups of S5.

    Raises ValueError where one of them holds the other: then there is one group only.
    """
    parts = [subgroup(name) for name in names]
    smaller, larger = sorted(range(2), key=lambda index: len(parts[index]))
    if torch.isin(parts[smaller], parts[larger]).all():
        raise ValueError(
            f"two_groups: {names[larger]} contains {names[smaller]}, so that X would be one group; "
            "name two of which neither holds the other, such as A5 and S4."
        )
    both = [torch.isin(rows, part).all(1) for part in parts]
    return both[0] | both[1]
