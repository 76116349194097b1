"""How similar is each of many runs to each other one, when not even two of them need fit in memory?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from homolog.alignment.representations.canonical import check_variance
from homolog.alignment.representations.inputs import Array, tensor_of, warn_of_few_samples
from homolog.alignment.representations.pairs import COMPANIONS, DIRECTED, MEASURES, Options, Pair
from homolog.alignment.representations.procrustes import check_alpha
from homolog.alignment.representations.units import check_matching
from homolog.decompositions.moments import PART, Moments, moments, shifted
from homolog.decompositions.samples import BLOCK, InMemory, Samples
from homolog.store.arrays import input_ids_of, samples_of
from homolog.store.recorded import check_same_ids

Source = Array | str | Path | Samples
_CCA = {"cca_r2", "cca_mean", "svcca", "pwcca"}


class RepresentationSet:
    """N runs read at the same inputs, and what is kept of each: its mean, covariance and principal directions.

    `runs` are activations (samples, units) as arrays, files (.npy, .npz, .h5; see `homolog.fit`) or `Samples`, in a
    mapping from names or in a sequence; widths may differ. One pass over each here (N whitenings, not N^2), and in
    `compare` one more, in which all pairs come from matrix products over runs side by side.

    Accuracy: squares lose half of the digits, so that from moments a direction of deviation s is known to about
    eps64 (||X|| / s)^2, where a decomposition of the array would give eps64 ||X|| / s. The rounding of float32
    activations is worse than both, eps32 ||X|| / s, down to s = 2e-9 ||X||, and directions below 4.8e-7 ||X|| don't
    count here (`ranks`). So nothing is lost of float32 activations. Of float64 arrays, directions below that are: ask
    `canonical_correlations` and its like for these.

    Memory: `memory_bytes`, and three matrices of units x units for each run; HDF5 files stay on disk. Where the runs
    side by side don't go into it, groups of them are read again for each other group; no cross-product outlives its
    group.

    Rows answer to each other by their place. Where files say which input each row is (`input_id`: in an .npz beside the
    array, at the root of an HDF5 file; of an activations.h5 of the pipeline the train rows' own), these are compared;
    of arrays, `Samples` and .npy files nothing is known, so that rows in another order can't be told there: they give
    low similarities. Raises ValueError for fewer than 2 runs or samples, numbers of samples or input ids that differ,
    values that aren't finite, and what `homolog.fit` refuses of a file.
    """

    def __init__(
        self,
        runs: Mapping[str, Source] | Sequence[Source],
        hook_point: str | None = None,
        device: str | torch.device = "cpu",
        memory_bytes: int = 2**30,
    ) -> None:
        named = dict(runs) if isinstance(runs, Mapping) else {str(i): run for i, run in enumerate(runs)}
        self.names = list(named)
        self._memory = memory_bytes
        self._sides = [_open(name, run, hook_point, device) for name, run in named.items()]
        self._require_same_samples()
        self._require_same_inputs(named)
        self.samples = self._sides[0].samples
        self.units = [side.units for side in self._sides]
        self.moments = [self._moments(name, side) for name, side in zip(self.names, self._sides, strict=True)]

    @property
    def ranks(self) -> list[int]:
        """Principal directions of each run that are more than float32 rounding."""
        return [m.rank for m in self.moments]

    @property
    def samples_per_unit(self) -> float:
        """Samples over the largest number of units: print it beside every CCA."""
        return self.samples / max(self.units)

    def compare(
        self,
        *measures: str,
        variance: float = 0.99,
        alpha: float = 1.0,
        scale: bool = False,
        matching: str = "bipartite",
    ) -> xr.Dataset:
        """All pairs by some of MEASURES: one variable (run_a, run_b) each, a run with itself on the diagonal.

        Names and numbers are those of the functions in `homolog.alignment`; `cca_mean` and `cca_r2` are the means of
        the canonical correlations and of their squares. `pwcca` (run_a weighs), `transfer_fvu` (of run_b from run_a)
        and `unit_matching` (semi) are directed. `cca_r2_null` and `largest_row_share` stand beside what they qualify;
        `rank` and `units` along `run_a`, `samples` and `samples_per_unit` as attributes. Options as in the functions.
        Warns of few samples as `canonical_correlations` does. Raises ValueError for a measure that isn't there, none,
        an option out of range, or fewer than 4 samples for `debiased_cka`.
        """
        options = Options(variance, alpha, scale, matching)
        wanted = self._wanted(measures, options)
        if _CCA & set(wanted):
            warn_of_few_samples("CCA of the set", self.samples, *sorted(self.ranks)[-2:])
        values = {name: np.full((len(self.names),) * 2, np.nan) for name in wanted}
        for (i, j), pair in self.pairs():
            swapped = pair.swapped
            for name in wanted:
                values[name][i, j] = MEASURES[name](pair, options)
                values[name][j, i] = MEASURES[name](swapped, options) if name in DIRECTED else values[name][i, j]
        return xr.Dataset(
            {name: (("run_a", "run_b"), matrix) for name, matrix in values.items()}
            | {"rank": ("run_a", self.ranks), "units": ("run_a", self.units)},
            coords={"run_a": self.names, "run_b": self.names},
            attrs={"samples": self.samples, "samples_per_unit": self.samples_per_unit},
        )

    def pairs(self) -> Iterator[tuple[tuple[int, int], Pair]]:
        """Each pair of runs once, by their places (i <= j), with its second moments; grouped so as to bound memory."""
        groups = self._groups()
        for first, rows in enumerate(groups):
            for columns in groups[first:]:
                yield from self._tile(rows, columns)

    def _tile(self, rows: range, columns: range) -> Iterator[tuple[tuple[int, int], Pair]]:
        """The pairs (i, j), i <= j, of one group of runs with another, or with itself: in one pass over both."""
        members = list(rows) if rows == columns else [*rows, *columns]
        places = dict(zip(members, _slices(self.units[k] for k in members), strict=True))
        partners = {i: [j for j in columns if j > i] for i in rows}
        device = self._sides[0].device
        products = {
            i: torch.zeros(self.units[i], sum(self.units[j] for j in partners[i]), dtype=torch.float64, device=device)
            for i in rows
        }
        row_products = torch.zeros(len(members), len(members), dtype=torch.float64, device=device)
        largest = torch.zeros_like(row_products)
        shift = torch.cat([self.moments[k].mean for k in members])
        for part in shifted(*(self._sides[k] for k in members), shift=shift):
            squares = torch.stack([part[:, places[k]].square().sum(1) for k in members], 1)
            row_products.addmm_(squares.T, squares)
            for column in range(len(members)):
                torch.maximum(largest[column], (squares[:, column, None] * squares).amax(0), out=largest[column])
            for i, others in partners.items():
                if others:
                    beside = slice(places[others[0]].start, places[others[-1]].stop)
                    products[i].addmm_(part[:, places[i]].T, part[:, beside])
        sums, peaks = row_products.tolist(), largest.tolist()
        at = {k: position for position, k in enumerate(members)}
        for i in rows:
            own = self.moments[i]
            if rows == columns:
                yield (i, i), Pair(own, own, own.covariance, (sums[at[i]][at[i]],) * 3, peaks[at[i]][at[i]])
            cross = products.pop(i)
            for j, place in zip(partners[i], _slices(self.units[j] for j in partners[i]), strict=True):
                a, b = at[i], at[j]
                yield (
                    (i, j),
                    Pair(
                        own,
                        self.moments[j],
                        cross[:, place] / self.samples,
                        (sums[a][b], sums[a][a], sums[b][b]),
                        peaks[a][b],
                    ),
                )

    def _groups(self) -> list[range]:
        """Runs in groups, two of which can be worked on at once within the memory."""
        edges, width = [0], 0
        for k, units in enumerate(self.units):
            width += units
            if width > units and self._bytes(width) > self._memory:
                edges.append(k)
                width = units
        return [range(*edge) for edge in pairwise([*edges, len(self.units)])]

    def _bytes(self, width: int) -> int:
        """What two groups of so many units each take: products and their copies, a part in float64, blocks of files."""
        blocks = 2 * BLOCK * 4 if any(side.stored for side in self._sides) else 0
        return 8 * width * width + 2 * width * (8 * PART + blocks)

    def _wanted(self, measures: Sequence[str], options: Options) -> list[str]:
        unknown = [name for name in measures if name not in MEASURES]
        if unknown or not measures:
            raise ValueError(
                f"compare needs measures that there are, but got {', '.join(unknown) or 'none'}: choose among "
                f"{', '.join(MEASURES)}."
            )
        if "debiased_cka" in measures and self.samples < 4:
            raise ValueError(f"debiased CKA needs at least 4 samples, but there are {self.samples}: give more.")
        check_variance(options.variance)
        check_alpha(options.alpha)
        check_matching(options.matching)
        wanted = [[name, *COMPANIONS.get(name, [])] for name in measures]
        return list(dict.fromkeys(name for names in wanted for name in names))

    def _require_same_samples(self) -> None:
        counts = {name: side.samples for name, side in zip(self.names, self._sides, strict=True)}
        if len(counts) < 2 or len(set(counts.values())) > 1 or min(counts.values()) < 2:
            seen = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise ValueError(
                f"A set of representations needs at least 2 runs with the same samples, at least 2 of them, but the "
                f"samples are {seen or 'none'}: read all runs at the same inputs."
            )

    def _require_same_inputs(self, runs: Mapping[str, Source]) -> None:
        paths = {name: run for name, run in runs.items() if isinstance(run, str | Path)}
        found = [(name, input_ids_of(path, self._sides[0].samples)) for name, path in paths.items()]
        check_same_ids([(f"run {name}", ids.numpy()) for name, ids in found if ids is not None])

    def _moments(self, name: str, side: Samples) -> Moments:
        own = moments(side)
        if not side.finite:
            raise ValueError(
                f"run {name}: activations of shape ({side.samples}, {side.units}) hold NaN or infinity: leave out the "
                f"rows that hold them, in all runs alike."
            )
        return own


def _open(name: str, source: Source, hook_point: str | None, device: str | torch.device) -> Samples:
    if isinstance(source, Samples):
        return source
    if isinstance(source, str | Path):
        return samples_of(source, hook_point, device, in_memory_bytes=0)  # Many small files are a large one.
    values = tensor_of("a set of representations", f"run {name}", source)
    return InMemory(values.to(device, torch.float64 if values.dtype == torch.float64 else torch.float32))


def _slices(widths: Iterator[int]) -> list[slice]:
    return [slice(*edge) for edge in pairwise([0, *accumulate(widths)])]
