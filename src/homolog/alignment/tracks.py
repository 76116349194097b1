"""Which latents of many runs are one and the same: consensus latents, from matchings of two runs at a time.

Pairwise matchings contradict each other: a to b to c needn't be a to c. To ask that all runs agree kills every track
(of 50 runs with 90 % right links nothing survives), so members of a track need a quorum. The steps are those of
MatchFAME (Li, Shi & Lerman 2022), but with the trust of each link for itself, as in FCC (Shi, Li, Maunu & Lerman 2021),
since here latents fail to come back and not pairs of runs: cycles say which links to trust, a spanning forest of the
trusted ones gives the first tracks, and votes projected onto partial permutations refine them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from homolog.alignment.links import Links, check_links, matched_pairs

# With three runs a link can be confirmed by the third; with two there is nothing to synchronise.
_FEWEST_RUNS = 3
# One link is no evidence: two close a cycle.
_FEWEST_LINKS = 2
# Random matchings confirm a link so rarely; but a latent of few runs must have a chance where runs are few.
_CHANCE = 1e-3
_MOST_ASKED = 4
_MOST_PASSES = 20


@dataclass(frozen=True)
class Tracks:
    """Consensus latents, those of most runs first. No latent is in two tracks; a track has one latent a run at most."""

    latent: Int[np.ndarray, "tracks runs"]
    """The member in each run, -1 where there is none."""
    similarity: Float[np.ndarray, "tracks runs"]
    """Mean scored similarity of a member with the other members that it is matched with; NaN where there is none."""
    support: Float[np.ndarray, "tracks runs"]
    """Share of the other members that a member is matched with, at least the quorum; NaN where there is none."""
    sizes: tuple[int, ...]
    """Numbers of latents of the runs."""
    quorum: float
    least_runs: int

    @property
    def found(self) -> Int[np.ndarray, " tracks"]:
        """r of R: in how many runs a track has a member."""
        return np.asarray((self.latent >= 0).sum(1))

    @property
    def strength(self) -> Float[np.ndarray, " tracks"]:
        """Sum over members of support x similarity: r where all members are matched and alike, else less."""
        return np.asarray(np.nansum(self.support * self.similarity, axis=1))

    def of_latent(self, run: int) -> Int[np.ndarray, " latents"]:
        """The track of each latent of a run, -1 where it is in none."""
        track = np.full(self.sizes[run], -1)
        members = self.latent[:, run]
        track[members[members >= 0]] = np.flatnonzero(members >= 0)
        return track


def track(links: Links, sizes: Sequence[int], quorum: float = 0.5, least_runs: int = 3) -> Tracks:
    """Tracks of the latents of R runs from the matchings of all pairs, by partial synchronisation.

    `sizes` are the numbers of latents. A member is matched with at least a share `quorum` of the track's other members,
    and a track has at least `least_runs`. Deterministic, and the same in any order of runs and latents but for ties.
    Time grows with R^3 times the latents of a run, memory with R^2 times them: 50 runs of 2,000 latents take 0.3 GiB.
    Raises ValueError for fewer than 3 runs, matchings that are missing, out of range or not one to one, matched pairs
    without a finite similarity, and a quorum or `least_runs` out of range.
    """
    _check(len(sizes), quorum, least_runs)
    check_links(links, sizes)
    graph = _graph(links, sizes)
    label = _at_least(graph.forest(), least_runs)
    for _ in range(_MOST_PASSES):
        refined = _at_least(graph.project(label, quorum), least_runs)
        if np.array_equal(refined, label):
            break
        label = refined
    while True:  # where the votes went round in circles: who lacks the quorum leaves, and no one joins
        kept = _at_least(graph.project(label, quorum, join=False), least_runs)
        if np.array_equal(kept, label):
            break
        label = kept
    return _describe(graph, label, tuple(sizes), quorum, least_runs)


@dataclass(frozen=True)
class _Graph:
    """All latents of all runs in one row, and the partner of each in every run (itself in its own, -1 for none)."""

    run: Int[np.ndarray, " nodes"]
    partner: Int[np.ndarray, "nodes runs"]
    similarity: Float[np.ndarray, "nodes runs"]

    def trusted(self) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"]]:
        """Both ends of the links that enough other runs confirm, those with most votes first.

        A vote is a run where both ends have the same partner: a closed cycle of three matchings. Unrelated partners are
        the same latent of n with chance 1 / n, so to every run where they differ belong 1 / (n - 1) votes by accident
        (Poisson), and a link needs more than these.
        """
        runs = self.partner.shape[1]
        linked = self.partner >= 0
        alive = np.bincount(self.run[linked.sum(1) > 1], minlength=runs)
        accidents = np.arange(runs) / max(float(alive.mean()) - 1, 1)
        needed = np.clip(stats.poisson.isf(_CHANCE, accidents) + 1, 1, max(1, (runs - 2) // _MOST_ASKED))
        found = []
        for k in range(runs):
            ends = np.flatnonzero(linked[:, k] & (self.run < k))
            partners = self.partner[ends, k]
            both = linked[ends] & linked[partners]
            votes = ((self.partner[ends] == self.partner[partners]) & both).sum(1) - 2
            enough = votes >= needed[both.sum(1) - 2 - votes]
            found.append((votes[enough], self.similarity[ends[enough], k], ends[enough], partners[enough]))
        votes, similarity, ends, partners = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((partners, ends, -similarity, -votes))
        return ends[order], partners[order]

    def forest(self) -> Int[np.ndarray, " nodes"]:
        """First tracks: trusted links joined in turn, unless two latents of a run would meet (Kruskal 1956)."""
        parent = list(range(len(self.run)))
        runs = [1 << run for run in self.run.tolist()]

        def root(node: int) -> int:
            while parent[node] != node:
                parent[node] = parent[parent[node]]
                node = parent[node]
            return node

        for a, b in zip(*(ends.tolist() for ends in self.trusted()), strict=True):
            a, b = root(a), root(b)
            if a != b and not runs[a] & runs[b]:
                parent[b] = a
                runs[a] |= runs[b]
        return np.asarray([root(node) for node in range(len(parent))])

    def votes(self, label: Int[np.ndarray, " nodes"]) -> tuple[np.ndarray, ...]:
        """For each node and track with links between: node, track, their number, and the sum of their similarities."""
        ends, runs = np.nonzero(self.partner >= 0)
        partners = self.partner[ends, runs]
        chosen = (label[partners] >= 0) & (partners != ends)
        ends, runs, tracks = ends[chosen], runs[chosen], label[partners[chosen]]
        width = int(label.max(initial=-1)) + 1
        pairs, place = np.unique(ends * width + tracks, return_inverse=True)
        count = np.bincount(place, minlength=len(pairs))
        total = np.bincount(place, self.similarity[ends, runs], minlength=len(pairs))
        nodes, tracks = np.divmod(pairs, max(width, 1))
        return nodes, tracks, count, total

    def project(self, label: Int[np.ndarray, " nodes"], quorum: float, join: bool = True) -> Int[np.ndarray, " nodes"]:
        """One step of the projected power method: all votes for tracks, then at most one latent a run and track.

        Most votes first, ties by similarity. Greedy where the paper solves an assignment for each run: nearly all
        latents have votes for one track alone.
        """
        nodes, tracks, count, total = self.votes(label)
        size = np.bincount(label[label >= 0], minlength=int(label.max(initial=-1)) + 1)
        taken = np.zeros((len(size), self.partner.shape[1]), bool)
        taken[label[label >= 0], self.run[label >= 0]] = True
        others = size[tracks] - taken[tracks, self.run[nodes]]
        enough = (count >= np.maximum(quorum * others, _FEWEST_LINKS)) & (join | (label[nodes] == tracks))
        nodes, tracks, count, total = nodes[enough], tracks[enough], count[enough], total[enough]
        taken[:] = False
        new = np.full(len(label), -1)
        for at in np.lexsort((tracks, nodes, -total / count, -count)).tolist():
            node, one = nodes[at], tracks[at]
            if new[node] < 0 and not taken[one, self.run[node]]:
                new[node] = one
                taken[one, self.run[node]] = True
        return new


def _graph(links: Links, sizes: Sequence[int]) -> _Graph:
    starts = np.cumsum([0, *sizes])
    run = np.repeat(np.arange(len(sizes)), sizes)
    partner = np.full((len(run), len(sizes)), -1)
    similarity = np.full(partner.shape, np.nan)
    partner[np.arange(len(run)), run] = np.arange(len(run))
    for i, j, a, b, values in matched_pairs(links):
        partner[starts[i] + a, j], partner[starts[j] + b, i] = starts[j] + b, starts[i] + a
        similarity[starts[i] + a, j] = similarity[starts[j] + b, i] = values
    return _Graph(run, partner, similarity)


def _at_least(label: Int[np.ndarray, " nodes"], least_runs: int) -> Int[np.ndarray, " nodes"]:
    """Labels anew, from 0 on, of the tracks with enough members; -1 for the rest."""
    _, inverse, count = np.unique(label, return_inverse=True, return_counts=True)
    kept = (count >= least_runs) & (np.unique(label) >= 0)
    return np.asarray(np.where(kept, np.cumsum(kept) - 1, -1)[inverse])


def _describe(
    graph: _Graph, label: Int[np.ndarray, " nodes"], sizes: tuple[int, ...], quorum: float, least_runs: int
) -> Tracks:
    shape = (int(label.max(initial=-1)) + 1, len(sizes))
    latent = np.full(shape, -1)
    similarity, support = np.full(shape, np.nan), np.full(shape, np.nan)
    members = np.flatnonzero(label >= 0)
    latent[label[members], graph.run[members]] = members - np.cumsum([0, *sizes])[graph.run[members]]
    found = (latent >= 0).sum(1)
    nodes, tracks, count, total = graph.votes(label)
    own = label[nodes] == tracks
    nodes, tracks, count, total = nodes[own], tracks[own], count[own], total[own]
    similarity[tracks, graph.run[nodes]] = total / count
    support[tracks, graph.run[nodes]] = count / (found[tracks] - 1)
    strength = np.nansum(support * similarity, axis=1)
    order = np.lexsort((*latent.T[::-1], -strength, -found))
    return Tracks(latent[order], similarity[order], support[order], sizes, quorum, least_runs)


def _check(runs: int, quorum: float, least_runs: int) -> None:
    if runs < _FEWEST_RUNS:
        raise ValueError(f"Tracks need at least {_FEWEST_RUNS} runs, but there are {runs}: use `match` for two.")
    if not 0 < quorum <= 1:
        raise ValueError(f"quorum is a share of a track's other members, in (0, 1], but is {quorum}: 0.5 is usual.")
    if not _FEWEST_RUNS <= least_runs <= runs:
        raise ValueError(f"least_runs lies between {_FEWEST_RUNS} and the number of runs, {runs}, but is {least_runs}.")
