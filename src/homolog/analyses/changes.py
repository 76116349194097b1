"""What became of each latent when a layer was retrained or widened, a network was trained, or a dictionary grew?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from homolog.alignment.matching import Matched, match
from homolog.alignment.transitions import Transitions, transitions
from homolog.analyses.consensus import Series
from homolog.analyses.scores import Codes, correlate
from homolog.streams import stream

# Each latent of each draw is one null similarity.
DRAWS = 20
FATES = {"before": ("kept", "split", "gone"), "after": ("merged", "born")}
Change = dict[str, Any]


def changes_of(spec: dict[str, Any], series: dict[str, Series], hook_point: str, runs: list[str]) -> list[Change]:
    """Every change between dictionaries that there are: of runs, by planning's list, and of sizes within each run."""
    counted = set(runs)
    rejected = set(spec["runs"]) - counted
    found = []
    for one in spec["changes"]:
        # A run at its step 0 isn't among the compared ones: it has nothing to match.
        if one["after"] in counted and one["before"] not in rejected:
            found += [{**one, "decomposition_before": label, "decomposition_after": label} for label in series]
    for narrow, wide in spec["wider"]:
        for run in runs:
            labels = {"decomposition_before": narrow, "decomposition_after": wide}
            found.append({"kind": "wider dictionary", "group": "", "before": run, "after": run, **labels})
    return [{"hook_point": hook_point, **one} for one in found]


def follow(change: Change, series: dict[str, Series], level: float) -> xr.Dataset | None:
    """Splits, merges, births and deaths between two dictionaries, and how many of each the null has.

    None where one of them has no live latent.
    """
    before, after = series[change["decomposition_before"]], series[change["decomposition_after"]]
    a, b = before.first(change["before"]), after.first(change["after"])
    if not (a.live.any() and b.live.any()):
        return None
    key = [str(change[name]) for name in ("hook_point", "decomposition_after", "before", "after")]
    draws = [b.shuffled(stream("changes", *key, draw), within_class=False) for draw in range(DRAWS)]
    null = [both_ways(a, draw, before.signed) for draw in draws]
    found = transitions(*both_ways(a, b, before.signed), null, level)
    by_chance = [transitions(*draw, null, level) for draw in null]
    labels = {"latent_before": np.arange(len(a.live)), "latent_after": np.arange(len(b.live))}
    named = {f"change_{name}": value for name, value in change.items()}
    return xr.Dataset({**dict(_described(found, by_chance, a, b)), **named}, labels)


def both_ways(a: Codes, b: Codes, signed: bool) -> tuple[Matched, Matched]:
    """The best match of each live latent on the other side; holds the matrix of similarities."""
    selection, scoring = correlate(a, b, signed)
    forward, backward = (match(selection, scoring, name) for name in ("best_a_to_b", "best_b_to_a"))
    return forward, backward


def _described(
    found: Transitions, by_chance: list[Transitions], a: Codes, b: Codes
) -> Iterator[tuple[str, tuple[tuple[str, ...], np.ndarray] | float]]:
    """Shares of live latents with each fate, and by latent of the whole dictionaries who came from whom."""
    for side, names in FATES.items():
        for name in names:
            yield name, float(getattr(found, name).mean())
            yield f"null_{name}", float(np.mean([getattr(one, name).mean() for one in by_chance]))
        yield f"live_{side}", float((a if side == "before" else b).live.sum())
    for name, mine, other, side in (("child", a, b, "before"), ("parent", b, a, "after")):
        relative, live = getattr(found, name), np.flatnonzero(mine.live)
        whole = np.full(len(mine.live), -1)
        whole[live] = np.where(relative >= 0, np.flatnonzero(other.live)[relative], -1)
        yield name, ((f"latent_{side}",), whole)
        for fact in ("similarity", "p_value"):
            values = np.full(len(mine.live), np.nan)
            values[live] = getattr(found, f"{name}_{fact}")
            yield f"{name}_{fact}", ((f"latent_{side}",), values)
