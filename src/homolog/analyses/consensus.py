"""What do the tracks of one decomposition say: how many of its latents come back, on the scale of nulls and ceiling?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from homolog.alignment.decisions import lower_bound
from homolog.alignment.links import Links, link, link_level
from homolog.alignment.statistics import jackknife_interval, mean_over_pairs
from homolog.alignment.survival import coverage, followed, survival
from homolog.alignment.track_nulls import Significance, significance, table
from homolog.alignment.tracks import Tracks
from homolog.alignment.tracks import track as synchronise
from homolog.analyses.scores import Codes, similarities
from homolog.streams import stream

# Which rows a member was fitted to, and its seed.
Key = tuple[str, int]
NULL, CONDITIONAL = "null", "conditional_null"
# Draws that set what a link must reach: a quantile over all their links.
LEVEL_DRAWS = 20
# Of the bounds on r of R.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Series:
    """One grid point of a decomposition at one hook point: the codes of its members by run."""

    hook_point: str
    label: str
    signed: bool
    codes: dict[str, dict[Key, Codes]]

    def first(self, run: str) -> Codes:
        """The member fitted to all rows, of the lowest seed."""
        return self.codes[run]["all", min(seed for _, seed in self.codes[run])]

    def members(self, run: str, most: int) -> list[Codes]:
        """Up to so many members of a run, those fitted to all rows first."""
        order = sorted(self.codes[run], key=lambda key: (key[0] != "all", key))
        return [self.codes[run][key] for key in order[:most]]

    def shuffled(self, runs: list[str], kind: str, draw: int | str) -> list[Codes]:
        """One draw of a null: every run's inputs permuted by themselves."""
        key = (self.hook_point, self.label, draw)
        within = kind == CONDITIONAL
        return [self.first(run).shuffled(stream("tracks", kind, run, *key), within) for run in runs]


@dataclass(frozen=True)
class Tracked:
    """The tracks of some runs, what they were made of, and which of the latents count."""

    tracks: Tracks
    links: Links
    codes: list[Codes]

    @property
    def coverage(self) -> Float[np.ndarray, "runs runs"]:
        """Share of a run's live latents whose track has a member in another run."""
        return coverage(self.tracks, [codes.live for codes in self.codes])

    @property
    def survival(self) -> Float[np.ndarray, " found"]:
        """Share of a run's live latents in a track of at least r runs."""
        return survival(self.tracks, [codes.live for codes in self.codes])


def tracked(codes: list[Codes], signed: bool, options: dict[str, Any], at_least: float) -> Tracked:
    """Match the codes of every two of three runs or more and synchronise the matchings; errors as `tracks.track`."""
    sizes, live = [len(one.live) for one in codes], [one.live for one in codes]
    links = link(similarities(codes, signed), sizes, live, at_least)
    return Tracked(synchronise(links, sizes, options["quorum"], options["least_runs"]), links, codes)


def level_of(series: Series, runs: list[str], options: dict[str, Any]) -> float:
    """What a link of these runs must reach: the null's quantile."""
    draws = [series.shuffled(runs, NULL, f"level {draw}") for draw in range(LEVEL_DRAWS)]
    sizes, live = [len(one.live) for one in draws[0]], [one.live for one in draws[0]]
    return link_level((similarities(draw, series.signed) for draw in draws), sizes, live, options["level"])


