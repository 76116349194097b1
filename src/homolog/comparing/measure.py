"""Every pair of runs in every view: what was observed, what chance gives, and what refits of one run reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.comparing.blocks import compare_subspaces
from homolog.comparing.chance import against_null, chance_sides, within_labels
from homolog.comparing.dictionaries import Refits
from homolog.comparing.rows import Rows
from homolog.comparing.views import (
    CODES,
    MAPPED,
    RANKS,
    SHARED,
    Maps,
    Scored,
    Side,
    compare_codes,
    compare_directions,
    fit_maps,
)
from homolog.dictionary import Dictionary

Progress = Callable[[Iterable[Any]], Iterable[Any]]
# Draws of the conditional null: its mean is shown, and no latent is held against it.
LABEL_DRAWS = 10


@dataclass(frozen=True)
class Options:
    """What was asked for: views in order, those to show though they aren't identified, how pairs are chosen, null."""

    views: list[str]
    not_identified: list[str]
    matching: str
    null: str
    draws: int
    seed: int


@dataclass(frozen=True)
class Held:
    """One ordered pair of runs in one view: observed, and beside it what the null gives each latent."""

    observed: Scored
    null: Float[Tensor, " latents"]
    quantile: Float[Tensor, " latents"]
    p: Float[Tensor, " latents"]
    drawn: Float[Tensor, "draws latents"]


# Similarity of each latent of i, by view, i and j.
Likeness = dict[tuple[str, int, int], Float[Tensor, " latents"]]


