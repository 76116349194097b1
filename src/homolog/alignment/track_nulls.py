"""Would tracks like these also be found among dictionaries that share nothing? The tracking, redone on a null."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from homolog.alignment.decisions import benjamini_yekutieli, lower_bound
from homolog.alignment.links import Links, matched_pairs
from homolog.alignment.tracks import Tracks, track

# With fewer draws the largest of all comes from the observed runs in more than one of 20 cases, by chance alone.
_FEWEST_DRAWS = 19


@dataclass(frozen=True)
class Significance:
    """What the null says of each track and each member."""

    p_value: Float[np.ndarray, " tracks"]
    """Of a track: how often a place for a track is taken by one as strong under the null."""
    adjusted: Float[np.ndarray, " tracks"]
    """The same after Benjamini & Yekutieli (2001), over all places for tracks: at most 0.05 to call 5 % false."""
    member_p_value: Float[np.ndarray, "tracks runs"]
    """Of a member: its links against the null's similarities between the same runs; NaN where there is no member."""
    null_found: Float[np.ndarray, " found"]
    """Mean number of tracks with r members in a draw of the null, by r from 0 to R."""
    null_tracks: tuple[Tracks, ...]
    """The tracks of each draw."""

    @property
    def draws(self) -> int:
        """How many draws the null had."""
        return len(self.null_tracks)


def significance(tracks: Tracks, links: Links, null: Iterable[Links]) -> Significance:
    """p-values of tracks and members from draws of the null's matchings, which are selected and tracked anew.

    `links` are what `tracks` was made of; each draw is matched likewise, from dictionaries without shared latents
    (`View.null` of every run). Draws are read one at a time.

    A track's statistic is its `strength`. N latents have room for M = N // least_runs tracks: these are the tests, and
    a place without a track has strength 0, so that the data don't choose how many tests there are.
    p = (1 + tracks in all draws that are as strong) / (1 + M draws), or 1 where the strength isn't positive. To be
    called at q, K tracks that beat every draw need about H(M) / (q K) draws, H the harmonic sum (10 for M = 17,000):
    200 for one, 19 for 11 or more.

    A member's p-value is twice the mean over its links, valid whatever their dependence (Rüschendorf 1982; Vovk & Wang
    2020), of p = (1 + similarities as large) / (1 + similarities) among the null's matched pairs of the two runs. This
    redoes the matching and not the tracking: read it in tracks that count themselves.
    Raises ValueError for fewer than 19 draws, or as `track` does.
    """
    pairs = list(matched_pairs(links))
    as_large = {(i, j): np.ones(len(a), dtype=np.int64) for i, j, a, _, _ in pairs}
    size = dict.fromkeys(as_large, 1)
    redone = []
    for draw in null:
        redone.append(track(draw, tracks.sizes, tracks.quorum, tracks.least_runs))
        similarities = {(i, j): np.sort(values) for i, j, _, _, values in matched_pairs(draw)}
        for i, j, _, _, values in pairs:
            as_large[i, j] += len(similarities[i, j]) - np.searchsorted(similarities[i, j], values, "left")
            size[i, j] += len(similarities[i, j])
    draws = len(redone)
    if draws < _FEWEST_DRAWS:
        raise ValueError(f"The null of tracks needs at least {_FEWEST_DRAWS} draws, but has {draws}.")
    places = sum(tracks.sizes) // tracks.least_runs
    strongest = np.sort(np.concatenate([one.strength for one in redone]))
    found = np.bincount(np.concatenate([one.found for one in redone]), minlength=len(tracks.sizes) + 1)
    beaten = len(strongest) - np.searchsorted(strongest, tracks.strength, "left")
    p_value = np.where(tracks.strength > 0, (1 + beaten) / (1 + places * draws), 1.0)
    by_link = {pair: count / size[pair] for pair, count in as_large.items()}
    adjusted, of_members = benjamini_yekutieli(p_value, places), _of_members(tracks, links, by_link)
    return Significance(p_value, adjusted, of_members, found / draws, tuple(redone))


def _of_members(
    tracks: Tracks, links: Links, p_values: dict[tuple[int, int], Float[np.ndarray, " links"]]
) -> Float[np.ndarray, "tracks runs"]:
    """Twice the mean p-value of each member's links to its track; 1 at most."""
    total, count = np.zeros(tracks.latent.shape), np.zeros(tracks.latent.shape)
    track_of = [tracks.of_latent(run) for run in range(len(tracks.sizes))]
    for i, j, a, b, _ in matched_pairs(links):
        inside = (track_of[i][a] >= 0) & (track_of[i][a] == track_of[j][b])
        one = track_of[i][a[inside]]
        for run in (i, j):
            total[one, run] += p_values[i, j][inside]
            count[one, run] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(np.minimum(2 * total / count, 1))


def table(
    tracks: Tracks, runs: Sequence[str], judged: Significance | None = None, confidence: float = 0.95
) -> xr.Dataset:
    """Tracks as labelled arrays, as docs/files.md describes `tracks.nc`; p-values are NaN where nothing was judged.

    `found_low` is the exact one-sided lower bound on the share of runs that a track returns in. A track is there since
    it was found `least_runs` times: for the rarest ones the bound is a little too high.
    Raises ValueError if there isn't a name for each run.
    """
    if len(runs) != len(tracks.sizes):
        raise ValueError(f"{len(tracks.sizes)} runs need as many names, but there are {len(runs)}.")
    found = tracks.found
    unknown = np.full(tracks.latent.shape, np.nan)
    both = ("track", "run")
    variables = {
        "latent": (both, tracks.latent),
        "similarity": (both, tracks.similarity),
        "support": (both, tracks.support),
        "member_p_value": (both, unknown if judged is None else judged.member_p_value),
        "found": ("track", found),
        "found_low": ("track", lower_bound(found, len(runs), confidence)),
        "strength": ("track", tracks.strength),
        "p_value": ("track", unknown[:, 0] if judged is None else judged.p_value),
        "adjusted_p_value": ("track", unknown[:, 0] if judged is None else judged.adjusted),
        "n_latents": ("run", np.asarray(tracks.sizes)),
    }
    facts = {"quorum": tracks.quorum, "least_runs": tracks.least_runs, "confidence": confidence}
    dataset = xr.Dataset(variables, {"track": np.arange(len(found)), "run": list(runs)}, facts)
    if judged is None:
        return dataset.assign_attrs(null_draws=0)
    return dataset.assign(null_found=("r", judged.null_found)).assign_attrs(null_draws=judged.draws)
