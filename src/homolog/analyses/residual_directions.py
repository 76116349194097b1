"""How many directions of a transformer's stream can't be ablated, where does that change, and who reads them?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from homolog.alignment.nulls import haar_rotation
from homolog.analyses.replicates import mean_of_known, over_replicates
from homolog.networks.gpt import GPT
from homolog.streams import stream
from homolog.toys.pointing import Pointing, answers_from, sites, streams, train_pointing

Progress = Callable[[Iterable[Any]], Iterable[Any]]
# Below this share of a position's variance a direction is rounding.
NO_VARIANCE = 1e-6
# A position whose ablation costs less than this share of what the network is worth is read by nothing.
NOTHING = 0.01
# So few inputs whose answer another input's stream changes say nothing of a share.
FEWEST_CHANGED = 10
READS = ("query", "key", "value")
TITLES = {
    "kept": "directions that can't be ablated",
    "kept_places": "directions of a place that can't be ablated, mean over places",
    "varying": "directions with any variance",
    "ablated": "cost of ablating these",
    "rest": "cost of all others",
    "patched": "answers that these carry over",
    "changed": "answers that the whole position carries over",
    "reads": "how much more a head reads of these than of random ones",
    "reads_block": "the same, mean over heads",
    "head_cost": "cost of a head's output at its mean",
    "accuracy": "accuracy",
}
SHARES = ("patched", "changed", "accuracy")
# Rows are orthonormal; two of them in one call may differ in number.
Basis = Float[Tensor, "_ width"]


def residual_directions(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train transformers to copy what a pointer names, and ablate directions of their streams.

    Variables by ``site`` and ``position``: `TITLES`, costs over what the network is worth (chance's loss less its own);
    ``<name>_null``: as many random directions among those with variance; ``kept_places`` by ``site``: over places.
    ``reads`` by ``block``, ``head``, ``read`` (query, key, value) and ``of`` (kept directions at the places, or at the
    pointer, before the attention); 1: as much as of random ones among those with variance. ``reads_block``: over heads.
    Means over trainings with bounds.
    """
    options = spec["options"]
    task = Pointing(options["places"], options["values"])
    training = {name: options[name] for name in ("replicates", "width", "heads", "blocks", "steps", "lr", "batch_size")}
    models = train_pointing(task, **training, progress=progress)
    found = [_of_model(model, task, options, number) for number, model in enumerate(models)]
    dims = {
        **dict.fromkeys(found[0], ("site", "position")),
        "kept_places": ("site",),
        "reads": ("block", "head", "read", "of"),
        "reads_block": ("block", "read", "of"),
        "head_cost": ("block", "head"),
        "accuracy": (),
    }
    values = {
        name: (("replicate", *dims[name]), np.stack([np.asarray(one[name], float) for one in found]))
        for name in found[0]
    }
    coords = {
        "site": sites(models[0]),
        "position": [*(str(place) for place in range(task.places)), "pointer"],
        "block": range(options["blocks"]), "head": range(options["heads"]), "read": list(READS),
        "of": ["places", "pointer"],
    }  # fmt: skip
    facts = {name: value for name, value in options.items() if isinstance(value, int | float)}
    return over_replicates(values, coords, TITLES, SHARES).assign_attrs(experiment=spec["experiment"], **facts)


@dataclass(frozen=True)
class Trial:
    """A network with the sequences on which directions are chosen, or their costs measured."""

    model: GPT
    answers: Int[Tensor, " rows"]
    streams: list[Float[Tensor, "rows length width"]]
    worth: float
    own: float

    @classmethod
    @torch.no_grad()
    def of(cls, model: GPT, task: Pointing, rows: int, generator: torch.Generator) -> Trial:
        sequences, answers = task.draw(rows, generator)
        there = streams(model, sequences)
        own = float(functional.cross_entropy(answers_from(model, there[-1], len(there) - 1), answers))
        return cls(model, answers, there, math.log(task.values) - own, own)

    @torch.no_grad()
    def logits(self, site: int, position: int, replacement: Float[Tensor, "rows width"]) -> Tensor:
        """Logits where other contents stand at one position of one site."""
        changed = self.streams[site].clone()
        changed[:, position] = replacement
        return answers_from(self.model, changed, site)

    def cost(self, site: int, position: int, basis: Basis) -> float:
        """What it costs to put orthonormal directions at their mean, over what the network is worth."""
        rows = self.streams[site][:, position]
        logits = self.logits(site, position, without(rows, basis))
        return (float(functional.cross_entropy(logits, self.answers)) - self.own) / self.worth


def without(rows: Float[Tensor, "rows width"], basis: Basis) -> Float[Tensor, "rows width"]:
    """Rows with their part along orthonormal directions at its mean."""
    return rows - (rows - rows.mean(0)) @ basis.T @ basis


def choose(directions: Basis, cost: Callable[[Basis], float], allowed: float) -> tuple[Basis, Basis]:
    """Which of some orthonormal directions can't be ablated, and which can, all at once, for at most `allowed`.

    One by one from the cheapest on, each is ablated with those before it, if the cost allows it; else it's kept.
    """
    single = [cost(directions[i : i + 1]) for i in range(len(directions))]
    free: list[int] = []
    for i in sorted(range(len(directions)), key=lambda i: single[i]):
        if cost(directions[[*free, i]]) <= allowed:
            free.append(i)
    kept = [i for i in range(len(directions)) if i not in free]
    return directions[kept], directions[free]


