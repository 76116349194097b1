"""How often would each measure have been fooled, in worlds in which it is known what is stable?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Int

from homolog.analyses.traps import naive, report, trained, views, worlds
from homolog.analyses.traps.rates import false_share, power, rate
from homolog.analyses.traps.stack import Pair
from homolog.comparing.blocks import blocks
from homolog.comparing.rows import Rows
from homolog.comparing.views import RANKS, VIEWS, Side
from homolog.comparing.warnings import hardly_moved
from homolog.decompositions.samples import InMemory
from homolog.streams import stream

# Rows, units and latents of the made worlds: ten rows for each unit, from where `homolog.compare` has no warning.
ROWS, UNITS, LATENTS = 120, 12, 24
# Autoencoders are compared on more rows: they are few, and some of their latents are rare.
TRAINED_ROWS = 480
# Worlds of which there is little to tell but whether the stable is found take so much fewer repetitions.
SHARE_OF_SOMETHING = 5
REPORT, BY_LATENT, AS_A_WHOLE = "report", "by latent", "as a whole"
KINDS = (
    dict.fromkeys([view for view in VIEWS if view != RANKS], REPORT)
    | dict.fromkeys(naive.BY_LATENT, BY_LATENT)
    | dict.fromkeys(naive.AS_A_WHOLE, AS_A_WHOLE)
)
BOUNDS = ("", "_low", "_high")
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Seen:
    """One world: which latents every measure called stable (or, as a whole, whether it did), and what is true."""

    pair: Pair
    found: dict[str, Bool[np.ndarray, "repetitions ..."]]

    @property
    def alike(self) -> bool | None:
        """Whether the two dictionaries are alike as wholes: not in a world where some latents are stable only."""
        stable = self.pair.stable
        return True if bool(stable.all()) else None if bool(stable.any()) and not self.pair.copies else False


def traps(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Make all worlds, ask all measures, and count; docs/files.md describes the dataset. There are no runs."""
    options = spec["options"]
    made = {group: list(members) for group, members in _groups().items()}
    names = [name for group in made.values() for name in group]
    found: dict[str, Any] = {}
    for name in progress([*names, *(f"L0 {k}" for k in trained.ACTIVE)]):
        index = len(found)
        if name in names:
            found[name] = _judge(_look(_make(name, spec), index))
        else:
            found[name] = _truth(int(name.split()[1]), options["trained_repetitions"], spec["autoencoder"], index)
    dataset = xr.merge([_table({name: found[name] for name in names}), _sweep(list(found.values())[len(names) :])])
    groups = [group for group, members in made.items() for _ in members]
    return dataset.assign_coords(group=("world", groups)).assign_attrs(
        experiment=spec["experiment"], level=naive.LEVEL, threshold=naive.THRESHOLD, true_l0=trained.TRUE_L0
    )


def _groups() -> dict[str, Iterable[str]]:
    return {"nothing": worlds.NOTHING, "trained": trained.WITHOUT_FEATURES, "something": worlds.SOMETHING}


