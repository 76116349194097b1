"""A new attribute is trained into animals: do old circuits go on working, and do new ones read what old ones read?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.analyses.animal_circuits import train_circuits
from homolog.streams import stream
from homolog.toys import circuits
from homolog.toys.training import Parameters, train_members
from homolog.worlds.base import Drawn, unit
from homolog.worlds.trials import Progress, Trial

LR = 3e-3
Found = dict[str, np.ndarray]


def tuned(
    options: dict[str, Any], trials: list[Trial], progress: Progress
) -> tuple[list[Float[Tensor, "animals units"]], Found]:
    """Animals after a new attribute of the largest strength, by trial; and what it does, by (world, replicate,
    strength).

    `moved`: 1 - cosine of an animal with itself. Circuits about animals (facts of the same animals) are trained before,
    before again from another start, and after. `old_before` and `old_after`: what the first ones miss of their facts.
    `common`: cosine of what circuits before and after read where their fact is true; `common_ceiling`: of both of
    before; `common_null`: of circuits of different facts. NaN but in worlds of animals alone.
    """
    replicates, strengths = options["replicates"], options["strengths"]
    names = "moved", "old_before", "old_after", "common", "common_ceiling", "common_null"
    found = {name: np.full((len(trials), len(strengths)), np.nan) for name in names}
    after = []
    for number, trial in enumerate(trials):
        count = trial.spec["options"]["animals"]
        old = trial.world.features[:count]
        if trial.spec["options"]["shows"] != "animals":
            after.append(old)
            continue
        new = retrained(old, trial.world.features[count:], options, trial, progress)
        after.append(new[-1])
        for name, values in _measured(options, trial, old, new, progress).items():
            found[name][number] = values
    return after, {name: one.reshape(-1, replicates, len(strengths)) for name, one in found.items()}


def retrained(
    old: Float[Tensor, "animals units"],
    attributes: Float[Tensor, "attributes units"],
    options: dict[str, Any],
    trial: Trial,
    progress: Progress,
) -> Float[Tensor, "strengths animals units"]:
    """Animals and a reader of unit norm, trained together until it reads a random sign off each animal, of such a size.

    Nothing but the new attribute is asked for, as in a data set that has no other facts.
    """
    own, strengths = stream("tuning", *trial.key), torch.tensor(options["strengths"])
    usual = (old @ attributes.T).square().mean().sqrt()
    signs = torch.where(torch.rand(len(old), generator=own) < 0.5, -1.0, 1.0)
    wanted = strengths[:, None] * usual * signs
    reader = unit(torch.randn(1, old.shape[1], generator=own)).repeat(len(strengths), 1)
    begun = {"animals": old.repeat(len(strengths), 1, 1), "reader": reader}

    def losses(now: Parameters, step: int) -> Tensor:
        read = (now["animals"] @ unit(now["reader"])[:, :, None]).squeeze(2)
        return (read - wanted).square().mean(1) / usual.square()

    return train_members(begun, losses, options["tuning_steps"], LR, progress=progress)["animals"]


def _measured(
    options: dict[str, Any],
    trial: Trial,
    old: Tensor,
    new: Float[Tensor, "strengths animals units"],
    progress: Progress,
) -> dict[str, Tensor]:
    """Circuits of before, of before again and of each strength, all of the same facts about animals."""
    facts, states = options["facts"], torch.stack([old, old, *new])
    some = _facts(options, trial, len(old))
    train, test = (_seen(one, trial, states) for one in (trial.train, trial.test))
    asked, truth = (_targets(one, some).repeat(len(states), 1) for one in (trial.train, trial.test))
    world = torch.arange(len(states)).repeat_interleave(facts)
    trained = train_circuits(options, train, world, asked, ("tuning circuits", *trial.key), progress)
    reads = circuits.read_in(trained, test[world], (truth > 0).float())
    between = torch.einsum("fd,sgd->sfg", unit(reads[:facts]), unit(reads.reshape(len(states), facts, -1)))
    first = {name: one[:facts].repeat(len(states), *[1] * (one.ndim - 1)) for name, one in trained.items()}
    said = circuits.outputs(first, test[world])
    missed = circuits.unexplained(said, truth, circuits.weights(truth)).reshape(len(states), facts).mean(1)
    same = torch.eye(facts, dtype=torch.bool)
    return {
        "moved": 1 - (unit(old) * unit(new)).sum(2).mean(1),
        "old_before": missed[:1].expand(len(new)),
        "old_after": missed[2:],
        "common": between[2:, same].mean(1),
        "common_ceiling": between[1, same].mean().expand(len(new)),
        "common_null": between[2:, ~same].mean(1),
    }


def _facts(options: dict[str, Any], trial: Trial, count: int) -> tuple[Tensor, ...]:
    """Animals of which each fact is true, all of them in rows that are trained on."""
    seen = (trial.train.codes[:, :count] != 0).any(0).nonzero()[:, 0]
    order = torch.randperm(len(seen), generator=stream("tuning facts", *trial.key))
    return seen[order][: options["facts"] * options["animals_per_fact"]].chunk(options["facts"])


def _targets(drawn: Drawn, facts: tuple[Tensor, ...]) -> Float[Tensor, "facts rows"]:
    return torch.stack([drawn.codes[:, animals].sum(1) for animals in facts])


def _seen(drawn: Drawn, trial: Trial, states: Float[Tensor, "states animals units"]) -> Tensor:
    """The same rows, noise and all, of animals as they are in each state."""
    noise = drawn.rows - drawn.codes @ trial.world.features
    return drawn.codes[:, : states.shape[1]] @ states + noise
