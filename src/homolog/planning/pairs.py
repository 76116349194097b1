"""Which runs of an experiment are compared with each other, and what is replicated by it?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from homolog.config import Config
from homolog.config.experiments import RunsExperiment
from homolog.planning.runs import Run, Spec, is_trained, parent

# A run as it was at some step of its training, beside itself at the end.
EARLIER = "earlier-finished"


@dataclass(frozen=True)
class Pair:
    """Two runs to compare, the untrained pair that answers to them if there is one, and their units of replication."""

    condition: str
    kind: str
    a: Run
    b: Run
    initial_a: Run | None
    initial_b: Run | None
    unit_a: str
    unit_b: str

    def spec(self) -> Spec:
        return {key: str(value) if isinstance(value, Run) else value for key, value in vars(self).items()}


def pairs_of(config: Config, experiment: RunsExperiment) -> list[Pair]:
    """Base against retrained and retrained against retrained of one base; or all pairs trained independently.

    Where a condition has steps: each run as it was then against the finished one.
    """
    found = []
    for label, condition in experiment.conditions.items():
        if condition.steps:
            runs = [Run(model, seed) for model in condition.models for seed in condition.seeds]
            found += [_with_end(label, run, step) for step in condition.steps for run in runs]
            continue
        groups = {model: [Run(model, seed) for seed in condition.seeds] for model in condition.models}
        bases = {model: parent(config, runs[0]) for model, runs in groups.items()}
        several = len({base for base in bases.values() if base}) > 1
        for model, runs in groups.items():
            base = bases[model]
            if base:
                found += [_with_base(label, base, run, several) for run in runs]
            kind = "retrained-retrained" if base else "independent"
            for a, b in combinations(runs, 2):
                units = [str(base)] * 2 if several and base else [str(a), str(b)]
                before = [run.untrained() if is_trained(config, run) else None for run in (a, b)]
                found.append(Pair(label, kind, a, b, before[0], before[1], units[0], units[1]))
    return found


def _with_base(condition: str, base: Run, run: Run, several: bool) -> Pair:
    """A retraining beside its base. With several bases, these are what is replicated; else the retrainings are."""
    unit = str(base) if several else str(run)
    return Pair(condition, "base-retrained", base, run, base, run.untrained(), str(base), unit)


def _with_end(condition: str, run: Run, step: int) -> Pair:
    """A run at a step of its training beside its end; before that step was made, it was untrained."""
    where = f"{condition}, step {step}"
    return Pair(where, EARLIER, run.at_step(step), run, run.untrained(), run, str(run), str(run))
