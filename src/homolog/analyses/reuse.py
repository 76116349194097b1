"""How does a network that knows a task learn another one that may use it: by the circuit it has, or by another?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.matching import match
from homolog.analyses.replicates import over_replicates
from homolog.loading import load
from homolog.reuse.base import ReusePair
from homolog.streams import stream
from homolog.toys.composing import reached_at
from homolog.toys.training import Parameters

Progress = Callable[[Iterable[Any]], Iterable[Any]]
STARTS = ("after the first", "frozen core", "scratch", "frozen random core")
"""The core as the first task left it, trained on or frozen; and the same for a random one. All else is new in each."""
# A latent returns above this quantile of the null.
RETURNED = 0.95
TITLES = {
    "score": "score on what is held out of the second task",
    "first_score": "score on what is held out of the first task",
    "found": "share of trainings in which the second task is found",
    "found_at": "step from which on the second task counts as found",
    "area": "area above the curve from scratch",
    "returned": "correlation of the first task's latents with their match",
    "more": "the same less its null",
    "share_returned": "share of the first task's latents that return",
    "circuit": "share of the first task's circuit",
}


def reuse(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks on the first task of each pair, then on the second from each of `STARTS`.

    Variables by ``pair`` and ``start``, means over replicates with bounds: ``score`` along ``moment``, shares of the
    second task's ``steps``; ``found``, the share of trainings in which it reaches ``learned``, and ``found_at``, in
    steps of these; ``area`` between a replicate's curve and that of its scratch, over what lies above the latter (1:
    all is right at once, 0: scratch); ``first_score``, of the first network with the core as it is then; ``returned``,
    ``more`` and ``share_returned`` (`returning`); ``circuit``, where the pair has one. By pair: ``first_learned``, the
    first network's own score, and ``irreps``, to which it is confined.
    """
    options = spec["options"]
    parts = []
    for one in spec["pairs"]:
        pair = load(one["target"])(one, options["replicates"], "reuse", one["label"])
        parts.append(_of_pair(pair, one["label"], options["replicates"], options["moments"], progress))
    found = xr.concat(parts, "pair").assign_coords(pair=[one["label"] for one in spec["pairs"]])
    found["irreps"] = ("pair", [" and ".join(one.get("irreps") or []) for one in spec["pairs"]])
    return found.assign_attrs(experiment=spec["experiment"], **options)


def _of_pair(pair: ReusePair, label: str, replicates: int, moments: int, progress: Progress) -> xr.Dataset:
    first = pair.first.train(pair.first.start(stream("reuse", label, "first")), progress=progress)
    values: dict[str, list[np.ndarray]] = {}
    if pair.second.steps < moments - 1:
        raise ValueError(
            f"{label}: {moments} moments need {moments - 1} steps of the second task at least, not "
            f"{pair.second.steps}: lower moments or raise steps."
        )
    steps = np.linspace(0, pair.second.steps, moments).round().astype(int)
    for start in STARTS:
        # The same draw for all starts: where the core is another, all else begins alike.
        begun = pair.second.start(stream("reuse", label, "new"))
        if start in STARTS[:2]:
            begun |= pair.core_of(first)
        curve: list[np.ndarray] = []

        def watch(parameters: Parameters, step: int, curve: list[np.ndarray] = curve) -> None:
            if step in steps:
                curve.append(pair.second.score(parameters).numpy())

        frozen = pair.core if start.startswith("frozen") else ()
        now = pair.second.train(begun, watch, frozen, progress)
        for name, one in _measured(pair, first, now).items():
            values.setdefault(name, []).append(one)
        values.setdefault("score", []).append(np.stack(curve, -1))
    return _told(pair, values, steps, pair.first.score(first).numpy())


@torch.no_grad()
def _measured(pair: ReusePair, first: Parameters, now: Parameters) -> dict[str, np.ndarray]:
    found = {"first_score": pair.first.score(first | pair.core_of(now)).numpy()}
    found |= returning(pair.first.latents(first), pair.second.latents(now))
    if pair.circuit is not None:
        found["circuit"] = pair.circuit(first, now).numpy()
    return found


def returning(
    first: Float[Tensor, "members rows latents"], now: Float[Tensor, "members rows others"]
) -> dict[str, Float[np.ndarray, " members"]]:
    """How alike each latent is to its match, of a one-to-one matching by absolute correlation.

    Matched on even rows, scored on odd ones. Null: latents of the next member's first network, which learned the same
    apart; a latent returns above the `RETURNED` quantile of the null.
    """
    found: dict[str, list[float]] = {name: [] for name in ("returned", "returned_null", "more", "share_returned")}
    for member in range(len(first)):
        own, null = (_matched(one, now[member]) for one in (first[member], first[(member + 1) % len(first)]))
        found["returned"].append(float(own.mean()))
        found["returned_null"].append(float(null.mean()))
        found["more"].append(float(own.mean() - null.mean()))
        found["share_returned"].append(float((own > null.quantile(RETURNED)).double().mean()))
    return {name: np.asarray(one) for name, one in found.items()}


def _matched(one: Float[Tensor, "rows m"], other: Float[Tensor, "rows n"]) -> Float[Tensor, " matched"]:
    selection, scoring = (_correlations(one[half::2], other[half::2]) for half in (0, 1))
    found = match(selection, scoring, "hungarian").per_latent
    return found[~found.isnan()]


def _correlations(one: Float[Tensor, "rows m"], other: Float[Tensor, "rows n"]) -> Float[Tensor, "m n"]:
    """Absolute correlations; 0 of what never varies."""
    first, second = (values.double() - values.double().mean(0) for values in (one, other))
    tiny = torch.finfo(torch.float64).tiny
    first, second = (values / values.square().sum(0).sqrt().clamp_min(tiny) for values in (first, second))
    found: Tensor = (first.T @ second).abs()
    return found


def _told(
    pair: ReusePair, values: dict[str, list[np.ndarray]], steps: np.ndarray, first_learned: np.ndarray
) -> xr.Dataset:
    stacked = {name: np.stack(one) for name, one in values.items()}
    curve = stacked["score"]
    scratch = curve[STARTS.index("scratch")]
    stacked["area"] = (curve - scratch).sum(-1) / (1 - scratch).sum(-1)
    stacked["found_at"] = reached_at(curve, steps, pair.learned)
    stacked["found"] = np.isfinite(stacked["found_at"]).astype(float)
    dims = {name: ("start", "replicate", "moment")[: one.ndim] for name, one in stacked.items()}
    told = {name: (dims[name], one) for name, one in stacked.items()}
    coords = {"start": list(STARTS), "moment": np.linspace(0, 1, len(steps))}
    found = over_replicates(told | {"first_learned": (("replicate",), first_learned)}, coords, TITLES)
    known = {"score_null": pair.chance, "circuit_null": pair.circuit_null, "learned": pair.learned}
    known |= {"share_returned_null": 1 - RETURNED}
    return found.assign({name: ((), value) for name, value in known.items()} | {"steps": ((), pair.second.steps)})
