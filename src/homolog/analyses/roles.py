"""What stands beside an observed similarity: every null, the network and the method before training, the ceiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from homolog.alignment.random_dictionaries import ISOTROPIC, SPECTRAL
from homolog.alignment.views.base import View
from homolog.analyses.comparison import (
    CONDITIONAL,
    NULL,
    OBSERVED,
    Fitted,
    Similarity,
    compare,
    refits,
    same_members,
    turns_dictionary,
)

ROLES = (
    "observed", "null", "isotropic", "spectral", "gaussian", "conditional_null", "initial", "step_0", "ceiling",
)  # fmt: skip
# Of nulls that are only shown, so many draws for each of `null_draws`.
FEWER = 4


@dataclass
class Sources:
    """One decomposition of all runs: as fitted, before its own training, and fitted to Gaussian samples instead."""

    fitted: dict[str, Fitted]
    start: dict[str, Fitted]
    gaussian: dict[str, Fitted]


def measure_roles(
    spec: dict[str, Any], hook_point: str, sources: Sources, view: View, ranks: int
) -> dict[str, np.ndarray]:
    """One decomposition in one view: ``<role>_by_pair`` (pair, matching), ``<role>_by_pair_and_rank``, ``gauge``."""
    matchings = spec["options"]["matchings"]

    def between(a: Fitted | None, b: Fitted | None, kind: str = OBSERVED, draws: int = 1) -> Similarity:
        if a is None or b is None:
            return Similarity(np.full(len(matchings), np.nan), np.full(ranks, np.nan))
        return compare(view, a, b, refits(a, b), matchings, ranks, kind, draws)

    runs = dict.fromkeys(pair[side] for pair in spec["pairs"] for side in ("a", "b"))
    same = {run: between(sources.fitted[run], sources.fitted[run]) for run in runs}
    pairs = [_of_pair(spec, pair, sources, view, between, same) for pair in spec["pairs"]]
    cell = {f"{name}_by_pair": np.stack([pair[name].by_matching for pair in pairs]) for name in ROLES}
    cell |= {f"{name}_by_pair_and_rank": np.stack([pair[name].by_rank for pair in pairs]) for name in ROLES}
    if hook_point in spec["controls"]:
        run, regauged = (sources.fitted[name] for name in spec["controls"][hook_point])
        cell["gauge"] = compare(view, run, regauged, same_members(run, regauged), matchings, ranks).by_matching
    else:
        cell["gauge"] = np.full(len(matchings), np.nan)
    for one in (*sources.fitted.values(), *sources.start.values(), *sources.gaussian.values()):
        one.forget()
    return cell


def _of_pair(
    spec: dict[str, Any],
    pair: dict[str, str],
    sources: Sources,
    view: View,
    between: Callable[..., Similarity],
    same: dict[str, Similarity],
) -> dict[str, Similarity]:
    draws = spec["options"]["null_draws"]
    fewer = max(1, draws // FEWER)
    a, b = pair["a"], pair["b"]
    own, other = sources.fitted[a], sources.fitted[b]
    null = between(own, other, NULL, draws)
    return {
        "observed": between(own, other),
        "null": null,
        "isotropic": between(own, other, ISOTROPIC, fewer),
        "spectral": null if turns_dictionary(view) else between(own, other, SPECTRAL, fewer),
        "gaussian": between(own, sources.gaussian.get(b)),
        "conditional_null": between(own, other, CONDITIONAL, draws),
        "initial": between(sources.fitted.get(pair["initial_a"]), sources.fitted.get(pair["initial_b"])),
        "step_0": between(sources.start.get(a), sources.start.get(b)),
        "ceiling": Similarity((same[a].by_matching + same[b].by_matching) / 2, (same[a].by_rank + same[b].by_rank) / 2),
    }
