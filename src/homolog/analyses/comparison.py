"""How similar are the dictionaries of two runs in one view, over halves of the data and seeds of the method?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil, nan

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.alignment.matching import match_values
from homolog.alignment.random_dictionaries import ISOTROPIC, SPECTRAL, random_dictionary
from homolog.alignment.views.base import Signatures, Similarities, View
from homolog.dictionary import Dictionary
from homolog.streams import stream

# Which rows a member was fitted to, and its seed.
Key = tuple[str, int]
OBSERVED, NULL, CONDITIONAL = "observed", "null", "conditional_null"


@dataclass
class Fitted:
    """One grid point of a decomposition in one run: its members by rows and seed, and the layer they were fitted to."""

    layer: Layer
    label: str
    members: dict[Key, Dictionary]
    _cache: dict[tuple[str, Key, str, int], Signatures | None] = field(default_factory=dict)
    _plain: dict[tuple[str, Key], Signatures] = field(default_factory=dict)
    _seen: dict[tuple[str, Key], Bool[Tensor, " latents"]] = field(default_factory=dict)
    _live: dict[Key, Bool[Tensor, " latents"]] = field(default_factory=dict)

    @property
    def ordered(self) -> bool:
        return next(iter(self.members.values())).ordered

    @property
    def signed(self) -> bool:
        return next(iter(self.members.values())).signed

    def signatures(self, view: View, key: Key, kind: str = OBSERVED, draw: int = 0) -> Signatures | None:
        """Signatures of the latents that the view sees, as they are or as one draw of a null has them."""
        entry = (view.name, key, kind, draw)
        if entry not in self._cache:
            self._cache[entry] = self._signatures(view, key, kind, draw)
        return self._cache[entry]

    def forget(self) -> None:
        """Let go of the signatures: those of one view and one method are large, and no other asks for them."""
        self._cache.clear()
        self._plain.clear()

    def seen(self, view: View, key: Key) -> Bool[Tensor, " latents"]:
        """Live latents of which the view sees something: one that never fires on its inputs has nothing to compare."""
        entry = (view.name, key)
        if entry not in self._seen:
            self.signatures(view, key)
        return self._seen[entry]

    def _signatures(self, view: View, key: Key, kind: str, draw: int) -> Signatures | None:
        plain = self._of_all(view, key)
        seen = self._seen[view.name, key]
        if kind == OBSERVED:
            return plain if bool(seen.all()) else plain.of(seen)
        generator = stream(kind, self.layer.run, self.layer.hook_point, self.label, *key, draw)
        found = _draw(view, kind, self.layer, self.members[key], generator, plain)
        if found is not None and kind in (ISOTROPIC, SPECTRAL):
            # A drawn latent that falls silent says nothing of chance.
            seen = seen & found.seen.to(seen.device)
        return None if found is None else found.of(seen)

    def _of_all(self, view: View, key: Key) -> Signatures:
        """Signatures of all latents, those too of which nothing is seen: computed once, as they take longest."""
        entry = (view.name, key)
        if entry not in self._plain:
            plain = self._plain[entry] = view.signatures(self.layer, self.members[key])
            if key not in self._live:
                # Dead latents would compare nothing. To encode takes long: not where it's known already.
                known = live_latents(self.layer, self.members[key]) if plain.live is None else plain.live
                self._live[key] = known.to(self.layer.order.device)
            self._seen[entry] = self._live[key] & plain.seen.to(self.layer.order.device)
        return self._plain[entry]


def live_latents(layer: Layer, dictionary: Dictionary) -> Bool[Tensor, " latents"]:
    """Latents that are active at least once in each fold of held-out inputs."""
    return torch.stack([(dictionary.codes(rows) != 0).any(0) for rows in layer.activations.values()]).all(0)


def _draw(
    view: View, kind: str, layer: Layer, dictionary: Dictionary, generator: torch.Generator, plain: Signatures
) -> Signatures | None:
    """Signatures of one draw of a null: the view's own two, or those of a random dictionary that reads the layer."""
    if kind == NULL:
        return view.null(layer, dictionary, generator, plain)
    if kind == CONDITIONAL:
        return view.conditional_null(layer, dictionary, generator, plain)
    return view.signatures(layer, random_dictionary(kind, layer, dictionary, generator))


