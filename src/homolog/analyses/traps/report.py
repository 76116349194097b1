"""What would `homolog.compare` decide, latent by latent, in a thousand repetitions at once?

The same steps as there, stacked: a repetition is a leading axis, a draw of the null the next one. What decides is taken
from there (halves of the rows, moments, blocks of the spectrum, draws, level, Benjamini & Yekutieli); the tests hold
p-values and decisions against `compare` on single repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.decisions import benjamini_yekutieli
from homolog.analyses.traps.codes import Codes, codes_of, turn_stack
from homolog.analyses.traps.stack import Pair, Stack
from homolog.analyses.traps.turns import Turns, within_spectra
from homolog.analyses.traps.views import Maps, Scored, Views, compare_stacks, maps_of, views_of
from homolog.comparing.chance import IN_STRATUM, LEVEL, draws_needed, pilot_draws

# Numbers in the largest array of a pass: few enough to stay near the processor.
AT_ONCE = 2**20
# Draws of the null come in parts, each a multiple of what came before, this share of all at first.
FIRST_PART, GROWTH = 1 / 8, 2


def found(pair: Pair, seeds: Int[np.ndarray, " repetitions"]) -> dict[str, Bool[np.ndarray, "repetitions latents"]]:
    """By view, the latents of a and then those of b that have a match, at 5 %; `seeds` are `compare`'s own.

    A repetition is done as soon as no further draw of the null can bring a discovery, which leaves every decision as it
    is (curtailed sampling). Raises ValueError for so many latents that `compare` would sort them into strata.
    """
    return {view: discoveries(p) for view, p in _p_values(pair, seeds, curtailed=True).items()}


def p_values(pair: Pair, seeds: Int[np.ndarray, " repetitions"]) -> dict[str, Float[np.ndarray, "repetitions latents"]]:
    """By view, p-values of the latents of a and then those of b; NaN where a latent isn't live. Raises as `found`."""
    return _p_values(pair, seeds, curtailed=False)


def discoveries(p: Float[np.ndarray, "repetitions latents"]) -> Bool[np.ndarray, "repetitions latents"]:
    return np.stack([np.nan_to_num(benjamini_yekutieli(row), nan=1.0) <= LEVEL for row in p])


