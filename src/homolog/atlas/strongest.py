"""Which logit do the members of a feature change most, and by how much, where all changes are known or the largest?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from homolog.atlas.network_effects import Added, Strongest

# What is said of an item in a list.
WORDS = 4
Members = Int[np.ndarray, "items runs"]
Found = tuple[Float[np.ndarray, " items"], Int[np.ndarray, " items"]]


def mean_of_members(members: Members, values: Sequence[Float[np.ndarray, "latents ..."]]) -> np.ndarray:
    """Mean over members of something that each run says of its latents, (item, ...); NaN where all are.

    `members` are numbers of latents in each run's dictionary, -1 for none.
    """
    more = values[0].shape[1:]
    total, count = np.zeros((2, len(members), *more))
    for run, of_run in enumerate(values):
        there = np.flatnonzero(members[:, run] >= 0)
        mine = of_run[members[there, run]]
        total[there] += np.nan_to_num(mine)
        count[there] += ~np.isnan(mine)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def strongest_effect(members: Members, effects: Sequence[Added | None]) -> Found:
    """The change that is largest in size, of the mean over members, and its class; NaN and -1 where it isn't known.

    Where only the largest changes of each latent are known, a member counts as 0 for the classes that aren't among its
    own: the mean is then no larger than it is.
    """
    known = [one for one in effects if one is not None]
    if len(known) < len(effects):
        return np.full(len(members), np.nan), np.full(len(members), -1)
    dense = [one.own for one in known if one.own is not None]
    if len(dense) < len(known):
        return _of_largest(members, [one.strongest for one in known])
    mean = mean_of_members(members, dense)
    unknown = np.isnan(mean).any(1)
    best = np.nan_to_num(np.abs(mean)).argmax(1)
    effect = mean[np.arange(len(mean)), best]
    return np.where(unknown, np.nan, effect), np.where(unknown, -1, best)


def largest_by_chance(members: Members, effects: Sequence[Added | None]) -> Float[np.ndarray, " items"]:
    """What chance does to a logit: the mean over members of each one's largest change, in size; NaN if unknown.

    Not the largest of the mean: the partners of members in different runs are drawn independently, so that their
    changes don't agree, and their mean falls with the number of runs as that of a feature's own changes doesn't.
    """
    known = [one for one in effects if one is not None]
    if len(known) < len(effects):
        return np.full(len(members), np.nan)
    return mean_of_members(members, [np.abs(one.null_strongest.change).max(1) for one in known])


def _of_largest(members: Members, largest: Sequence[Strongest]) -> Found:
    items, classes = len(members), 1 + max(int(one.which.max(initial=0)) for one in largest)
    counts = np.zeros(items)
    keys, changes = [np.empty(0, np.int64)], [np.empty(0)]
    for run, one in enumerate(largest):
        # Of a latent that is never active nothing is known.
        there = np.flatnonzero((members[:, run] >= 0) & ~np.isnan(one.change[members[:, run], 0]))
        latent = members[there, run]
        counts[there] += 1
        keys.append((there[:, None] * classes + one.which[latent]).ravel())
        changes.append(one.change[latent].ravel())
    key, which = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(which, np.concatenate(changes), minlength=len(key))
    effect, best = np.full(items, np.nan), np.full(items, -1)
    # Ascending in size, so that the largest of an item is what stays.
    order = np.argsort(np.abs(total), kind="stable")
    item, of_class = np.divmod(key[order], classes)
    effect[item], best[item] = total[order] / counts[item], of_class
    return effect, best


def strongest_on(
    members: Members, rows: Sequence[Int[np.ndarray, "_ top"]], words: Sequence[str | None]
) -> tuple[list[list[str]], list[list[int]]]:
    """By item, what its members' strongest rows are in a word: the most frequent ones, `WORDS` of them at most.

    And beside each item's words how many of the rows each is, and last of how many that have a word; nothing where none
    has. `rows` are by run, -1 for none; `words` by row. Of equally frequent words the one of a stronger row comes
    first.
    """
    listed = [one.tolist() for one in rows]
    found: list[list[str]] = []
    numbers: list[list[int]] = []
    for item in members.tolist():
        # Row by row of all members, so that what is strongest is met first.
        of_members = [listed[run][latent] for run, latent in enumerate(item) if latent >= 0]
        met = (words[row] for rank in zip(*of_members, strict=True) for row in rank if row >= 0)
        counts = Counter(word for word in met if word is not None)
        most = counts.most_common(WORDS)
        found.append([word for word, _ in most])
        numbers.append([*(count for _, count in most), counts.total()] if most else [])
    return found, numbers
