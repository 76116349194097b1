"""Which runs of an experiment are alike to its tracks, and which of its runs and dictionaries became of which?"""

from __future__ import annotations

from homolog.config.decompositions import DecompositionOptions
from homolog.planning.pairs import EARLIER, Pair
from homolog.planning.runs import Spec

# The group of the runs that others were retrained from, beside the conditions.
BASE = "base"
# And that of finished runs which stand in no condition but beside what they were at some step.
FINISHED = "finished"


def groups_of(pairs: list[Pair]) -> list[tuple[str, list[Spec]]]:
    """The bases, if any, and each condition's runs, with unit, base and what they were before training.

    Empty is what there is none of: a base of independent runs, and the step 0 of runs that others recorded.
    """
    groups: dict[str, dict[str, Spec]] = {}
    for pair in pairs:
        base = str(pair.a) if pair.kind == "base-retrained" else ""
        if base:
            as_base = {"run": base, "unit": base, "base": base, "initial": base}
            groups.setdefault(BASE, {})[base] = as_base
        ends = [(pair.b, pair.initial_b, pair.unit_b)]
        if pair.kind == "independent":
            ends.insert(0, (pair.a, pair.initial_a, pair.unit_a))
        elif pair.kind == EARLIER:
            ends = [(pair.a, pair.initial_a, pair.unit_a)]
        if pair.kind != "retrained-retrained":
            for run, initial, unit in ends:
                facts = {"run": str(run), "unit": unit, "base": base, "initial": str(initial or "")}
                groups.setdefault(pair.condition, {})[str(run)] = facts
    grouped = {run for members in groups.values() for run in members}
    for pair in pairs:
        if pair.kind == EARLIER and str(pair.b) not in grouped:
            facts = {"run": str(pair.b), "unit": pair.unit_b, "base": "", "initial": str(pair.initial_a or "")}
            groups.setdefault(FINISHED, {})[str(pair.b)] = facts
    return [(name, list(members.values())) for name, members in groups.items()]


def changes_of(pairs: list[Pair]) -> list[Spec]:
    """From a base to its retrainings, from a run before its training to what it became, and from a step to the end."""
    found = [("trained", pair.condition, str(pair.a), str(pair.b)) for pair in pairs if pair.kind == EARLIER]
    for name, members in groups_of(pairs):
        if name != BASE:
            found += [("retrained", name, one["base"], one["run"]) for one in members if one["base"]]
            found += [
                ("trained", name, one["initial"], one["run"])
                for one in members
                if one["initial"] not in ("", one["run"])
            ]
    return [dict(zip(("kind", "group", "before", "after"), one, strict=True)) for one in dict.fromkeys(found)]


def wider(options: DecompositionOptions, name: str) -> list[tuple[str, str]]:
    """Grid points that differ in their number of latents alone, each with the next larger one, by their labels."""
    points = list(zip(options.expand(), options.labels(name), strict=True))
    rest = [{key: value for key, value in point.items() if key != "n_latents"} for point, _ in points]
    found = []
    for i, (point, label) in enumerate(points):
        larger = [
            (other["n_latents"], wide)
            for j, (other, wide) in enumerate(points)
            if rest[i] == rest[j] and other["n_latents"] > point["n_latents"]
        ]
        found += [(label, min(larger)[1])] if larger else []
    return found