class Groups:
    """Where the runs of each group stand among those that count, and what planning says of them."""

    def __init__(self, groups: list[list[Any]], runs: list[str]) -> None:
        self._facts = {(name, one["run"]): one for name, members in groups for one in members}
        self.runs = runs
        self.index = {name: [k for k, run in enumerate(runs) if (name, run) in self._facts] for name, _ in groups}

    def facts(self, group: str, index: Iterable[int], which: str) -> list[str]:
        """`unit` of replication, `base` (empty for independent runs) or `initial` run of some runs of a group.

        `initial` is empty for runs that others recorded.
        """
        return [self._facts[group, self.runs[k]][which] for k in index]

    def independent(self, group: str) -> bool:
        """Whether there are runs, each a unit of replication by itself."""
        units = self.facts(group, self.index[group], "unit")
        return len(units) == len(set(units)) > 0

    def pairs(self, source: str, target: str) -> list[tuple[int, int]]:
        """Two different runs each; retrainings and bases only of one base."""
        ends = [
            zip(self.index[name], self.facts(name, self.index[name], "base"), strict=True) for name in (source, target)
        ]
        return [(i, j) for (i, a), (j, b) in product(*ends) if i != j and (a == b or not (a and b))]

    @property
    def initial_runs(self) -> list[str]:
        """The runs as they were before the redrawn weights were trained, each once; none where nobody knows."""
        found = [self.facts(name, index, "initial") for name, index in self.index.items()]
        return [name for name in dict.fromkeys(chain(*found)) if name]


