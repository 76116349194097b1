"""How many samples does a library need, against ours, to be equally good: to reach one held-out FVU at one L0?

A library is judged by its finished trainings of several lengths, each with the whole schedule, so that none is stopped
before its learning rate has fallen. The two that are compared reach the worse of their FVUs after the longest training:
the better one has come there earlier, and how much earlier is read off its own lengths. Where sparsity is set by a
penalty each length is trained at several of them, and FVU is read at one L0 that all these frontiers span.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

# By length in steps: (FVU, L0) of each member on held-out rows.
Trainings = dict[int, list[tuple[float, float]]]


@dataclass(frozen=True)
class Equal:
    """Steps that it needs over steps that we need to reach `fvu`, at `l0` active latents a row.

    `bound` is ``>=`` or ``<=`` where one of the two had come there with its shortest training already, ``?`` where both
    had.
    """

    fvu: float
    l0: float
    ratio: float
    bound: str = ""


def compare(ours: Trainings, its: Trainings) -> Equal | None:
    """One seed's comparison, dead members left out; None where the two have no L0 in common."""
    ours, its = ({steps: [p for p in points if p[1] > 0] for steps, points in each.items()} for each in (ours, its))
    l0 = common_l0([*ours.values(), *its.values()])
    if l0 is None:
        return None
    curves = [{steps: fvu_at(points, l0) for steps, points in sorted(each.items())} for each in (ours, its)]
    level = max(curve[max(curve)] for curve in curves)
    (we, we_early), (it, it_early) = (steps_to(level, curve) for curve in curves)
    bounds = {(False, False): "", (True, False): ">=", (False, True): "<=", (True, True): "?"}
    return Equal(level, l0, it / we, bounds[we_early, it_early])


def common_l0(frontiers: list[list[tuple[float, float]]]) -> float | None:
    """The geometric middle of the L0 that all frontiers span, or None; of lone members the mean of their L0s."""
    spans = [[l0 for _, l0 in points] for points in frontiers]
    if not all(spans):
        return None
    if all(len(span) == 1 for span in spans):
        return sum(span[0] for span in spans) / len(spans)
    low, high = max(map(min, spans)), min(map(max, spans))
    return math.sqrt(low * high) if low <= high else None


def fvu_at(points: list[tuple[float, float]], l0: float) -> float:
    """FVU between the frontier's two neighbours of `l0`, linear in log L0; a lone member's own."""
    points = sorted(points, key=lambda point: point[1])
    for (below, lower), (above, upper) in pairwise(points):
        if lower <= l0 <= upper and lower < upper:
            return below + (above - below) * math.log(l0 / lower) / math.log(upper / lower)
    return points[0][0]


def steps_to(level: float, curve: dict[int, float]) -> tuple[float, bool]:
    """The length at which FVU comes down to `level`, between lengths by a power law; and whether the shortest does.

    `level` isn't below the FVU of the longest.
    """
    lengths = sorted(curve)
    if curve[lengths[0]] <= level:
        return lengths[0], True
    first = next(i for i, length in enumerate(lengths) if curve[length] <= level)
    before, after = lengths[first - 1], lengths[first]
    share = math.log(curve[before] / level) / math.log(curve[before] / curve[after])
    return before * (after / before) ** share, False