def _of_model(model: GPT, task: Pointing, options: dict[str, Any], number: int) -> dict[str, Any]:
    drawn = [stream("residual_directions", kind, number) for kind in ("chosen", "measured")]
    chosen, held = (Trial.of(model, task, options["rows"], generator) for generator in drawn)
    shape = len(sites(model)), task.places + 1
    found: dict[str, Any] = {}
    bases: dict[tuple[int, int], tuple[Basis, Basis]] = {}
    for site in range(shape[0]):
        for position in range(shape[1]):
            generator = stream("residual_directions", "null", number, site, position)
            kept, varying, numbers = _at(chosen, held, site, position, options, generator)
            bases[site, position] = kept, varying
            for name, value in numbers.items():
                found.setdefault(name, np.full(shape, np.nan))[site, position] = value
    right = answers_from(model, held.streams[-1], shape[0] - 1).argmax(-1) == held.answers
    found["accuracy"] = float(right.double().mean())
    found["kept_places"] = found["kept"][:, : task.places].mean(1)
    found["reads"] = _reads(model, bases, task.places)
    found["reads_block"] = mean_of_known(found["reads"].swapaxes(0, 1))
    heads = range(options["heads"])
    found["head_cost"] = [[_head_cost(held, block, head) for head in heads] for block in range(options["blocks"])]
    return found


def _at(
    chosen: Trial, held: Trial, site: int, position: int, options: dict[str, Any], generator: torch.Generator
) -> tuple[Basis, Basis, dict[str, float]]:
    """Directions of one position that can't be ablated, all with variance, and what the first cost and carry, beside
    random ones.
    """
    rows = chosen.streams[site][:, position]
    _, spread, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    varying = axes[spread.square() > NO_VARIANCE * spread.square().sum().clamp(min=1e-12)]
    whole = chosen.cost(site, position, varying)
    # Of a position that nothing reads any more a share would be one of noise.
    allowed = options["allowed"] * whole if whole > NOTHING else math.inf
    kept, free = choose(varying, lambda basis: chosen.cost(site, position, basis), allowed)
    found = {"kept": float(len(kept)), "varying": float(len(varying))} | _told(held, site, position, kept, free)
    nulls = []
    for _ in range(options["null_draws"]):
        turned = haar_rotation(len(varying), generator).to(varying) @ varying if len(varying) else varying
        nulls.append(_told(held, site, position, turned[: len(kept)], turned[len(kept) :]))
    null = {
        f"{name}_null": float(mean_of_known([one[name] for one in nulls])) for name in nulls[0] if name != "changed"
    }
    return kept, varying, found | null


def _told(held: Trial, site: int, position: int, kept: Basis, free: Basis) -> dict[str, float]:
    """Costs of both parts of a position, and how many answers the first carries over from another input.

    Of the inputs whose answer changes when all of the position is another input's (``changed``): the share whose answer
    is the same when only the part along `kept` is.
    """
    rows = held.streams[site][:, position]
    other = rows.roll(1, 0)
    before = held.logits(site, position, rows).argmax(-1)
    whole = held.logits(site, position, other).argmax(-1)
    part = held.logits(site, position, rows + (other - rows) @ kept.T @ kept).argmax(-1)
    moved = whole != before
    known = int(moved.sum()) >= FEWEST_CHANGED
    return {
        "ablated": held.cost(site, position, kept),
        "rest": held.cost(site, position, free),
        "changed": float(moved.double().mean()),
        "patched": float((part == whole)[moved].double().mean()) if known else math.nan,
    }


def _reads(model: GPT, bases: dict[tuple[int, int], tuple[Basis, Basis]], places: int) -> np.ndarray:
    """How much of what each head's maps read lies in the kept directions, over what lies in random ones there.

    By block, head, what is read, and whether the directions are those of the places (the mean over places) or of the
    pointer, at the site that the attention reads. Maps are taken with the gains of the norm before them.
    """
    blocks: list[Any] = list(model.blocks)
    found = np.full((len(blocks), blocks[0].attention.heads, len(READS), 2), np.nan)
    for number, block in enumerate(blocks):
        weight = (block.attention.read.weight * block.norm_1.weight).detach()
        maps = weight.unflatten(0, (3, block.attention.heads, -1))
        for of, positions in enumerate((range(places), [places])):
            kept = [bases[2 * number, position] for position in positions]
            for read, by_head in enumerate(maps):
                for head, one in enumerate(by_head):
                    found[number, head, read, of] = mean_of_known([share_read(one, *pair) for pair in kept])
    return found


def share_read(weight: Float[Tensor, "read width"], basis: Basis, varying: Basis) -> float:
    """``|W U'|^2 / k`` over ``|W V'|^2 / v``: 1 in the mean over k random directions among the v that vary.

    NaN for none. Of directions without variance nothing could be read.
    """
    if not len(basis):
        return math.nan
    per_direction = [float((weight @ one.T).square().sum()) / len(one) for one in (basis, varying)]
    return per_direction[0] / per_direction[1]


@torch.no_grad()
def _head_cost(held: Trial, block: int, head: int) -> float:
    """What it costs to put a head's output at its mean over inputs, position by position."""
    attention: Any = held.model.blocks[block].attention

    def at_mean(_module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        heads = inputs[0].reshape(*inputs[0].shape[:-1], attention.heads, -1).clone()
        heads[:, :, head] = heads[:, :, head].mean(0)
        return (heads.flatten(2),)

    handle = attention.write.register_forward_pre_hook(at_mean)
    try:
        logits = answers_from(held.model, held.streams[2 * block], 2 * block)
    finally:
        handle.remove()
    return (float(functional.cross_entropy(logits, held.answers)) - held.own) / held.worth