@dataclass(frozen=True)
class Consensus:
    """The tracks of one series over the runs that count, redone under both nulls and among each run's own members.

    Without labels there is no conditional null, and of runs that others recorded no step 0.
    """

    series: Series
    runs: list[str]
    at_least: float
    found: Tracked
    judged: dict[str, Significance]
    refits: list[Tracked]
    initial: Tracked | None

    @classmethod
    def of(cls, series: Series, groups: Groups, options: dict[str, Any]) -> Consensus:
        """Track three runs or more; raises ValueError as `tracks.track` and `significance` do."""
        runs, signed = groups.runs, series.signed
        at_least = level_of(series, runs, options)
        found = tracked([series.first(run) for run in runs], signed, options, at_least)
        sizes, live = found.tracks.sizes, [one.live for one in found.codes]
        judged = {}
        for kind in (NULL, CONDITIONAL) if all(one.labels for one in found.codes) else (NULL,):
            draws = (series.shuffled(runs, kind, draw) for draw in range(options["null_draws"]))
            links = (link(similarities(draw, signed), sizes, live, at_least) for draw in draws)
            judged[kind] = significance(found.tracks, found.links, links)
        members = [series.members(run, len(runs)) for run in runs]
        refits = [tracked(one, signed, options, at_least) for one in members if len(one) >= options["least_runs"]]
        before = [series.first(run) for run in groups.initial_runs]
        initial = tracked(before, signed, options, at_least) if before else None
        return cls(series, runs, at_least, found, judged, refits, initial)

    def tracks(self, groups: Groups) -> xr.Dataset:
        """Along `track`: members, similarities, p-values against both nulls, and in how many runs of each group."""
        tracks, against = self.found.tracks, self.judged.get(CONDITIONAL)
        dataset = table(tracks, self.runs, self.judged[NULL]).drop_attrs()
        dataset = dataset.drop_vars(["found_low", "n_latents", "null_found"])
        found_in = {name: (tracks.latent[:, index] >= 0).sum(1) for name, index in groups.index.items()}
        # Runs of several bases aren't independent trials: then there is no exact bound.
        bound = {
            name: lower_bound(found, len(groups.index[name]), CONFIDENCE)
            if groups.independent(name)
            else np.full(len(found), np.nan)
            for name, found in found_in.items()
        }
        size = dataset.sizes["track"]
        unknown = np.full(size, np.nan)
        return dataset.assign(
            conditional_p_value=("track", unknown if against is None else against.p_value),
            conditional_adjusted_p_value=("track", unknown if against is None else against.adjusted),
            found_in=(("track", "group"), np.stack(list(found_in.values()), axis=1)),
            found_in_low=(("track", "group"), np.stack(list(bound.values()), axis=1)),
            hook_point_of_track=("track", np.full(size, self.series.hook_point, object)),
            decomposition_of_track=("track", np.full(size, self.series.label, object)),
        )

    def summary(self, groups: Groups) -> xr.Dataset:
        """How many latents come back in how many runs, and from group to group, with nulls and ceiling."""
        codes = self.found.codes
        of_runs = xr.Dataset(
            {
                "n_latents": ("run", [len(one.live) for one in codes]),
                "live_latents": ("run", [int(one.live.sum()) for one in codes]),
                "link_level": self.at_least,
            },
            {"run": self.runs, "group": list(groups.index)},
        )
        return xr.merge([of_runs, self._survival(), self._coverage(groups), self._reference(groups)])

    def _survival(self) -> xr.Dataset:
        live = [codes.live for codes in self.found.codes]
        variables: dict[str, Any] = {"survival": ("r", self.found.survival)}
        unknown = np.full(len(live) + 1, np.nan)
        for kind in (NULL, CONDITIONAL):
            one = self.judged.get(kind)
            shares = [unknown] if one is None else [survival(tracks, live) for tracks in one.null_tracks]
            variables[f"{kind}_survival"] = ("r", np.mean(shares, axis=0))
            variables[f"{kind}_found"] = ("r", unknown if one is None else one.null_found)
        # All runs have as many members.
        own = [refit.survival for refit in self.refits]
        variables["ceiling_survival"] = ("fit", np.mean(own, axis=0) if own else np.empty(0))
        variables["n_fits"] = len(self.refits[0].codes) if own else 0
        coordinates = {"r": np.arange(len(live) + 1), "fit": np.arange(variables["n_fits"] + 1 if own else 0)}
        return xr.Dataset(variables, coordinates)

    def _coverage(self, groups: Groups) -> xr.Dataset:
        """Share of the latents of one group's runs whose track has a member in another's: a mean over pairs of runs."""
        live = [codes.live for codes in self.found.codes]
        refits = [float(mean_over_pairs(refit.coverage.ravel())) for refit in self.refits]
        own = np.array(refits or [np.nan] * len(self.runs))
        roles = {"": self.found.coverage, "ceiling_": (own[:, None] + own) / 2}
        for kind, one in self.judged.items():
            roles[f"{kind}_"] = np.mean([coverage(tracks, live) for tracks in one.null_tracks], axis=0)
        known = ("", "ceiling_", f"{NULL}_", f"{CONDITIONAL}_", "initial_")
        columns = [f"{role}coverage" for role in known] + ["coverage_low", "coverage_high"]
        means = {name: np.full((len(groups.index),) * 2, np.nan) for name in columns}
        for s, source in enumerate(groups.index):
            for t, target in enumerate(groups.index):
                pairs = groups.pairs(source, target)
                if not pairs:
                    continue
                i, j = (list(side) for side in zip(*pairs, strict=True))
                for role, values in roles.items():
                    means[f"{role}coverage"][s, t] = mean_over_pairs(values[i, j])
                if self.initial is not None:
                    ends = [groups.facts(name, index, "initial") for name, index in ((source, i), (target, j))]
                    at, to = ([groups.initial_runs.index(one) for one in end] for end in ends)
                    means["initial_coverage"][s, t] = mean_over_pairs(self.initial.coverage[at, to])
                units_a, units_b = groups.facts(source, i, "unit"), groups.facts(target, j, "unit")
                interval = jackknife_interval(roles[""][i, j], units_a, units_b)
                means["coverage_low"][s, t], means["coverage_high"][s, t] = interval.low, interval.high
        labels = {dim: list(groups.index) for dim in ("source", "target")}
        return xr.Dataset({name: (("source", "target"), values) for name, values in means.items()}, labels)

    def _reference(self, groups: Groups) -> xr.Dataset:
        """Of each latent of the first run: in what share of a group's runs its track has a member; NaN if not live."""
        there = followed(self.found.tracks, 0).astype(float)
        there[~self.found.codes[0].live] = np.nan
        source = next(name for name, index in groups.index.items() if 0 in index)
        columns = []
        for target in groups.index:
            others = [j for i, j in groups.pairs(source, target) if i == 0]
            columns.append(there[:, others].mean(1) if others else np.full(len(there), np.nan))
        labels = {"reference_latent": np.arange(len(there)), "target": list(groups.index)}
        return xr.Dataset({"reference_survival": (("reference_latent", "target"), np.stack(columns, axis=1))}, labels)
