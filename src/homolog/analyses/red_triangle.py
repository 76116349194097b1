"""Of objects with a colour and a shape, do dictionaries hold factors or combinations; and what of new combinations?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.similarity import cosine
from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.recovered import live, oracle_features
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.base import Drawn, unit
from homolog.worlds.combinations import codes_of, held_out, rows_of
from homolog.worlds.trials import Progress, Trial, fit_trials, trials_of

# Rows of each combination on which latents are watched.
SHOWN = 24
TITLES = {
    "factors": "share of colours and shapes with a latent",
    "combinations": "share of shown combinations with a latent",
    "latents_factors": "share of live latents that are a factor's",
    "latents_combinations": "share of live latents that are a combination's",
    "own_shown": "shown combinations with a latent for them alone",
    "own_held_out": "held-out combinations with a latent for them alone",
    "both_on": "held-out rows with the latents of both factors on",
    "fvu_shown": "FVU on shown combinations",
    "fvu_held_out": "FVU on held-out combinations",
    "live": "live latents",
}
SHARES = ("factors", "combinations", "latents_factors", "latents_combinations", "own_shown", "own_held_out", "both_on")
WITH_NULL = ("factors", "combinations", "own_shown", "own_held_out")
Numbers = dict[str, float]


def red_triangle(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Fit every decomposition to every world of objects, and look at factors, shown and held-out combinations.

    Variables `TITLES` by ``world`` and ``decomposition``, means over replicates with bounds. `<name>_null`: the
    dictionary turned within the spectrum of its rows. `factors_ceiling`, by ``world``: by least squares from true
    codes.
    """
    options, trials, found = spec["options"], trials_of(spec), ByTrial.of(spec)
    for first, decomposition in with_first_column(spec["decompositions"]):
        for fitted in fit_trials(decomposition, trials, options["told"], device, progress):
            trial, dictionaries = fitted.trial, fitted.dictionaries
            each = [measured(options, trial, one, number) for number, one in enumerate(dictionaries)]
            means = {name: np.mean([one[name] for one in each]) for name in each[0]}
            found.put(trial, means, first + fitted.point)
    for trial in trials:
        found.put(trial, {"factors_ceiling": _factors(options, trial, oracle_features(trial.train)[0])})
    dataset = over_replicates(found.values(), {"decomposition": found.labels}, TITLES, SHARES)
    own = ("world", [one["options"]["own"] for one in spec["worlds"]])
    facts = {name: options[name] for name in ("replicates", "rows", "true_cosine", "own_f1")}
    facts |= {name: spec["worlds"][0]["options"][name] for name in ("values", "held_out")}
    return dataset.assign_coords(world_coords(spec) | {"own": own}).assign_attrs(experiment=spec["experiment"], **facts)


def measured(options: dict[str, Any], trial: Trial, dictionary: Dictionary, number: int) -> Numbers:
    """Everything that is said of one dictionary, and of the same turned at random."""
    turn = trial.turn(number).to(dictionary.directions)
    own, chance = (_one(options, trial, one) for one in (dictionary, dictionary.rotated(turn)))
    return own | {f"{name}_null": chance[name] for name in WITH_NULL}


def _one(options: dict[str, Any], trial: Trial, dictionary: Dictionary) -> Numbers:
    world, values = trial.spec["options"], trial.spec["options"]["values"]
    never = held_out(world)
    drawn, of = every_combination(trial)
    codes, alive = dictionary.codes(drawn.rows), live(dictionary, trial.test)
    directions = dictionary.directions[alive].float()
    near = [cosine(one, directions).abs() >= options["true_cosine"] for one in _targets(trial)]
    alone = own_latents(codes[:, alive] != 0, of, values**2) >= options["own_f1"]
    error = (drawn.rows - dictionary.reconstruct(codes)).square().sum(1)
    spread = (drawn.rows - trial.test.rows.mean(0)).square().sum(1)
    shown = (~never).flatten()
    hidden = torch.cat([~shown, torch.tensor([False])])[of]
    seen = torch.cat([shown, torch.tensor([False])])[of]
    return {
        "factors": _share(near[0].any(1)),
        "combinations": _share(near[1].any(1)[shown]),
        "latents_factors": _share(near[0].any(0)),
        "latents_combinations": _share(near[1].any(0)),
        "own_shown": _share(alone[shown]),
        "own_held_out": _share(alone[~shown]),
        "both_on": _both_on(near[0], codes[hidden][:, alive] != 0, of[hidden], values),
        "fvu_shown": float(error[seen].sum() / spread[seen].sum()),
        "fvu_held_out": float(error[hidden].sum() / spread[hidden].sum()) if bool(hidden.any()) else float("nan"),
        "live": float(alive.sum()),
    }


def every_combination(trial: Trial) -> tuple[Drawn, Tensor]:
    """So many rows of one object for each combination, held out or not, and the combination of each row.

    Where colours and shapes are shown alone too, as many rows of each follow, whose combination has a number of its
    own: a latent of theirs is no combination's.
    """
    options, own = trial.spec["options"], stream("combinations", *trial.key)
    values = options["values"]
    of = torch.arange(values**2).repeat_interleave(SHOWN)
    codes = codes_of(options, of // values, of % values, own)
    if options["alone"] > 0:
        alone = torch.zeros(2 * values, codes.shape[1]).fill_diagonal_(1.0).repeat_interleave(SHOWN, 0)
        codes, of = torch.cat([codes, alone]), torch.cat([of, torch.full((len(alone),), values**2)])
    return rows_of(options, trial.world.features, codes, own), of


def own_latents(on: Bool[Tensor, "rows latents"], of: Tensor, combinations: int) -> Float[Tensor, " combinations"]:
    """Of each combination the best F1 with which a latent that is on tells its rows from all others."""
    there = torch.nn.functional.one_hot(of, combinations + 1)[:, :combinations].double()
    if not on.shape[1]:
        return torch.zeros(combinations, dtype=torch.float64)
    both = there.T @ on.double()
    f1 = 2 * both / (there.sum(0)[:, None] + on.double().sum(0)).clamp_min(1)
    return f1.amax(1)


def _targets(trial: Trial) -> tuple[Tensor, Tensor]:
    """Directions of factors, and of combinations: the sum of both, with what the combination has of its own."""
    options, features = trial.spec["options"], trial.world.features
    values = options["values"]
    of = torch.arange(values**2)
    sums = features[of // values] + features[values + of % values]
    if options["own"] > 0:
        sums = sums + options["own"] * features[2 * values :]
    return features[: 2 * values], unit(sums)


def _factors(options: dict[str, Any], trial: Trial, directions: Tensor) -> float:
    near = cosine(_targets(trial)[0], directions).abs()
    return _share((near >= options["true_cosine"]).any(1))


def _both_on(near: Tensor, on: Tensor, of: Tensor, values: int) -> float:
    """Share of rows on which a latent of the colour is on, and one of the shape."""
    factor_on = (on.double() @ near.double().T) > 0
    colour = factor_on.gather(1, (of // values)[:, None])
    shape = factor_on.gather(1, (values + of % values)[:, None])
    return _share(colour & shape)


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean()) if chosen.numel() else float("nan")
