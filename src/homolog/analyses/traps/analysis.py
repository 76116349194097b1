"""How often would each measure have been fooled, in worlds in which it is known what is stable?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Int

from homolog.analyses.traps import naive, report, trained, training, views, workflow, worlds
from homolog.analyses.traps.rates import false_share, power, rate
from homolog.analyses.traps.stack import Pair, Runs
from homolog.comparing.blocks import blocks
from homolog.comparing.rows import Rows
from homolog.comparing.views import RANKS, VIEWS, Side
from homolog.comparing.warnings import hardly_moved
from homolog.decompositions.samples import InMemory
from homolog.streams import stream

# Rows, units and latents of the made worlds: ten rows for each unit, from where `homolog.compare` has no warning.
ROWS, UNITS, LATENTS = 120, 12, 24
# Autoencoders are compared on more rows: some of their latents are rare.
TRAINED_ROWS = 240
# Worlds of which there is little to tell but whether the stable is found take so much fewer repetitions; and so do the
# decisions of the workflow, which needs many runs for each.
FEWER = 10
# The same dictionaries as those of another world, where nothing counts as stable.
FEATURELESS = {"gaussians_featureless": "gaussians"}
REPORT, WORKFLOW, BY_LATENT, AS_A_WHOLE = "report", "workflow", "by latent", "as a whole"
KINDS = (
    dict.fromkeys([view for view in VIEWS if view != RANKS], REPORT)
    | dict.fromkeys([f"workflow_{view}" for view in workflow.SIGNATURES], WORKFLOW)
    | dict.fromkeys(naive.BY_LATENT, BY_LATENT)
    | dict.fromkeys(naive.AS_A_WHOLE, AS_A_WHOLE)
)
BOUNDS = ("", "_low", "_high")
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Found = dict[str, Bool[np.ndarray, "repetitions ..."]]
"""By measure, which latents it called stable, or, as a whole, whether it did."""
Judged = dict[str, dict[str, float]]
"""By measure, rates and their bounds; under "" what is true of the world itself."""


def traps(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Make all worlds, ask all measures, and count; docs/files.md describes the dataset. There are no runs."""
    groups = groups_of_worlds()
    worlds_, sweep = [name for name in groups if name not in FEATURELESS], [f"L0 {k}" for k in trained.ACTIVE]
    judged: dict[str, Judged] = {}
    truths = []
    for index, name in enumerate(progress([*worlds_, *sweep])):
        if name in sweep:
            truths.append(_truth(int(name.split()[1]), spec, index))
        else:
            judged |= _judge_world(name, spec, index)
    dataset = xr.merge([_table({name: judged[name] for name in groups}), _sweep(truths)])
    return dataset.assign_coords(group=("world", list(groups.values()))).assign_attrs(
        experiment=spec["experiment"], level=naive.LEVEL, threshold=naive.THRESHOLD, true_l0=trained.TRUE_L0
    )


def groups_of_worlds() -> dict[str, str]:
    """The group of each world, in the order of the dataset."""
    members: dict[str, Iterable[str]] = {
        "nothing": worlds.NOTHING,
        "trained": trained.NOTHING,
        "arguable": sorted([*trained.ARGUABLE, *FEATURELESS]),
        "something": worlds.SOMETHING,
    }
    return {name: group for group, names in members.items() for name in names}


def seeds_of(world: int, repetitions: int) -> Int[np.ndarray, " repetitions"]:
    """Seeds of the nulls: no two repetitions of any worlds share one."""
    return world * 1_000_000 + np.arange(repetitions)


