"""How is a pair's network trained by a recipe, a list of parts?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import Edits, Examples, TaskPair
from homolog.antilearning.techniques.base import Model, Moment, Part, Passes, Setting, joined, layers_of
from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, accuracies, cross_entropies, train_members

# Steps of rising rate, as a share: Adam's first steps are as long as any other.
WARM_UP = 0.03
# How often parts may look at the network.
WATCHED = 20
# Rows on which settings are chosen.
CHOSEN_ON = 512


@dataclass(frozen=True)
class Trained:
    """What a recipe gives: the network as it is used, what that took, and which setting each member has kept."""

    model: Model
    steps: int
    passes: int
    """Rows that passed forward and back, of all settings together."""
    kept: tuple[Setting, ...]


class Batches:
    """Rows of steps, equal for all settings of a member, drawn with replacement; or all of them in order."""

    def __init__(self, members: int, times: int, size: int | None, *key: str | int) -> None:
        self.members, self.times, self.size, self.generator = members, times, size, stream(*key)

    def of(self, examples: Examples) -> Int[Tensor, "members rows"]:
        """Numbers of the rows of the next step."""
        if self.size is None or self.size >= examples.rows:
            return torch.arange(examples.rows).expand(self.members * self.times, -1)
        drawn = torch.randint(examples.rows, (self.members, self.size), generator=self.generator)
        return drawn.repeat_interleave(self.times, 0)


def train(pair: TaskPair, parts: Sequence[Part], *key: str | int, progress: Progress = iter) -> Trained:
    """Train the pair's members by a recipe. Equal keys give equal starts and, as far as parts let them, equal batches.

    Raises ValueError where a part can't be applied to the pair, where two bring settings, or where a member diverges.
    """
    for part in parts:
        part.check(pair)
    settings = _settings(parts)
    wide, passes = pair.repeated(len(settings)), Passes()
    own = begun(pair, *key)
    start = {name: value.repeat_interleave(len(settings), 0) for name, value in own.items()}
    for number, part in enumerate(parts):
        start |= part.further(wide, stream(*key, "further", number))
    width = _narrowed(wide, settings * pair.members)
    losses = _losses(wide, parts, width, passes, len(settings), *key)

    def watch(parameters: Parameters, step: int) -> None:
        if parts and step % max(1, pair.recipe.steps // WATCHED) == 0:
            model = Model({name: parameters[name] for name in own}, width)
            for part in parts:
                part.watch(wide, model)

    how = _rates(pair, settings) | {"warm_up": WARM_UP, "decay": pair.recipe.decay}
    trained = train_members(start, losses, pair.recipe.steps, **how, watch=watch, progress=progress)
    taken = {name: trained[name] for name in own}
    for part in parts:
        taken = part.chosen(taken)
    kept = _best(wide, Model(taken, width), len(settings))
    kept_settings = tuple(settings[int(one) % len(settings)] for one in kept)
    model = Model({name: value[kept] for name, value in taken.items()}, _narrowed(pair, kept_settings))
    for part in parts:
        model = part.finish(pair, model)
    return Trained(model, pair.recipe.steps, passes.rows * len(settings), kept_settings)


def begun(pair: TaskPair, *key: str | int) -> Parameters:
    """What networks of this key are before training, whatever the recipe."""
    return pair.network.start(pair.members, stream(*key, "start"))


def _losses(
    pair: TaskPair, parts: Sequence[Part], width: Edits, passes: Passes, times: int, *key: str | int
) -> Callable[[Parameters, int], Float[Tensor, " members"]]:
    """The loss of a step, of X and of every part; passes are counted."""
    members, recipe = pair.members // times, pair.recipe
    x_rows, y_rows = (Batches(members, times, recipe.batch, *key, which) for which in ("x", "y"))
    further = stream(*key, "rows")

    def losses(parameters: Parameters, step: int) -> Float[Tensor, " members"]:
        share, rows = step / recipe.steps, x_rows.of(pair.x.train)
        for part in parts:
            rows = part.rows(pair, share, rows, further)
        edits = {which: joined(width, *(part.edits(pair, share, which) for part in parts)) for which in ("x", "y")}
        of_y = y_rows.of(pair.y.train)
        x, y = pair.x.train.at(rows), pair.y.train.at(of_y)
        moment = Moment(pair, parameters, step, recipe.steps, x, y, of_y, edits, passes)
        found = [loss for part in parts if (loss := part.loss(moment)) is not None]
        if all(part.counts_x(share) for part in parts):
            found.append(cross_entropies(moment.seen("x")["logits"], moment.x.labels))
        if not found:
            raise ValueError(f"{pair.name}: no part gives a loss at step {step}, nor does X: add a part that does.")
        return torch.stack(found).sum(0)

    return losses


def _settings(parts: Sequence[Part]) -> list[Setting]:
    brought = [part for part in parts if len(part.settings()) > 1]
    if len(brought) > 1:
        raise ValueError(
            f"a recipe has {len(brought)} parts that bring settings ({', '.join(one.said for one in brought)}): put "
            "all settings into one of them."
        )
    return brought[0].settings() if brought else [Setting()]


def _rates(pair: TaskPair, settings: Sequence[Setting]) -> dict[str, Any]:
    """Rate and decay of AdamW: members' own where there are several settings."""
    if len(settings) == 1:
        return {"lr": pair.recipe.lr, "weight_decay": pair.recipe.weight_decay}
    lr, decay = ([getattr(one, name) for one in settings] * pair.members for name in ("lr", "weight_decay"))
    return {
        "lr": pair.recipe.lr * torch.tensor(lr),
        "weight_decay": pair.recipe.weight_decay * torch.tensor(decay),
    }


def _narrowed(pair: TaskPair, settings: Sequence[Setting]) -> Edits:
    """Edits that keep but a share of layers' units, each member's own."""
    widths = torch.tensor([one.width for one in settings])
    if bool((widths == 1).all()):
        return {}

    def edit(activations: Tensor) -> Tensor:
        units = activations.shape[-1]
        keep = torch.arange(units) < (widths * units).round().clamp_min(1)[:, None]
        return activations * keep[:, None]

    return dict.fromkeys(layers_of(pair, settings[0].layer), edit)


@torch.no_grad()
def _best(pair: TaskPair, model: Model, times: int) -> Int[Tensor, " members"]:
    """Of the settings of each member that in which it is better at X than at Y by most, on rows trained on."""
    gains = (better_at_x(pair, model) if times > 1 else torch.zeros(pair.members)).reshape(-1, times)
    return gains.argmax(1) + times * torch.arange(len(gains))


@torch.no_grad()
def better_at_x(pair: TaskPair, model: Model, weight: float = 1.0) -> Float[Tensor, " members"]:
    """Accuracy on X less `weight` times that on Y, on the first of the rows that are trained on."""
    x, y = (_right(pair, model, task.train) for task in (pair.x, pair.y))
    return x - weight * y


def _right(pair: TaskPair, model: Model, examples: Examples) -> Float[Tensor, " members"]:
    some = examples.at(torch.arange(min(CHOSEN_ON, examples.rows)).expand(pair.members, -1))
    seen = pair.network.activations(model.parameters, some.inputs, model.edits)
    return accuracies(seen["logits"], some.labels)
