"""By which names of its elements does a group's table stay what it is?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.groups.base import Group


@dataclass(frozen=True)
class Relabelling:
    """Permutations of left tokens, right tokens and results, with ``table[left[a], right[b]] = results[table[a, b]]``.

    A training that knows tokens by number alone is as likely to end in a network as in the same one relabelled.
    """

    left: Int[Tensor, " elements"]
    right: Int[Tensor, " elements"]
    results: Int[Tensor, " elements"]

    def of_pairs(self, values: Float[Tensor, "*many elements elements"]) -> Float[Tensor, "*many elements elements"]:
        """Functions on pairs, at the relabelled ones."""
        return values[..., self.left[:, None], self.right]

    def of_results(self, values: Float[Tensor, "*many elements"]) -> Float[Tensor, "*many elements"]:
        """Functions on results, at the relabelled ones."""
        return values[..., self.results]


def relabelling(group: Group, generator: torch.Generator) -> Relabelling:
    """A random one: ``a -> x a y^-1``, ``b -> y b z``, ``c -> x c z``; inner automorphisms are among these.

    Of a commutative group ``a -> x m(a)`` for both places, so that mirror images stay mirror images, with a random
    automorphism m where it is cyclic: multiplication by a number that shares no factor with the order.
    """
    x, y, z = torch.randint(group.order, (3,), generator=generator).tolist()
    table, every = group.table, torch.arange(group.order)
    if group.commutative:
        moved = table[x][_multiplied(group, every, generator)]
        results = torch.empty_like(every)
        results[table] = table[moved[:, None], moved]
        return Relabelling(moved, moved, results)
    back = int(group.inverse[y])
    return Relabelling(table[table[x], back], table[table[y], z], table[table[x], z])


def _multiplied(group: Group, every: Int[Tensor, " elements"], generator: torch.Generator) -> Int[Tensor, " elements"]:
    if not group.name.startswith("Z"):
        return every
    units = [number for number in range(1, group.order) if math.gcd(number, group.order) == 1]
    by = units[int(torch.randint(len(units), (1,), generator=generator))]
    return every * by % group.order
