"""What does training leave: each member in the units of its activations, and those that diverged told by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import torch

from homolog.decompositions.base import Member
from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.decompositions.sae.initial import member_of
from homolog.dictionary import Dictionary, quality

# An FVU beyond this is an explosion, even before it overflows.
EXPLODED = 1e6
log = logging.getLogger(__name__)


# Options that are told of a member, whether others differ in them or not.
TOLD = ("n_latents", "k", "coefficient", "target_l0", "bandwidth")


def _describe(recipe: SparseAutoencoder, member: Member, members: list[Member]) -> str:
    """A member by its seed and rows, `TOLD`, and whatever varies among `members`, so that no two read the same."""
    options = member.options
    varying = [name for name in options if len({repr(m.options.get(name)) for m in members}) > 1]
    told = {name: options[name] for name in TOLD if options.get(name) is not None}
    told |= {name: options[name] for name in varying if name != "lr"} | {"lr": f"{recipe.learning_rate(options):.6g}"}
    of_key = [str(part) for i, part in enumerate(member.key) if len({m.key[i] for m in members}) > 1]
    named = [f"seed {member.seed}", f"rows {member.rows}", *of_key]
    return ", ".join(named + [f"{name} {value}" for name, value in told.items()])


def report_diverged(recipe: SparseAutoencoder, members: list[Member], dictionaries: list[Dictionary]) -> None:
    """Name the members that diverged; raise ValueError when none is left."""
    by_step = [(member, d.member["diverged"]) for member, d in zip(members, dictionaries, strict=True)]
    bad = [f"{_describe(recipe, member, members)} (by step {step})" for member, step in by_step if step != -1]
    if not bad:
        return
    text = (
        f"{recipe.name}: {len(bad)} of {len(members)} members diverged: {'; '.join(bad)}: lower lr in the "
        "decomposition."
    )
    if len(bad) == len(members):
        raise ValueError(text)
    log.warning(text)


@torch.no_grad()
def finish(recipe: SparseAutoencoder, stack: Stack) -> Iterator[Dictionary]:
    """Each member in the units of its activations, with what was measured on its own rows."""
    for i, member in enumerate(stack.members):
        if stack.diverged[i] >= 0:
            yield _undone(recipe, stack, i, int(stack.diverged[i]))
            continue
        fitted, scale = in_units(recipe, stack, i), stack.scale[i]
        fitted = replace(
            fitted,
            moved=1 - (fitted.directions * stack.start[i]).sum(1),
            curves={name: curve[i].clone() for name, curve in stack.curves.items()},
        )
        seen = quality(fitted, member.activations.blocks(), member.activations.mean)
        if not seen.fvu < EXPLODED:  # By its last step, after which there was no batch to show it.
            yield _undone(recipe, stack, i, stack.step)
            continue
        yield replace(
            fitted,
            firing_rate=seen.firing_rate.to(scale),
            importance=seen.root_mean_square.to(scale),
            member={"fvu": seen.fvu, "l0": seen.l0, "diverged": -1},
        )


def in_units(recipe: SparseAutoencoder, stack: Stack, i: int) -> Dictionary:
    """A member as it stands, in the units of its activations; nothing is measured yet."""
    fitted, scale = recipe.dictionary(*member_of(stack, i)), stack.scale[i]
    return replace(
        fitted,
        directions=fitted.directions.clone(),
        encoder=fitted.encoder.clone(),
        encoder_bias=fitted.encoder_bias / scale,
        bias=fitted.bias / scale,
        threshold=None if fitted.threshold is None else fitted.threshold / scale,
    )


def _undone(recipe: SparseAutoencoder, stack: Stack, i: int, step: int) -> Dictionary:
    """A member that diverged: its initial directions, which nothing ever activates, and no figures."""
    like, directions = recipe.dictionary(*member_of(stack, i)), stack.start[i]
    zeros = torch.zeros_like(directions[:, 0])
    return replace(
        like,
        directions=directions,
        encoder=torch.zeros_like(directions),
        encoder_bias=zeros,
        bias=torch.zeros_like(directions[0]),
        threshold=None if like.threshold is None else zeros,
        k=0,
        firing_rate=zeros,
        importance=zeros,
        moved=zeros,
        curves={name: curve[i].clone() for name, curve in stack.curves.items()},
        member={"fvu": torch.nan, "l0": 0.0, "diverged": step},
    )