def _p_values(pair: Pair, seeds: Int[np.ndarray, " repetitions"], curtailed: bool) -> dict[str, np.ndarray]:
    """`p_values`; if curtailed, lower bounds of them where these show that nothing will be found."""
    if max(pair.a.latents, pair.b.latents) >= 2 * IN_STRATUM:
        raise ValueError(
            f"{max(pair.a.latents, pair.b.latents)} latents would be sorted into strata, and repetitions are "
            f"stacked up to {2 * IN_STRATUM - 1}: take fewer latents."
        )
    live = [codes_of(stack, rows) for stack, rows in ((pair.a, pair.rows_a), (pair.b, pair.rows_b))]
    fewest = torch.minimum(live[0].live.sum(1), live[1].live.sum(1))
    shape = len(seeds), pair.a.latents + pair.b.latents
    result = {view: np.full(shape, np.nan) for view in views_of(pair)}
    for size in sorted(set(fewest.tolist())):
        chosen = (fewest == size).nonzero()[:, 0]
        draws = draws_needed(int(size))
        pilots = pilot_draws(draws)
        parts = _parts(draws - pilots)
        each = max(1, AT_ONCE // (parts[0] * max(pair.a.latents, pair.b.latents) * pair.rows_a.shape[1]))
        for few in chosen.split(each):
            held, left = Held.begin(pair.take(few), seeds[few.numpy()], pilots), draws - pilots
            for part in parts:
                held.draw(part)
                left -= part
                p = held.p(left)
                for view, values in p.items():
                    result[view][few.numpy()] = values
                open_ = torch.from_numpy(np.any([discoveries(values).any(1) for values in p.values()], 0))
                if curtailed and left:
                    few, held = few[open_], _take(held, open_.nonzero()[:, 0])
                    if not len(few):
                        break
    return result


def _parts(draws: int) -> list[int]:
    """In how many draws at a time so many are made."""
    done = [0, max(1, round(FIRST_PART * draws))]
    while done[-1] < draws:
        done.append(min(GROWTH * done[-1], draws))
    return np.diff(done).tolist()


@dataclass
class Held:
    """Some repetitions, held against more and more draws of their null.

    `above` and `count`: null values at least as large as what a latent has, and all, of the latents of a and then of b,
    with the other dictionary turned and turned itself.
    """

    pair: Pair
    codes: tuple[Codes, Codes]
    maps: tuple[Maps, Maps]
    turns: tuple[Turns, Turns]
    observed: Views
    above: dict[str, Int[Tensor, "few nulls latents"]]
    count: dict[str, Int[Tensor, "few nulls latents"]]

    @classmethod
    def begin(cls, pair: Pair, seeds: Int[np.ndarray, " few"], pilots: int) -> Held:
        """What was observed; the first draws, by which `compare` sorts latents into strata, are left out."""
        wanted = views_of(pair)
        codes = codes_of(pair.a, pair.rows_a), codes_of(pair.b, pair.rows_b)
        maps = maps_of(wanted, pair.rows_a, pair.rows_b), maps_of(wanted, pair.rows_b, pair.rows_a)
        observed = compare_stacks(pair, wanted, (pair.a, codes[0]), (pair.b, codes[1]), maps[0], 1)
        turns = within_spectra(pair.rows_a, pair.a.bias, seeds, 0), within_spectra(pair.rows_b, pair.b.bias, seeds, 1)
        for one in turns:
            one.skip(pilots)
        none = torch.zeros(len(seeds), 2, pair.a.latents + pair.b.latents, dtype=torch.int64)
        above, count = ({view: none.clone() for view in wanted} for _ in range(2))
        return cls(pair, codes, maps, turns, observed, above, count)

    @property
    def live(self) -> Bool[Tensor, "few latents"]:
        return torch.cat([one.live for one in self.codes], 1)

    def draw(self, draws: int) -> None:
        """Count the next null values."""
        nulls = []
        for own, other in ((1, 0), (0, 1)):
            stack: tuple[Stack, Stack] = self.pair.a, self.pair.b
            rows = (self.pair.rows_a, self.pair.rows_b)[own]
            drawn = turn_stack(stack[own], self.codes[own].rates, rows, self.turns[own].draw(draws).float())
            fixed = stack[other], self.codes[other]
            nulls.append(compare_stacks(self.pair, list(self.above), fixed, drawn, self.maps[other], draws))
        size = self.pair.a.latents
        for view in self.above:
            # Of a: with b turned, forth, and turned itself, back. Of b the other way round.
            for side, part in enumerate((slice(size), slice(size, None))):
                for index, null in enumerate((nulls[side][view][0], nulls[1 - side][view][1])):
                    more, count = _count(self.observed[view][side], self.codes[side].live, null)
                    self.above[view][:, index, part] += more
                    self.count[view][:, index, part] += count[:, None]

    def p(self, left: int) -> dict[str, Float[np.ndarray, "few latents"]]:
        """(1 + null values as large) / (1 + null values), the larger of both nulls.

        With so many draws `left`, the least that it can become: none of the values to come as large, and none silent.
        """
        sizes = torch.cat([one.live.sum(1, keepdim=True).expand(-1, one.live.shape[1]) for one in self.codes], 1)
        more = left * sizes[:, None]
        values = {
            view: ((1 + above).double() / (1 + self.count[view] + more)).amax(1) for view, above in self.above.items()
        }
        return {view: p.masked_fill(~self.live, torch.nan).numpy() for view, p in values.items()}


def _count(observed: Scored, live: Tensor, null: Scored) -> tuple[Int[Tensor, "few latents"], Int[Tensor, " few"]]:
    """Null values of all latents as large as that of each, and all of them."""
    # Those of latents that aren't compared, or fell silent, are no null values.
    valid = (null.valid & live[:, None]).flatten(1)
    pool = null.statistic.flatten(1).masked_fill(~valid, -torch.inf).sort(1).values
    count = valid.sum(1)
    below = torch.searchsorted(pool, observed.statistic[:, 0].contiguous())
    return torch.minimum(pool.shape[1] - below, count[:, None]), count


def _take(whole: Any, chosen: Int[Tensor, " few"]) -> Any:
    """Some repetitions of whatever has them on its first axis."""
    if isinstance(whole, Tensor):
        return whole[chosen]
    if isinstance(whole, Pair | Turns):
        return whole.take(chosen)
    if isinstance(whole, dict):
        return {name: _take(value, chosen) for name, value in whole.items()}
    if isinstance(whole, tuple):
        return tuple(_take(value, chosen) for value in whole)
    if is_dataclass(whole) and not isinstance(whole, type):
        return replace(whole, **{one.name: _take(getattr(whole, one.name), chosen) for one in fields(whole)})
    return whole