def _judge_world(name: str, spec: dict[str, Any], index: int) -> dict[str, Judged]:
    """The world, and others of the same dictionaries in which nothing counts as stable."""
    repetitions = spec["options"]["repetitions"]
    fewer = max(repetitions // FEWER, 1)
    nothing = name in worlds.NOTHING or name in trained.NOTHING
    pair = _make(name, spec, repetitions if nothing else fewer).pair
    several = _make(name, spec, fewer, workflow.RUNS)
    found, by_workflow = _look(pair, index), workflow.found(several, name)
    result = {}
    for world in [name, *(other for other, same in FEATURELESS.items() if same == name)]:
        counts = world not in FEATURELESS
        stable, of_base = ((one & counts).numpy() for one in (pair.stable, several.stable[0]))
        sides = [pair.a.latents, pair.b.latents]
        judged = _judge(found, stable, sides, pair.copies)
        judged |= _judge({f"workflow_{v}": f for v, f in by_workflow.items()}, of_base, sides[:1], pair.copies)
        result[world] = judged | {"": _facts(name, pair)}
    return result


def _make(name: str, spec: dict[str, Any], repetitions: int, runs: int = 2) -> Runs:
    """The world's repetitions; every world has a stream of its own, and so have those with more runs."""
    made = worlds.NOTHING | worlds.SOMETHING
    sizes = worlds.Sizes(repetitions, ROWS if name in made else TRAINED_ROWS, UNITS, LATENTS, runs)
    generator = stream("traps", "world", name, runs)
    if name in made:
        return made[name](sizes, generator)
    world = (trained.NOTHING | trained.ARGUABLE)[name](sizes, generator)
    return trained.train(world, sizes, spec["autoencoder"], name)


def _look(pair: Pair, world: int) -> Found:
    """All but the workflow."""
    found: Found = dict(report.found(pair, seeds_of(world, len(pair.stable))))
    if pair.copies:
        found = {view: _each_block_once(latents, pair) for view, latents in found.items()}
    seen = naive.Seen(pair)
    found |= {name: measure(seen).numpy() for name, measure in naive.BY_LATENT.items()}
    return found | {name: (measure(seen) > naive.THRESHOLD).numpy() for name, measure in naive.AS_A_WHOLE.items()}


def _each_block_once(found: Bool[np.ndarray, "repetitions latents"], pair: Pair) -> np.ndarray:
    """What was found, of each block of latents that fire together (the unit that `homolog.compare` names) the first."""
    kept = np.zeros_like(found)
    for repetition in np.flatnonzero(found.any(1)).tolist():
        start = 0
        for stack, rows in ((pair.a, pair.rows_a), (pair.b, pair.rows_b)):
            label = blocks(Side.of(stack.one(repetition), Rows(InMemory(rows[repetition])))).numpy()
            here = np.flatnonzero(found[repetition, start : start + stack.latents])
            _, first = np.unique(label[here], return_index=True)
            kept[repetition, start + here[first]] = True
            start += stack.latents
    return kept


def _judge(found: Found, stable: Bool[np.ndarray, "repetitions latents"], sides: list[int], copies: bool) -> Judged:
    """By measure: false discovery rate and power with their bounds, and the share of latents called stable.

    `sides` are the latents of each dictionary, which lie behind each other.
    """
    # Dictionaries are alike as wholes or not, but where some latents are stable only neither.
    alike = True if stable.all() else None if stable.any() and not copies else False
    result = {}
    for name, called in found.items():
        if KINDS[name] == AS_A_WHOLE:
            verdict, nothing = called.astype(float), np.full(len(called), np.nan)
            wrong = verdict if alike is False else nothing if alike is None else 0 * verdict
            right = verdict if alike else nothing
        else:
            verdict, right = called.mean(1), power(called, stable)
            wrong = false_share(called, _once(called, stable, sides) if copies else stable)
            right = np.full(len(called), np.nan) if copies else right
        rates = {"fdr": rate(wrong), "power": rate(right), "called": rate(verdict)}
        result[name] = _bounded(rates) | {"repetitions": len(called)}
    return result


def _bounded(rates: dict[str, Any]) -> dict[str, float]:
    return {key + end: value for key, each in rates.items() for end, value in zip(BOUNDS, each, strict=True)}


def _facts(name: str, pair: Pair) -> dict[str, float]:
    """What is told of a world beside the measures."""
    facts: dict[str, float] = {"rows": pair.rows_a.shape[1], "latents": pair.a.latents, "warned": _warned(pair)}
    is_trained = name in trained.NOTHING | trained.ARGUABLE
    return facts | {"fvu": float(training.unexplained(pair.a, pair.rows_a).mean()) if is_trained else np.nan}


def _warned(pair: Pair) -> float:
    """Share of the repetitions in which `homolog.compare` warns that a dictionary has hardly left its start."""
    if pair.a.moved is None:
        return 0.0
    sides = list(zip((pair.a, pair.b), naive.Seen(pair).live, strict=True))
    every = range(len(pair.stable))
    return float(np.mean([any(hardly_moved(stack.one(i), live[i]) for stack, live in sides) for i in every]))


def _once(found: np.ndarray, true: np.ndarray, sides: list[int]) -> np.ndarray:
    """True discoveries where all true latents of a dictionary are one feature: the first that was found of each."""
    parts = np.split(found & true, np.cumsum(sides)[:-1], axis=1)
    return np.concatenate([part & (part.cumsum(1) == 1) for part in parts], axis=1)


def _table(judged: dict[str, Judged]) -> xr.Dataset:
    names = [key + end for key in ("fdr", "power", "called") for end in BOUNDS]
    values = {
        name: [[one.get(measure, {}).get(name, np.nan) for measure in KINDS] for one in judged.values()]
        for name in names
    }
    counts = [[int(one.get(measure, {}).get("repetitions", 0)) for measure in KINDS] for one in judged.values()]
    facts = {
        name: ("world", np.array([one[""][name] for one in judged.values()]))
        for name in ("rows", "latents", "warned", "fvu")
    }
    return xr.Dataset(
        {name: (("world", "measure"), value) for name, value in (values | {"repetitions": counts}).items()} | facts,
        {"world": list(judged), "measure": list(KINDS), "kind": ("measure", list(KINDS.values()))},
    )


def _truth(k: int, spec: dict[str, Any], world: int) -> dict[str, float]:
    """Autoencoders with k active latents: how many are stable, and how many of these are a planted feature's."""
    repetitions = max(spec["options"]["repetitions"] // FEWER, 1)
    sizes = worlds.Sizes(repetitions, TRAINED_ROWS, UNITS, LATENTS)
    made = trained.sparse_pairs(sizes, stream("traps", "world", "sparse_pairs"), k)
    pair = trained.train(made, sizes, spec["autoencoder"], f"sparse_pairs {k}").pair
    stable = report.found(pair, seeds_of(world, repetitions))[views.primary_of(pair)]
    true = pair.stable.numpy()
    shares = {"stable": stable.mean(1), "true": true.mean(1)}
    for name, chosen in (("true_if_stable", stable), ("true_if_not", ~stable)):
        shares[name] = power(true, chosen)
    facts = {"active": k, "sweep_fvu": float(training.unexplained(pair.a, pair.rows_a).mean())}
    return facts | _bounded({name: rate(each) for name, each in shares.items()})


def _sweep(found: list[dict[str, float]]) -> xr.Dataset:
    columns = {name: ("active", [one[name] for one in found]) for name in found[0] if name != "active"}
    return xr.Dataset(columns, {"active": [int(one["active"]) for one in found]})
