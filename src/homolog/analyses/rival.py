"""Do tracks and a crosscoder over the same runs name the same shared latents? (Each held against the other.)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.matching import Matched, match
from homolog.alignment.transitions import Transitions, transitions
from homolog.analyses.consensus import Tracked
from homolog.analyses.scores import Codes, correlate
from homolog.decompositions.joint import RUNS, JointDictionary
from homolog.streams import stream

DRAWS = 20
# A latent writes in all of R runs if its effective number of runs is within this of R.
NEARLY = 0.5


@dataclass(frozen=True)
class JointCodes:
    """One joint member on the held-out inputs: the codes of its live latents, and which of them all runs share."""

    label: str
    seed: int
    codes: Codes
    shared: Bool[np.ndarray, " latents"]


def read_joint_codes(members: list[JointDictionary], layers: list[Layer]) -> list[JointCodes]:
    """The members fitted to all rows of the runs as they are; `layers` are of the same runs in the same order."""
    found = []
    for member in members:
        facts = member.dictionary.member
        if (member.control, facts["rows"]) != (RUNS, "all"):
            continue
        dictionary = member.dictionary.to(torch.float64)
        values = {fold: dictionary.codes(_side_by_side(member, layers, fold)) for fold in FOLDS}
        shared = (member.effective_runs > len(layers) - NEARLY).numpy()
        found.append(
            JointCodes(
                str(facts["label"]), int(facts["seed"]), Codes.of(values, layers[0].labels, layers[0].documents), shared
            )
        )
    return found


def _side_by_side(member: JointDictionary, layers: list[Layer], fold: str) -> Float[Tensor, "samples units"]:
    """The activations as the member reads them: each run in the model's order of units, times its factor."""
    parts = []
    for layer, factor in zip(layers, member.factors, strict=True):
        canonical = layer.activations[fold].cpu()
        own = torch.empty_like(canonical)
        own[:, layer.order.cpu()] = canonical
        parts.append(own * factor)
    return torch.cat(parts, 1)


def hold_against(
    joint: list[JointCodes], found: Tracked, signed: bool, key: tuple[str, ...], level: float
) -> Iterator[xr.Dataset]:
    """A dataset for each joint member: for each of its latents the nearest track, and for each track its latent.

    Nearest by the mean over a track's members of the correlation of codes, selected on one fold and scored on the
    other; found where it exceeds the null's quantile. Beside it the same between joint members of two seeds.
    """
    for one in joint:
        draws = [one.codes.shuffled(stream("rival", *key, one.label, one.seed, draw), False) for draw in range(DRAWS)]
        null = [_both_ways(*_with_tracks(draw, found, signed)) for draw in draws]
        agreed = transitions(*_both_ways(*_with_tracks(one.codes, found, signed)), null, level)
        chance = [transitions(*draw, null, level) for draw in null]
        shared = one.shared[one.codes.live]
        other = next((two for two in joint if two.label == one.label and two.seed != one.seed), None)
        yield xr.Dataset(
            {
                **_by_latent(one, agreed, shared),
                "shared_with_track": _share(agreed.child[shared]),
                "null_shared_with_track": np.mean([_share(draw.child[shared]) for draw in chance]),
                "ceiling_shared_with_track": np.nan if other is None else _between(one, other, key, level),
                "tracks_with_latent": _share(agreed.parent),
                "null_tracks_with_latent": np.mean([_share(draw.parent) for draw in chance]),
                "agreement_threshold": agreed.child_threshold,
                "rival_joint": one.label,
                "rival_seed": one.seed,
            },
            {"joint_latent": np.arange(len(one.codes.live))},
        )


def _by_latent(one: JointCodes, agreed: Transitions, shared: Bool[np.ndarray, " live"]) -> dict[str, Any]:
    live = np.flatnonzero(one.codes.live)
    whole = {"joint_track": np.full(len(one.codes.live), -1), "joint_shared": np.zeros(len(one.codes.live), np.int8)}
    whole |= {name: np.full(len(one.codes.live), np.nan) for name in ("joint_similarity", "joint_p_value")}
    whole["joint_track"][live], whole["joint_shared"][live] = agreed.child, shared
    whole["joint_similarity"][live], whole["joint_p_value"][live] = agreed.child_similarity, agreed.child_p_value
    along_track = {
        "track_joint": np.where(agreed.parent >= 0, live[agreed.parent], -1),
        "track_joint_similarity": agreed.parent_similarity,
        "track_joint_p_value": agreed.parent_p_value,
    }
    return {name: ("joint_latent", values) for name, values in whole.items()} | {
        name: ("track", values) for name, values in along_track.items()
    }


def _between(one: JointCodes, other: JointCodes, key: tuple[str, ...], level: float) -> float:
    """Share of the shared latents of one seed that the other seed's shared latents hold: the method's own agreement."""
    shared = one.shared[one.codes.live], other.shared[other.codes.live]
    if not (shared[0].any() and shared[1].any()):
        return float("nan")

    def both(codes: Codes) -> tuple[Matched, Matched]:
        selection, scoring = correlate(codes, other.codes, signed=True)
        columns = torch.as_tensor(shared[1])
        return _both_ways(selection[:, columns], scoring[:, columns])

    draws = [one.codes.shuffled(stream("rival", *key, one.label, "seeds", draw), False) for draw in range(DRAWS)]
    agreed = transitions(*both(one.codes), [both(draw) for draw in draws], level)
    return _share(agreed.child[shared[0]])


def _with_tracks(
    codes: Codes, found: Tracked, signed: bool
) -> tuple[Float[Tensor, "live tracks"], Float[Tensor, "live tracks"]]:
    """Mean similarity of each live latent with the members of each track, on both folds."""
    latent = found.tracks.latent
    totals = [torch.zeros(int(codes.live.sum()), len(latent), dtype=torch.float64) for _ in FOLDS]
    for run, member in enumerate(found.codes):
        place = np.cumsum(member.live) - 1
        there = np.flatnonzero(latent[:, run] >= 0)
        for total, block in zip(totals, correlate(codes, member, signed), strict=True):
            total[:, there] += block[:, place[latent[there, run]]]
    count = torch.as_tensor(found.tracks.found)
    return totals[0] / count, totals[1] / count


def _both_ways(selection: Tensor, scoring: Tensor) -> tuple[Matched, Matched]:
    forward, backward = (match(selection, scoring, name) for name in ("best_a_to_b", "best_b_to_a"))
    return forward, backward


def _share(index: np.ndarray) -> float:
    """Share of those that have a partner; NaN of none."""
    return float((index >= 0).mean()) if len(index) else float("nan")
