"""What should make a reader of a comparison careful?"""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Bool
from torch import Tensor

from homolog.alignment.similarity import cosine
from homolog.comparing.chance import smallest_share
from homolog.comparing.measure import Options, Runs
from homolog.dictionary import Dictionary
from homolog.store.recorded import FEWEST_ROWS

# Rows for each unit: fewer than these tell the spectrum roughly.
ENOUGH_ROWS = 10
# Two directions with a larger cosine are one: for independent ones it is out of reach in more than a few dimensions.
IDENTICAL = 0.999
# Shares above which it is told: of latents too rare to compare, and of dead latents (or all) that are identical.
MANY = 0.1
# Median cosine of live latents with their own start above which a dictionary has hardly been trained.
UNMOVED = 0.98
# Share of comparisons that may have to be clear for any to be found.
MOST = 0.25


def warnings(runs: Runs, options: Options) -> list[str]:
    """One line each."""
    found = []
    samples, units = runs.rows[0].whole.samples, max(rows.whole.units for rows in runs.rows)
    if samples < ENOUGH_ROWS * units and options.null == "spectrum":
        found.append(
            f"{samples / units:.1f} rows per unit, fewer than {ENOUGH_ROWS}: the spectrum, and so the null, is known "
            "roughly; give more rows"
        )
    live = [int(runs.side(i).live.sum()) for i in range(len(runs))]
    share = smallest_share(min(live), options.draws, sum(live) * (len(runs) - 1))
    if share > MOST:
        found.append(
            f"{options.draws} draws of the null are few: unless {min(share, 1):.0%} of all comparisons are clear, none "
            "is found; leave out null_draws"
        )
    for i, name in enumerate(runs.names):
        side = runs.side(i)
        rare = int(((side.rates > 0).sum(0) == 1).sum())
        if rare > MANY * side.latents:
            found.append(
                f"{rare} of {side.latents} latents of {name} fire in one half of the rows only: give more rows"
            )
        if hardly_moved(side.dictionary, side.live):
            found.append(
                f"latents of {name} hardly left their start (median cosine with it above {UNMOVED}): what it shares "
                "may be a shared initialisation; train longer, or start others elsewhere"
            )
        if runs.refits[i].projected:
            found.append(f"{name} is directions alone: its codes are projections, of any sign")
    for i, j in combinations(range(len(runs)), 2):
        found += _identical(runs, i, j)
    found += [f"{view} isn't identified: nothing fixes the basis of two runs" for view in options.not_identified]
    return found


def hardly_moved(dictionary: Dictionary, live: Bool[Tensor, " latents"]) -> bool:
    """Whether a trained dictionary still is its initialisation, as far as that is known (`moved`)."""
    return dictionary.moved is not None and bool(1 - dictionary.moved[live].median() > UNMOVED)


def _identical(runs: Runs, i: int, j: int) -> list[str]:
    """Dead latents that are alike were left where both started; live ones that are, are one dictionary given twice."""
    a, b = runs.side(i), runs.side(j)
    if runs.rows[i].whole.units != runs.rows[j].whole.units:
        return []
    found = []
    for kind, chosen in (("dead", [(side.rates == 0).all(0) for side in (a, b)]), ("live", [a.live, b.live])):
        smaller = min(int(one.sum()) for one in chosen)
        equal = 0
        for part in torch.split(a.dictionary.directions[chosen[0]], 1024):
            likeness = cosine(part, b.dictionary.directions[chosen[1]])
            equal += int((likeness > IDENTICAL).any(1).sum()) if smaller else 0
        if equal > max(1, MANY * smaller) if kind == "dead" else smaller and equal == smaller:
            suspicion = "a shared initialisation?" if kind == "dead" else "one dictionary, given twice?"
            found.append(f"{equal} {kind} latents of {runs.names[i]} and {runs.names[j]} are identical: {suspicion}")
    return found


def check_rows_per_unit(runs: Runs, null: str) -> None:
    """Raise ValueError where rows are too few for the spectrum of the data."""
    for name, rows in zip(runs.names, runs.rows, strict=True):
        samples, units = rows.whole.samples, rows.whole.units
        if null == "spectrum" and samples < FEWEST_ROWS * units:
            raise ValueError(
                f"{name} has {samples} rows of {units} units, and its spectrum takes at least {FEWEST_ROWS} rows per "
                f"unit ({FEWEST_ROWS * units}): give more rows, or null='permutation', which needs none."
            )
    if int(torch.tensor([rows.whole.samples for rows in runs.rows]).min()) < 4:
        raise ValueError(f"{runs.rows[0].whole.samples} rows make no two halves to choose and to score on: give more.")
