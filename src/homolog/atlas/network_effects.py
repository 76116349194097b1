"""What does each latent of a network from outside add to the logits, of which there may be one for every token?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.atlas.activity import Kept
from homolog.atlas.effects import of_partners
from homolog.dictionary import Dictionary
from homolog.networks.effects import Changes

# Sampled active rows of each latent, over which changes are averaged: each costs two passes over its input, so there
# are fewer of them where a dictionary's passes would come to more than so many positions, about 15 s of a core for
# a network of half a million weights.
FEWEST, MOST, POSITIONS = 2, 8, 2**19
# Classes that are all told; of more, those that a latent raises most, and as many that it lowers most.
FEW, STRONGEST = 64, 10
# Numbers that are held at once: mean changes of a group of latents (64 MiB), and those of some rows (16 MiB).
MEANS, CHANGES = 2**23, 2**21


@dataclass(frozen=True)
class Strongest:
    """The classes whose logits each latent changes most: `STRONGEST` that it raises, then as many that it lowers.

    Both with the largest change first; NaN of a latent that is never active.
    """

    which: Int[np.ndarray, "latents kept"]
    change: Float[np.ndarray, "latents kept"]


@dataclass(frozen=True)
class Added:
    """What latents add to the centred logits at the places where they are active: means over up to `rows` of these.

    `own` and `null` are all changes where classes are few, else None. `strongest` and `null_strongest` are there in
    any case; `by_chance` is what the null does to the classes of `strongest`.
    """

    rows: int
    own: Float[np.ndarray, "latents classes"] | None
    null: Float[np.ndarray, "latents classes"] | None
    strongest: Strongest
    null_strongest: Strongest
    by_chance: Float[np.ndarray, "latents kept"]


def added_of(rows: int, own: Float[np.ndarray, "latents classes"], null: Float[np.ndarray, "latents classes"]) -> Added:
    """Of all changes, which are kept where classes are few."""
    mine, chance = torch.from_numpy(own), torch.from_numpy(null)
    best, null_best = _strongest(mine), _strongest(chance)
    strongest, null_strongest = (Strongest(*(one.numpy() for one in found)) for found in (best, null_best))
    few = own.shape[1] <= FEW
    by_chance = chance.gather(1, best[0]).numpy()
    return Added(rows, own if few else None, null if few else None, strongest, null_strongest, by_chance)


def rows_of_each(latents: int, positions: int) -> int:
    """Over how many of its active rows a latent's effect is averaged, in inputs of so many positions."""
    return min(MOST, max(FEWEST, POSITIONS // (2 * positions * max(1, latents))))


def added_by_latents(
    changes: Changes,
    gauge: Gauge,
    input_id: Int[np.ndarray, " held_out"],
    dictionary: Dictionary,
    sample: Kept,
    generator: torch.Generator,
) -> Added:
    """Centred logits with a latent's part minus those without it (code set to 0 at one place, all else as it was).

    A mean over the latent's first sampled active rows, at the place itself where there are logits of every place.
    Beside it the null of `effects.added_to_logits`: another latent's direction, of equal size, taken out instead.
    `input_id` names the rows that `sample` numbers. `dictionary` is in the gauge, with units in canonical order.
    """
    directions = dictionary.directions.double()
    others = of_partners(directions, generator)
    # Along `kinds`: the latent's own, and that of its partner.
    kinds = gauge.undo(directions if others is None else torch.cat([directions, others]))
    kinds = kinds.reshape(-1, *directions.shape).transpose(0, 1)
    rows = rows_of_each(len(directions), changes.positions)
    group = max(1, MEANS // (kinds.shape[1] * changes.classes))
    parts: list[list[np.ndarray]] = []
    for latents in torch.split(torch.arange(len(directions)), group):
        mean = _mean_of_group(changes, input_id, kinds, sample, latents, rows)
        # One without a partner has no null.
        mine, chance = mean[:, 0], mean[:, 1] if others is not None else torch.full_like(mean[:, 0], torch.nan)
        best, null_best = _strongest(mine), _strongest(chance)
        few = [mine, chance] if changes.classes <= FEW else []
        parts.append([one.numpy() for one in (*best, *null_best, chance.gather(1, best[0]), *few)])
    which, change, null_which, null_change, there, *whole = (np.concatenate(one) for one in zip(*parts, strict=True))
    own, null = whole or (None, None)
    return Added(rows, own, null, Strongest(which, change), Strongest(null_which, null_change), there)


def _mean_of_group(
    changes: Changes,
    input_id: Int[np.ndarray, " held_out"],
    kinds: Float[Tensor, "all_latents kinds units"],
    sample: Kept,
    latents: Int[Tensor, " latents"],
    rows: int,
) -> Float[Tensor, "latents kinds classes"]:
    """Mean of what each of some latents adds, NaN for those that are never active."""
    total = torch.zeros(len(latents), kinds.shape[1], changes.classes, dtype=torch.float64)
    count = torch.zeros(len(latents), dtype=torch.float64)
    at_once = max(1, CHANGES // (kinds.shape[1] * changes.classes))
    for latent, row, code in _pairs(input_id, sample, latents, rows, at_once):
        steps = -code[:, None, None] * kinds[latents[latent]]
        total.index_add_(0, latent, -changes.of(row, steps))
        count.index_add_(0, latent, torch.ones_like(code))
    return total / count[:, None, None]


def _pairs(
    input_id: Int[np.ndarray, " held_out"], sample: Kept, latents: Int[Tensor, " latents"], rows: int, at_once: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Place of the latent among these, id and code of its rows; those of one input together, so that it is run once."""
    chosen = sample.row[latents.numpy(), :rows]
    latent, place = np.nonzero(chosen >= 0)
    row, code = input_id[chosen[latent, place]], sample.code[latents.numpy()[latent], place]
    order = np.argsort(row, kind="stable")
    parts = (torch.from_numpy(one[order]) for one in (latent, row, code.astype(np.float64)))
    yield from zip(*(torch.split(one, at_once) for one in parts), strict=True)


def _strongest(change: Float[Tensor, "latents classes"]) -> tuple[Tensor, Tensor]:
    """Classes raised and lowered most, and by how much."""
    kept = min(STRONGEST, change.shape[1])
    ends = [change.topk(kept, dim=1, largest=largest) for largest in (True, False)]
    return torch.cat([one.indices for one in ends], 1), torch.cat([one.values for one in ends], 1)
