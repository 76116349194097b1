"""What became of each latent when something changed: kept, split, merged, born or gone?

Tracks are one to one and so can't see that a latent became two. This is a second, many-to-one pass between two ordered
conditions (before and after a widening, a retraining or more training), between two dictionaries or two sets of tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from homolog.alignment.decisions import upper_quantile
from homolog.alignment.matching import Matched
from homolog.alignment.tracks import Tracks


@dataclass(frozen=True)
class Transitions:
    """The best match of each latent in the other condition, -1 where it isn't above the null's quantile."""

    child: Int[np.ndarray, " before"]
    parent: Int[np.ndarray, " after"]
    child_similarity: Float[np.ndarray, " before"]
    """Scored similarity of the best match, above the threshold or not."""
    parent_similarity: Float[np.ndarray, " after"]
    child_p_value: Float[np.ndarray, " before"]
    parent_p_value: Float[np.ndarray, " after"]
    child_threshold: float
    parent_threshold: float

    @property
    def children(self) -> Int[np.ndarray, " before"]:
        """How many latents of after have it as their parent."""
        return np.bincount(self.parent[self.parent >= 0], minlength=len(self.child))

    @property
    def parents(self) -> Int[np.ndarray, " after"]:
        """How many latents of before have it as their child."""
        return np.bincount(self.child[self.child >= 0], minlength=len(self.parent))

    @property
    def kept(self) -> Bool[np.ndarray, " before"]:
        """It has one child and that child one parent, each the other's: neither split nor merged."""
        alone = (self.child >= 0) & (self.children == 1)
        kept = np.zeros(len(self.child), bool)
        child = self.child[alone]
        kept[alone] = (self.parent[child] == np.flatnonzero(alone)) & (self.parents[child] == 1)
        return kept

    @property
    def split(self) -> Bool[np.ndarray, " before"]:
        """Two or more latents of after come from it."""
        return np.asarray(self.children >= 2)

    @property
    def merged(self) -> Bool[np.ndarray, " after"]:
        """Two or more latents of before went into it."""
        return np.asarray(self.parents >= 2)

    @property
    def gone(self) -> Bool[np.ndarray, " before"]:
        """It has no child, and no latent of after has it as its parent."""
        return np.asarray((self.child < 0) & (self.children == 0))

    @property
    def born(self) -> Bool[np.ndarray, " after"]:
        """It has no parent, and no latent of before has it as its child."""
        return np.asarray((self.parent < 0) & (self.parents == 0))

    def to_dataset(self) -> xr.Dataset:
        """All of it as labelled arrays along `before` and `after`."""
        names: dict[str, tuple[str, ...]] = {
            "before": ("child", "child_similarity", "child_p_value", "children", "kept", "split", "gone"),
            "after": ("parent", "parent_similarity", "parent_p_value", "parents", "merged", "born"),
        }
        variables = {name: (dim, getattr(self, name)) for dim, group in names.items() for name in group}
        thresholds = {"child_threshold": self.child_threshold, "parent_threshold": self.parent_threshold}
        return xr.Dataset(variables, attrs=thresholds)


def transitions(
    forward: Matched, backward: Matched, null: Sequence[tuple[Matched, Matched]], level: float = 0.95
) -> Transitions:
    """Births, splits, merges and deaths from the best matches in both directions.

    `forward` is the matching `best_a_to_b` with before as a, `backward` is `best_b_to_a`; each draw of `null` is the
    same two, selected anew. A match counts when its similarity exceeds the null's quantile at `level`, over the latents
    of all draws: a share 1 - level of the latents that were born is given a parent by chance, so with many of them hold
    the p-values against each other (`decisions.benjamini_yekutieli`).
    Raises ValueError if there is no draw, or forward and backward don't fit each other.
    """
    for name, one, other in (("forward", forward, backward), ("backward", backward, forward)):
        if len(one.index) and int(one.index.max()) >= len(other.index):
            raise ValueError(
                f"{name} matches with latent {int(one.index.max())}, but the other side has {len(other.index)} "
                f"latents: give `best_a_to_b` and `best_b_to_a` of the same two dictionaries."
            )
    if not null:
        raise ValueError("What counts as a match is set by the null, but there are no draws of it: give some.")
    child = _counted(forward, np.concatenate([_similarity(draw[0]) for draw in null]), level)
    parent = _counted(backward, np.concatenate([_similarity(draw[1]) for draw in null]), level)
    return Transitions(child[0], parent[0], child[1], parent[1], child[2], parent[2], child[3], parent[3])


def track_similarity(
    before: Tracks,
    after: Tracks,
    similarities: Callable[[int, int], tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"]]],
) -> tuple[Float[np.ndarray, "before after"], Float[np.ndarray, "before after"]]:
    """Mean similarity of the members of each two tracks, to select and to score, (tracks before, tracks after).

    `similarities(i, j)` gives both for the latents of run i of before and run j of after.
    """
    shape = (len(before.latent), len(after.latent))
    selection, scoring = np.zeros(shape), np.zeros(shape)
    for i in range(len(before.sizes)):
        rows = np.flatnonzero(before.latent[:, i] >= 0)
        for j in range(len(after.sizes)):
            columns = np.flatnonzero(after.latent[:, j] >= 0)
            members = np.ix_(before.latent[rows, i], after.latent[columns, j])
            for total, block in zip((selection, scoring), similarities(i, j), strict=True):
                total[np.ix_(rows, columns)] += block[members]
    pairs = np.outer(before.found, after.found)
    return selection / pairs, scoring / pairs


def _similarity(matched: Matched) -> Float[np.ndarray, " latents"]:
    return matched.per_latent[matched.index >= 0].cpu().double().numpy()


def _counted(
    matched: Matched, null: Float[np.ndarray, " nulls"], level: float
) -> tuple[Int[np.ndarray, " latents"], Float[np.ndarray, " latents"], Float[np.ndarray, " latents"], float]:
    """Best match where it counts, similarity, p-value, threshold."""
    threshold = upper_quantile(null, level)
    index, similarity = matched.index.cpu().numpy(), matched.per_latent.cpu().double().numpy()
    as_large = len(null) - np.searchsorted(np.sort(null), similarity, "left")
    p_value = np.where(index >= 0, (1 + as_large) / (1 + len(null)), np.nan)
    return np.where((index >= 0) & (similarity > threshold), index, -1), similarity, p_value, threshold
