"""Which pairs of latents do the runs propose, two runs at a time: the matchings that tracks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.matching import Matched, match

Links = Mapping[tuple[int, int], Matched]
"""For runs i < j, numbered from 0: a one-to-one matching of the latents of i with those of j."""
Similarities = Callable[[int, int], tuple[Float[Tensor, "m n"], Float[Tensor, "m n"]]]
"""For runs i < j: the similarities of their latents that select pairs, and those, of the other half, that score."""


def link(
    similarities: Similarities,
    sizes: Sequence[int],
    matching: str = "hungarian",
    live: Sequence[Bool[np.ndarray, " latents"]] | None = None,
    at_least: float = -np.inf,
) -> dict[tuple[int, int], Matched]:
    """Match every two runs, selecting on one half and scoring on the other; `live` (one mask a run) leaves latents out.

    Pairs whose selecting similarity is below `at_least` are no links: the nearest latent to one that is gone is nearest
    again in the next run, and such a habit looks like a track. A null must be linked by the same value.
    Raises ValueError as `match` does, or if `live` doesn't fit `sizes`.
    """
    kept = [np.arange(size) for size in sizes] if live is None else [np.flatnonzero(mask) for mask in live]
    if live is not None and [len(mask) for mask in live] != list(sizes):
        raise ValueError(
            f"`live` needs a mask for each run, of sizes {list(sizes)}, but its sizes are {[len(m) for m in live]}."
        )
    links = {}
    for i, j in combinations(range(len(sizes)), 2):
        rows, columns = torch.as_tensor(kept[i]), torch.as_tensor(kept[j])
        selection, scoring = (similarity.cpu().double()[rows][:, columns] for similarity in similarities(i, j))
        found = match(selection, scoring, matching)
        index = found.index.clone()
        chosen = index >= 0
        chosen[chosen.clone()] = selection[chosen].gather(1, index[chosen, None])[:, 0] >= at_least
        whole = torch.full((sizes[i],), -1)
        whole[rows[chosen]] = columns[index[chosen]]
        per_latent = torch.full((sizes[i],), torch.nan, dtype=torch.float64)
        per_latent[rows[chosen]] = found.per_latent[chosen]
        links[i, j] = Matched(float(per_latent.nanmean()), per_latent, whole)
    return links


def match_candidates(
    candidates: Int[np.ndarray, "m k"],
    selection: Float[np.ndarray, "m k"],
    scoring: Float[np.ndarray, "m k"],
    latents_b: int,
) -> Matched:
    """One-to-one matching from the k nearest latents of b to each of a (-1 is none), where all pairs are too many.

    Greedy: the most similar pair first, then the most similar of what is left (at least half the sum of the best
    matching; Avis 1983). Ties go to the lower index. Raises ValueError if shapes differ or a candidate is out of range.
    """
    if not candidates.shape == selection.shape == scoring.shape:
        shapes = f"{candidates.shape}, {selection.shape} and {scoring.shape}"
        raise ValueError(f"candidates, selection and scoring need one shape, (latents of a, k), but have {shapes}.")
    if candidates.size and not -1 <= candidates.min() <= candidates.max() < latents_b:
        raise ValueError(f"candidates lie between {candidates.min()} and {candidates.max()}, but b has {latents_b}.")
    rows, places = np.nonzero(candidates >= 0)
    columns = candidates[rows, places]
    index, taken = np.full(len(candidates), -1), np.zeros(latents_b, bool)
    per_latent = np.full(len(candidates), np.nan)
    for at in np.lexsort((columns, rows, -selection[rows, places])).tolist():
        a, b = rows[at], columns[at]
        if index[a] < 0 and not taken[b]:
            index[a], taken[b], per_latent[a] = b, True, scoring[a, places[at]]
    value = float(np.nanmean(per_latent)) if (index >= 0).any() else np.nan
    return Matched(value, torch.as_tensor(per_latent), torch.as_tensor(index))


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
