"""Which irreps do permutations of five things have, all of them (S5) or the even ones (A5)?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import permutations

import torch
from jaxtyping import Int
from torch import Tensor

from homolog.groups.base import Group

POINTS = 5
GOLDEN = (1 + math.sqrt(5)) / 2
# By cycle type. Source: Fulton & Harris, Representation theory (1991), 3.1.
_CYCLES = ((1, 1, 1, 1, 1), (2, 1, 1, 1), (2, 2, 1), (3, 1, 1), (3, 2), (4, 1), (5,))
_S5 = {
    "1": (1, 1, 1, 1, 1, 1, 1),
    "sign": (1, -1, 1, 1, -1, -1, 1),
    "4": (4, 2, 0, 1, -1, 0, -1),
    "4 sign": (4, -2, 0, 1, 1, 0, -1),
    "5": (5, 1, 1, -1, 1, -1, 0),
    "5 sign": (5, -1, 1, -1, -1, 1, 0),
    "6": (6, 0, -2, 0, 0, 0, 1),
}
# The 5-cycles of A5 fall into two classes, those conjugate to (01234) and to its square.
_A5 = {
    "1": (1, 1, 1, 1, 1),
    "3": (3, -1, 0, GOLDEN, 1 - GOLDEN),
    "3'": (3, -1, 0, 1 - GOLDEN, GOLDEN),
    "4": (4, 0, 1, -1, -1),
    "5": (5, 1, -1, 0, 0),
}
_A5_CLASSES = ((1, 1, 1, 1, 1), (2, 2, 1), (3, 1, 1))
Permutation = tuple[int, ...]
# Images of 0 to 4 under elements that generate it.
SUBGROUPS: dict[str, tuple[Permutation, ...]] = {
    "A5": ((1, 2, 3, 4, 0), (1, 2, 0, 3, 4)),
    "S4": ((1, 2, 3, 0, 4), (1, 0, 2, 3, 4)),
    "A4": ((1, 2, 0, 3, 4), (1, 0, 3, 2, 4)),
    "F20": ((1, 2, 3, 4, 0), (0, 2, 4, 1, 3)),
    "D5": ((1, 2, 3, 4, 0), (0, 4, 3, 2, 1)),
    "S3xS2": ((1, 2, 0, 3, 4), (1, 0, 2, 3, 4), (0, 1, 2, 4, 3)),
}
"""Subgroups of S5 by name: the even permutations, those that fix 4, affine maps modulo 5, ..."""


@cache
def symmetric() -> Group:
    """S5: all 120 permutations, the even ones first; ``(a b)(i) = a(b(i))``."""
    elements = _elements()
    kinds = [_CYCLES.index(_cycle_type(one)) for one in elements]
    characters = torch.tensor(list(_S5.values()), dtype=torch.float64)[:, kinds]
    return Group("S5", _table(elements), tuple(_S5), _dims(_S5), characters)


@cache
def alternating() -> Group:
    """A5: the 60 even permutations, numbered as in `symmetric`."""
    elements = _elements()[:60]
    rotated = _class_of((1, 2, 3, 4, 0), elements)
    kinds = [
        _A5_CLASSES.index(_cycle_type(one)) if _cycle_type(one) in _A5_CLASSES else 3 + (one not in rotated)
        for one in elements
    ]
    characters = torch.tensor(list(_A5.values()), dtype=torch.float64)[:, kinds]
    return Group("A5", _table(elements), tuple(_A5), _dims(_A5), characters)


def subgroup(name: str) -> Int[Tensor, " elements"]:
    """Numbers of the elements that a subgroup of S5 has, in ascending order. Raises ValueError for unknown names."""
    if name not in SUBGROUPS:
        raise ValueError(f"subgroup {name} of S5 isn't known; allowed: {', '.join(SUBGROUPS)}: name one.")
    found: set[Permutation] = {tuple(range(POINTS))}
    new = list(found)
    while new:
        reached = {_after(one, generator) for one in new for generator in SUBGROUPS[name]}
        new = list(reached - found)
        found |= reached
    numbers = {one: index for index, one in enumerate(_elements())}
    return torch.tensor(sorted(numbers[one] for one in found))


def _elements() -> list[Permutation]:
    return sorted(permutations(range(POINTS)), key=lambda one: (_odd(one), one))


def _odd(one: Permutation) -> bool:
    return sum(one[i] > one[j] for i in range(POINTS) for j in range(i + 1, POINTS)) % 2 == 1


def _after(first: Permutation, second: Permutation) -> Permutation:
    return tuple(first[second[i]] for i in range(POINTS))


def _table(elements: list[Permutation]) -> Int[Tensor, "elements elements"]:
    number = {one: index for index, one in enumerate(elements)}
    return torch.tensor([[number[_after(a, b)] for b in elements] for a in elements])


def _cycle_type(one: Permutation) -> tuple[int, ...]:
    left, lengths = set(range(POINTS)), []
    while left:
        start = point = min(left)
        length = 0
        while length == 0 or point != start:
            left.discard(point)
            point, length = one[point], length + 1
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


def _class_of(one: Permutation, elements: list[Permutation]) -> set[Permutation]:
    """All that are conjugate to it within `elements`."""
    inverse = {g: tuple(sorted(range(POINTS), key=g.__getitem__)) for g in elements}
    return {_after(_after(g, one), inverse[g]) for g in elements}


def _dims(characters: Mapping[str, tuple[float, ...]]) -> tuple[int, ...]:
    return tuple(int(values[0]) for values in characters.values())
