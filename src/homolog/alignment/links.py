"""Which pairs of latents do the runs propose, two runs at a time: the matchings that tracks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.assignment.assign import sparse_assignment
from homolog.alignment.assignment.pairs import Pairs
from homolog.alignment.decisions import upper_quantile
from homolog.alignment.matching import Matched, match

Links: TypeAlias = Mapping[tuple[int, int], Matched]
"""For runs i < j, numbered from 0: a one-to-one matching of the latents of i with those of j."""
Matrix: TypeAlias = Float[Tensor, "m n"] | Pairs
Similarities: TypeAlias = Callable[[int, int], tuple[Matrix, Matrix]]
"""For runs i < j: the similarities of their live latents that select pairs, and those, of the other half, that score.

Matrices, or `Pairs` that never are in memory as one (`sparse_codes.Correlation`, `assignment.pairs.Cosine`).
"""


def link(
    similarities: Similarities,
    sizes: Sequence[int],
    live: Sequence[Bool[np.ndarray, " _"]] | None = None,
    at_least: float = -np.inf,
) -> dict[tuple[int, int], Matched]:
    """Match every two runs one to one with the largest sum, selecting on one half and scoring on the other.

    `sizes` are the numbers of latents; of these `live` (one mask a run; all if not given) take part. Exact, by a dense
    assignment, or on candidates for `Pairs` and for two large dictionaries (science.md, section 4).
    Pairs whose selecting similarity is below `at_least` are no links: the nearest latent to one that is gone is nearest
    again in the next run, and such a habit looks like a track. A null must be linked by the same value (`link_level`).
    Raises ValueError as `match` and `sparse_assignment` do, or if `live` doesn't fit `sizes` or the similarities.
    """
    kept = [np.arange(size) for size in sizes] if live is None else [np.flatnonzero(mask) for mask in live]
    if live is not None and [len(mask) for mask in live] != list(sizes):
        raise ValueError(
            f"`live` needs a mask for each run, of sizes {list(sizes)}, but its sizes are {[len(m) for m in live]}."
        )
    links = {}
    for i, j in combinations(range(len(sizes)), 2):
        whole = torch.full((sizes[i],), -1)
        per_latent = torch.full((sizes[i],), torch.nan, dtype=torch.float64)
        if len(kept[i]) and len(kept[j]):
            selection, scoring = similarities(i, j)
            if tuple(selection.shape) != (len(kept[i]), len(kept[j])):
                raise ValueError(
                    f"Runs {i} and {j} have {len(kept[i])} and {len(kept[j])} live latents, but their similarities "
                    f"have shape {tuple(selection.shape)}: give those of the live latents alone."
                )
            a, b, value = _one_to_one(selection, scoring, at_least)
            whole[kept[i][a]] = torch.as_tensor(kept[j][b])
            per_latent[kept[i][a]] = torch.as_tensor(value)
        links[i, j] = Matched(float(per_latent.nanmean()), per_latent, whole)
    return links


def link_level(
    null: Iterable[Similarities],
    sizes: Sequence[int],
    live: Sequence[Bool[np.ndarray, " _"]] | None = None,
    level: float = 0.95,
) -> float:
    """What a link must reach: the null's quantile of the selecting similarities of matched pairs, over all draws.

    `sizes` and `live` as for `link`. Raises ValueError as `link` and `decisions.upper_quantile` do.
    """
    found: list[Float[np.ndarray, " links"]] = []
    for draw in null:

        def selecting(i: int, j: int, draw: Similarities = draw) -> tuple[Matrix, Matrix]:
            return (draw(i, j)[0],) * 2

        found += [values for *_, values in matched_pairs(link(selecting, sizes, live))]
    return upper_quantile(np.concatenate([np.empty(0), *found]), level)


def _one_to_one(
    selection: Matrix, scoring: Matrix, at_least: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """The pairs of the best matching that are similar enough, and how they score."""
    if isinstance(selection, Pairs):
        found = sparse_assignment(selection, scoring)
        a = np.flatnonzero(found.index.numpy() >= 0)
        b = found.index.numpy()[a]
        selected, scored = selection.exact(a, b), found.similarity.numpy()[a]
    else:
        matched = match(selection.cpu().double(), scoring.cpu().double(), "hungarian")  # type: ignore[union-attr]  # both are of one kind
        index = matched.index.numpy()
        a = np.flatnonzero(index >= 0)
        b = index[a]
        selected, scored = selection.cpu().numpy()[a, b], matched.per_latent.numpy()[a]
    enough = selected >= at_least
    return a[enough], b[enough], scored[enough]


def matched_pairs(links: Links) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """For each two runs: i, j, the linked latents of i, their partners in j, and their similarities."""
    for (i, j), matched in links.items():
        index = matched.index.cpu().numpy()
        a = np.flatnonzero(index >= 0)
        yield i, j, a, index[a], matched.per_latent.cpu().double().numpy()[a]


def check_links(links: Links, sizes: Sequence[int]) -> None:
    """Raise ValueError for matchings that are missing, out of range, not one to one or without a finite similarity."""
    runs = len(sizes)
    missing = [pair for pair in combinations(range(runs), 2) if pair not in links]
    if missing or len(links) != runs * (runs - 1) // 2:
        raise ValueError(
            f"Tracks of {runs} runs need a matching for each pair i < j, {runs * (runs - 1) // 2} in all, but there "
            f"are {len(links)}, and {len(missing)} are missing{f', e.g. {missing[0]}' if missing else ''}."
        )
    for i, j, a, b, values in matched_pairs(links):
        length = len(links[i, j].index)
        if length != sizes[i] or (len(b) and b.max() >= sizes[j]):
            raise ValueError(
                f"The matching of runs {i} and {j} has {length} latents and partners up to {b.max(initial=-1)}, but "
                f"the runs have {sizes[i]} and {sizes[j]} latents."
            )
        if len(np.unique(b)) != len(a):
            raise ValueError(
                f"The matching of runs {i} and {j} is not one to one: {len(a)} latents share {len(np.unique(b))} "
                f"partners. Use `hungarian` for tracks, and `transitions` for splits and merges."
            )
        if not np.isfinite(values).all():
            raise ValueError(f"The matching of runs {i} and {j} has matched latents whose similarity isn't finite.")