def turns_dictionary(view: View) -> bool:
    """Whether the view's own null already is a turned dictionary, and not a permutation of inputs."""
    return type(view).null is View.null


def refits(a: Fitted, b: Fitted) -> list[tuple[Key, Key]]:
    """Members to compare: always other halves of the data and, for a method with several seeds, other seeds.

    The same for two runs and within one run, so that between an observed value and its ceiling only the run differs.
    Dictionaries that others trained need not be there for halves: then all rows stand for both, and with one seed a run
    has no ceiling.
    """
    seeds_a, seeds_b = ({seed for _, seed in fitted.members} for fitted in (a, b))
    several = len(seeds_a | seeds_b) > 1
    if not all((rows, seed) in one.members for one in (a, b) for rows in "ab" for _, seed in one.members):
        whole = [(s, t) for s in sorted(seeds_a) for t in sorted(seeds_b) if s != t or (not several and a is not b)]
        return [(("all", s), ("all", t)) for s, t in whole]
    return [
        ((rows_a, s), (rows_b, t))
        for rows_a, rows_b in (("a", "b"), ("b", "a"))
        for s in sorted(seeds_a)
        for t in sorted(seeds_b)
        if s != t or not several
    ]


def same_members(a: Fitted, b: Fitted) -> list[tuple[Key, Key]]:
    """Each member fitted to all rows with its namesake: for a run against itself in another gauge."""
    return [(key, key) for key in a.members if key[0] == "all" and key in b.members]


@dataclass(frozen=True)
class Similarity:
    """Mean similarity by matching, (matchings,), and by rank, (ranks,); NaN where not defined."""

    by_matching: Float[np.ndarray, " matchings"]
    by_rank: Float[np.ndarray, " ranks"]


def compare(
    view: View,
    a: Fitted,
    b: Fitted,
    members: list[tuple[Key, Key]],
    matchings: list[str],
    ranks: int,
    kind: str = OBSERVED,
    draws: int = 1,
) -> Similarity:
    """Mean similarity over pairs of members; with a null, over at least `draws` draws of b's signatures in all.

    Raises ValueError where the comparison isn't identified, unless the view was asked for by name.
    """
    undefined = Similarity(np.full(len(matchings), nan), np.full(ranks, nan))
    if not members or not view.defined(a.layer, b.layer):
        return undefined
    view.check(a.layer, b.layer)
    transport = view.transport(a.layer, b.layer)
    stacks: dict[torch.Size, list[Similarities]] = defaultdict(list)
    for key_a, key_b in members:
        own = a.signatures(view, key_a)
        for draw in range(ceil(draws / len(members))):
            other = b.signatures(view, key_b, kind, draw)
            if own is None or other is None:
                return undefined
            matrices = view.similarities(own, other, transport, a.signed, matchings)
            stacks[matrices[0].shape].append(matrices)
    values = [[] for _ in matchings]  # type: list[list[Tensor]]
    diagonals = []
    for stack in stacks.values():
        selection, scoring, *share_of = (torch.stack(matrices).cpu() for matrices in zip(*stack, strict=True))
        for row, matching in zip(values, matchings, strict=True):
            allowed = matching != "rank" or a.ordered
            value = match_values(selection, scoring, matching) if allowed else torch.full((len(stack),), nan)
            for whole in share_of:
                divisor = match_values(selection, whole, matching)
                value = torch.where(divisor > 0, value / divisor, nan)
            row.append(value)
        diagonals.append(torch.diagonal(torch.full_like(scoring, nan) if share_of else scoring, dim1=1, dim2=2))
    by_rank = undefined.by_rank.copy()
    if a.ordered:
        mean = torch.cat(diagonals).mean(0).numpy()
        by_rank[: len(mean)] = mean[:ranks]
    return Similarity(np.array([float(torch.cat(row).nanmean()) for row in values]), by_rank)