@dataclass
class Runs:
    """All runs: their dictionaries on their rows, and the number of the run whose basis each one shares."""

    names: list[str]
    refits: list[Refits]
    rows: list[Rows]
    basis: list[int]
    device: str | torch.device = "cpu"
    _sides: dict[tuple[int, int], Side] = field(default_factory=dict)
    _maps: dict[tuple[int, int], dict[str, Maps]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def side(self, run: int, member: int = 0) -> Side:
        if (run, member) not in self._sides:
            self._sides[run, member] = Side.of(self.refits[run].members[member], self.rows[run], self.device)
        return self._sides[run, member]

    def one_basis(self, i: int, j: int) -> bool:
        return self.basis[i] == self.basis[j]

    def maps(self, i: int, j: int, view: str) -> Maps | None:
        """The map from j's units to i's for a view that needs one; between refits of a run, none."""
        if view not in MAPPED or self.one_basis(i, j):
            return None
        if (i, j) not in self._maps:
            self._maps[i, j] = fit_maps(self.rows[i], self.rows[j])
        return self._maps[i, j][view]

    def has(self, view: str, i: int, j: int) -> bool:
        """Whether the view can be computed for these two, identified or not."""
        equal = self.rows[i].whole.units == self.rows[j].whole.units
        own = not (self.refits[i].projected or self.refits[j].projected)
        first = [self.refits[k].members[0] for k in (i, j)]
        sparse, ordered = all(one.activation != "identity" for one in first), all(one.ordered for one in first)
        rules = {"jaccard": sparse, RANKS: ordered, "neuron": equal, "encoder": equal and own}
        return rules.get(view, view == "score" or (equal and not self.one_basis(i, j)))

    def identified(self, view: str, i: int, j: int) -> bool:
        """Whether the comparison means something: directions as they stand need one basis."""
        return view not in SHARED or self.one_basis(i, j)


def measure(runs: Runs, options: Options, progress: Progress) -> dict[tuple[str, int, int], Held]:
    """By view and ordered pair of runs (i, j): each latent of i with its match in j. Dictionaries of j are turned."""
    observed: dict[tuple[str, int, int], Scored] = {}
    for i, j in combinations(range(len(runs)), 2):
        for view, (forth, back) in _views(runs, options, i, j, runs.side(i), runs.side(j), runs.side(j)).items():
            observed[view, i, j], observed[view, j, i] = forth, back
    # Of each latent with the other dictionary turned, and turned itself with the other as it is.
    others, own = ({key: list[Scored]() for key in observed} for _ in range(2))
    steps = iter(progress(range(len(runs) * options.draws)))
    for j in range(len(runs)):
        for codes, directions in chance_sides(runs.side(j), options.draws, options.null, (options.seed, j)):
            next(steps)
            for i in (i for i in range(len(runs)) if i != j):
                for view, (forth, back) in _views(runs, options, i, j, runs.side(i), codes, directions).items():
                    others[view, i, j].append(forth)
                    own[view, j, i].append(back)
    list(steps)
    return {key: _hold(value, others[key], own[key]) for key, value in observed.items()}


def _hold(observed: Scored, *nulls: list[Scored]) -> Held:
    """Against each of the nulls, and the higher one shown: a latent must be more alike than if either were turned.

    They differ where one of two dictionaries knows the data better than its spectrum tells: what is like it by chance
    is more than what is like a turned one.
    """
    missing = observed.similarity.isnan()
    drawn = [torch.stack([one.similarity for one in null]).masked_fill(missing, torch.nan) for null in nulls]
    held = [against_null(observed, null) for null in nulls]
    higher = max(range(len(nulls)), key=lambda index: float(drawn[index].nanmean().nan_to_num(0)))
    p = torch.stack([p for p, _ in held]).amax(0)
    return Held(observed, drawn[higher].nanmean(0), held[higher][1], p, drawn[higher])


def explained_by_labels(runs: Runs, options: Options) -> Likeness:
    """By view of codes and ordered pair: how alike the latents are when inputs change places within their labels.

    Pairs are chosen anew in every draw. Empty where no labels were given.
    """
    views = [view for view in options.views if view in CODES]
    drawn: dict[tuple[str, int, int], list[Tensor]] = {}
    for j in range(len(runs)) if views else ():
        for shuffled in within_labels(runs.side(j), LABEL_DRAWS, (options.seed, j)):
            for i in range(j):
                found = compare_codes(runs.side(i), shuffled, options.matching)
                for view in (view for view in views if runs.has(view, i, j)):
                    for key, one in zip(((view, i, j), (view, j, i)), found[view], strict=True):
                        drawn.setdefault(key, []).append(one.similarity)
    return {key: torch.stack(values).nanmean(0) for key, values in drawn.items()}


def _views(
    runs: Runs, options: Options, i: int, j: int, a: Side, codes: Side, directions: Side
) -> dict[str, tuple[Scored, Scored]]:
    """All views of run i (as a) and run j, whose codes and whose directions may come from a draw of the null."""
    wanted = [
        view
        for view in options.views
        if runs.has(view, i, j) and (runs.identified(view, i, j) or view in options.not_identified)
    ]
    found: dict[str, tuple[Scored, Scored]] = {}
    if set(wanted) & set(CODES):
        found = compare_codes(a, codes, options.matching)
    for view in wanted:
        if view == RANKS:
            found[view] = compare_subspaces(a, codes)
        elif view not in CODES:
            found[view] = compare_directions(a, directions, view, options.matching, runs.maps(i, j, view))
    return {view: found[view] for view in wanted}


def refit_pairs(a: list[Dictionary], b: list[Dictionary]) -> list[tuple[int, int]]:
    """Members to compare so that only the run differs: other halves of the data where there are halves, other seeds."""
    facts_a, facts_b = ([(one.member.get("rows", "all"), one.member.get("seed", 0)) for one in side] for side in (a, b))
    halved = all(any(rows in ("a", "b") for rows, _ in facts) for facts in (facts_a, facts_b))
    pairs = [(s, t) for s in range(len(a)) for t in range(len(b)) if s != t]
    if not halved:
        return pairs
    several = len({seed for _, seed in facts_a + facts_b}) > 1
    return [
        (s, t)
        for s, t in ((s, t) for s in range(len(a)) for t in range(len(b)))
        if {facts_a[s][0], facts_b[t][0]} == {"a", "b"} and (facts_a[s][1] != facts_b[t][1] or not several)
    ]


def at_refits(runs: Runs, options: Options, i: int, j: int) -> dict[str, float]:
    """Mean similarity by view between refits of run i and of run j; for j = i the ceiling. Empty without refits."""
    values: dict[str, list[float]] = {}
    for s, t in refit_pairs(runs.refits[i].members, runs.refits[j].members):
        a, b = runs.side(i, s), runs.side(j, t)
        if i == j:
            found = compare_codes(a, b, options.matching) | {
                view: compare_directions(a, b, "encoder" if view == "encoder" else "neuron", options.matching)
                for view in options.views
                if view not in (*CODES, RANKS)
            }
            if RANKS in options.views and runs.has(RANKS, i, i):
                found[RANKS] = compare_subspaces(a, b)
        else:
            found = _views(runs, options, i, j, a, b, b)
        for view, both in found.items():
            if view in options.views and (i != j or view != "jaccard" or runs.has(view, i, i)):
                values.setdefault(view, []).append(mean_similarity(*both))
    return {view: float(np.nanmean(found)) for view, found in values.items() if not np.isnan(found).all()}


def mean_similarity(*both: Scored) -> float:
    """Mean over live latents, of both directions; NaN where nothing is live."""
    return float(torch.stack([one.similarity.nanmean() for one in both]).mean())
