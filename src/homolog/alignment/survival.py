"""Of each run's latents, how many are in a track of so many runs, and how many does a track lead to another run?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from homolog.alignment.tracks import Tracks

Live: TypeAlias = Sequence[Bool[np.ndarray, " _"]]
"""For each run, which of its latents count: all shares are of these."""


def survival(tracks: Tracks, live: Live) -> Float[np.ndarray, " found"]:
    """Share of a run's live latents that are in a track of at least r runs, for r from 0 to R; mean over runs.

    1 at r = 0. A run without live latents is left out; NaN if none has any.
    """
    runs = len(tracks.sizes)
    shares = [
        [float((found >= r).mean()) for r in range(runs + 1)]
        for found in (_found_of(tracks, run)[live[run]] for run in range(runs))
        if len(found)
    ]
    return np.asarray(np.mean(shares, axis=0)) if shares else np.full(runs + 1, np.nan)


def coverage(tracks: Tracks, live: Live) -> Float[np.ndarray, "runs runs"]:
    """Share of run i's live latents whose track has a member in run j, (i, j); NaN on the diagonal.

    Also NaN where a run has no live latents: from it nothing can be followed.
    """
    runs = len(tracks.sizes)
    shares = np.full((runs, runs), np.nan)
    for i in range(runs):
        if live[i].any():
            shares[i] = followed(tracks, i)[live[i]].mean(0)
    np.fill_diagonal(shares, np.nan)
    return shares


def followed(tracks: Tracks, run: int) -> Bool[np.ndarray, "latents runs"]:
    """For each latent of a run, in which runs its track has a member; False throughout where it is in none."""
    track = tracks.of_latent(run)
    there = np.zeros((len(track), len(tracks.sizes)), bool)
    there[track >= 0] = tracks.latent[track[track >= 0]] >= 0
    return there


def _found_of(tracks: Tracks, run: int) -> Int[np.ndarray, " latents"]:
    """In how many runs the track of each latent has a member; 0 where it is in none."""
    return np.asarray(followed(tracks, run).sum(1))