def _make(name: str, spec: dict[str, Any]) -> Pair:
    """The world's repetitions; every world has a stream of its own."""
    options, generator = spec["options"], stream("traps", "world", name)
    if name in trained.WITHOUT_FEATURES:
        sizes = worlds.Sizes(options["trained_repetitions"], TRAINED_ROWS, UNITS, LATENTS)
        return trained.train(trained.WITHOUT_FEATURES[name](sizes, generator), sizes, spec["autoencoder"], name)
    repetitions = options["repetitions"]
    if name in worlds.SOMETHING:
        repetitions = max(repetitions // SHARE_OF_SOMETHING, 1)
    sizes = worlds.Sizes(repetitions, ROWS, UNITS, LATENTS)
    return (worlds.NOTHING | worlds.SOMETHING)[name](sizes, generator)


def seeds_of(world: int, repetitions: int) -> Int[np.ndarray, " repetitions"]:
    """Seeds of the nulls: no two repetitions of any worlds share one."""
    return world * 1_000_000 + np.arange(repetitions)


def _look(pair: Pair, world: int) -> Seen:
    found: dict[str, np.ndarray] = dict(report.found(pair, seeds_of(world, len(pair.stable))))
    if pair.copies:
        found = {view: _each_block_once(latents, pair) for view, latents in found.items()}
    seen = naive.Seen(pair)
    found |= {name: measure(seen).numpy() for name, measure in naive.BY_LATENT.items()}
    found |= {name: (measure(seen) > naive.THRESHOLD).numpy() for name, measure in naive.AS_A_WHOLE.items()}
    return Seen(pair, found)


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


def _judge(seen: Seen) -> dict[str, dict[str, float]]:
    """By measure: false discovery rate and power with their bounds, and the share of latents called stable."""
    result = {}
    for name, found in seen.found.items():
        if KINDS[name] == AS_A_WHOLE:
            verdict, nothing = found.astype(float), np.full(len(found), np.nan)
            wrong = verdict if seen.alike is False else nothing if seen.alike is None else 0 * verdict
            right, called = (verdict if seen.alike else nothing), verdict
        else:
            true = seen.pair.stable.numpy()
            right, called = power(found, true), found.mean(1)
            if seen.pair.copies:
                true, right = _once(found, true), np.full(len(found), np.nan)
            wrong = false_share(found, true)
        rates = {"fdr": rate(wrong), "power": rate(right), "called": rate(called)}
        result[name] = {
            key + end: value for key, each in rates.items() for end, value in zip(BOUNDS, each, strict=True)
        }
    facts: dict[str, float] = {"warned": _warned(seen.pair)}
    facts |= {"repetitions": len(seen.pair.stable), "rows": seen.pair.rows_a.shape[1], "latents": seen.pair.a.latents}
    return result | {"": facts}


def _warned(pair: Pair) -> float:
    """Share of the repetitions in which `homolog.compare` warns that a dictionary has hardly left its start."""
    if pair.a.moved is None:
        return 0.0
    sides = list(zip((pair.a, pair.b), naive.Seen(pair).live, strict=True))
    every = range(len(pair.stable))
    return float(np.mean([any(hardly_moved(stack.one(i), live[i]) for stack, live in sides) for i in every]))


def _once(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """True discoveries where all true latents of a dictionary are one feature: the first that was found of each."""
    sides = np.split(found & true, 2, axis=1)
    return np.concatenate([side & (side.cumsum(1) == 1) for side in sides], axis=1)


def _table(judged: dict[str, dict[str, dict[str, float]]]) -> xr.Dataset:
    names = [key + end for key in ("fdr", "power", "called") for end in BOUNDS]
    values = {
        name: [[one.get(measure, {}).get(name, np.nan) for measure in KINDS] for one in judged.values()]
        for name in names
    }
    counted = ("repetitions", "rows", "latents", "warned")
    facts = {name: ("world", np.array([one[""][name] for one in judged.values()])) for name in counted}
    return xr.Dataset(
        {name: (("world", "measure"), value) for name, value in values.items()} | facts,
        {"world": list(judged), "measure": list(KINDS), "kind": ("measure", list(KINDS.values()))},
    )


def _truth(k: int, repetitions: int, autoencoder: dict[str, Any], world: int) -> dict[str, float]:
    """Autoencoders with k active latents: how many are stable, and how many of these are a planted feature's."""
    sizes = worlds.Sizes(repetitions, TRAINED_ROWS, UNITS, LATENTS)
    made = trained.sparse_pairs(sizes, stream("traps", "world", "sparse_pairs"), k)
    pair = trained.train(made, sizes, autoencoder, f"sparse_pairs {k}")
    stable = report.found(pair, seeds_of(world, repetitions))[views.primary_of(pair)]
    true = pair.stable.numpy()
    shares = {"stable": stable.mean(1), "true": true.mean(1)}
    for name, chosen in (("true_if_stable", stable), ("true_if_not", ~stable)):
        shares[name] = power(true, chosen)
    return {"active": k} | {
        key + end: value for key, each in shares.items() for end, value in zip(BOUNDS, rate(each), strict=True)
    }


def _sweep(found: list[dict[str, float]]) -> xr.Dataset:
    columns = {name: ("active", [one[name] for one in found]) for name in found[0] if name != "active"}
    return xr.Dataset(columns, {"active": [int(one["active"]) for one in found]})
