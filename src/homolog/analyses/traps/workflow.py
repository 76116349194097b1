"""What would the workflow decide of a base's latents, held against several other runs, in many repetitions at once?

The steps of `analyses.latents`, stacked: a repetition is a leading axis, a draw of the null the next one. The decision
itself, from similarities and their null, is the one there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.matching import hungarian
from homolog.analyses.latents import Seen, decide
from homolog.analyses.traps.codes import Codes, codes_of, halves, turn_stack
from homolog.analyses.traps.stack import Network, Runs, Stack
from homolog.analyses.traps.turns import as_the_workflow
from homolog.analyses.traps.worlds import unit
from homolog.streams import stream

# Runs of a repetition: a base and as many others as the configuration's first experiment has.
RUNS = 6
# Draws of the null for each of the others, the workflow's default.
DRAWS = 20
LEVEL = 0.05
# Numbers in the largest array of a pass: few enough to stay near the processor.
AT_ONCE = 2**20
FOLDS = ("match", "score")
# Similarity of latents that can't be matched: less than that of any others, so that as many are matched as can be.
NEVER = -10.0
SIGN_TOLD = ("effect",)
Signatures = dict[str, Float[Tensor, "few _ features"]]


@dataclass(frozen=True)
class Side:
    """A run's dictionary, or one after the other those of draws of its null, and what it reads and writes to."""

    stack: Stack
    codes: Codes
    rows: Float[Tensor, "few rows units"]
    network: Network | None


def found(runs: Runs, name: str) -> dict[str, Bool[np.ndarray, "repetitions latents"]]:
    """By view, the latents of the first run that came back in the others, at 5 %; `name` is part of the null's key."""
    repetitions, latents = runs.stable[0].shape
    each = max(1, AT_ONCE // (DRAWS * latents * runs.rows[0].shape[1]))
    parts = []
    for few in torch.split(torch.arange(repetitions), each):
        some, turns = runs.take(few), []
        for number, rows in enumerate(some.rows[1:], start=1):
            generators = [stream("traps", "workflow", name, number, repetition) for repetition in few.tolist()]
            turns.append(as_the_workflow(rows, generators).draw(DRAWS))
        parts.append(p_values(some, turns))
    every = {view: np.concatenate([part[view] for part in parts]) for view in parts[0]}
    return {view: np.nan_to_num(p, nan=1.0) <= LEVEL for view, p in every.items()}


def views_of(runs: Runs) -> list[str]:
    """Default views of the workflow that are identified and that there is something to be read by."""
    around = ["write_out", "read_in", "effect"] if runs.networks else []
    return ["score", *around, *(["neuron"] if runs.one_basis else [])]


def p_values(
    runs: Runs, turns: list[Float[Tensor, "repetitions draws units units"]]
) -> dict[str, Float[np.ndarray, "repetitions latents"]]:
    """By view, adjusted p-values of the first run's latents; NaN where one isn't seen.

    `turns` are the null of each other run: its dictionary turned so.
    """
    networks = runs.networks or (None,) * len(runs.stacks)
    sides = [
        Side(stack, codes_of(stack, rows), rows, network)
        for stack, rows, network in zip(runs.stacks, runs.rows, networks, strict=True)
    ]
    return {view: _decide(view, sides[0], sides[1:], turns) for view in views_of(runs)}


def _decide(view: str, base: Side, others: list[Side], turns: list[Tensor]) -> Float[np.ndarray, "few latents"]:
    own = SIGNATURES[view](base)
    seen = _seen(base, own)
    observed, nulls = [], []
    for other, turn in zip(others, turns, strict=True):
        theirs = SIGNATURES[view](other)
        there = _seen(other, theirs)
        drawn = SIGNATURES[view](_turned(view, other, turn))
        signed = base.stack.signed or view in SIGN_TOLD
        observed.append(_matched(own, theirs, seen, there[:, None], signed))
        there = there[:, None].expand(-1, turn.shape[1], -1)
        # As there: a latent that a turn silences is left out where its bias was moved to keep it active.
        nulls.append(_matched(own, drawn, seen, there & _any(drawn, there) if view == "score" else there, signed))
    similarity, null = torch.cat(observed, 1).numpy(), torch.cat(nulls, 1).numpy()
    p = np.full(seen.shape, np.nan)
    for i, by in enumerate(_stratified_by(base).numpy()):
        live = seen[i].numpy()
        if live.any() and not np.isnan(null[i]).all():
            one = Seen(live, similarity[i], np.zeros_like(similarity[i], int), null[i])
            p[i] = decide(one, by)["adjusted_p_value"]
    return p


def _turned(view: str, side: Side, turn: Float[Tensor, "few draws units units"]) -> Side:
    """All draws of the null. Of `score` the workflow turns dictionaries with their rates, of the others without."""
    rates = side.codes.rates if view == "score" else None
    stack, codes = turn_stack(side.stack, rates, side.rows, turn.float())
    return Side(stack, codes, side.rows, side.network)


def _seen(side: Side, signatures: Signatures) -> Bool[Tensor, "few latents"]:
    """Live latents of which the view sees something."""
    return side.codes.live & _any(signatures, side.codes.live)


def _any(signatures: Signatures, shape: Tensor) -> Tensor:
    seen = torch.stack([(signatures[fold] != 0).any(-1) for fold in FOLDS]).all(0)
    return seen.reshape(shape.shape)


def _matched(
    own: Signatures,
    other: Signatures,
    seen: Bool[Tensor, "few latents_a"],
    there: Bool[Tensor, "few draws latents_b"],
    signed: bool,
) -> Float[Tensor, "few draws latents_a"]:
    """Similarity of each latent of the base with its match, one to one; NaN without one."""
    draws = there.shape[1]
    shape = len(seen), draws, -1, seen.shape[1]
    selection, scoring = ((other[fold] @ own[fold].mT).reshape(shape).mT.double() for fold in FOLDS)
    if not signed:
        selection, scoring = selection.abs(), scoring.abs()
    allowed = seen[:, None, :, None] & there[:, :, None]
    _, value, index = hungarian(selection.masked_fill(~allowed, NEVER), scoring)
    kept = allowed.gather(3, index.clamp(min=0)[..., None])[..., 0] & (index >= 0)
    return value.masked_fill(~kept, torch.nan)


def _stratified_by(side: Side) -> Float[Tensor, "few latents"]:
    """How often latents fire; of linear methods how much they vary."""
    if side.stack.activation != "identity":
        return side.codes.rates
    return torch.cat([side.codes.values[fold] for fold in FOLDS], 2).square().mean(2).sqrt()


def _score(side: Side) -> Signatures:
    """Codes, standardised."""
    result = {}
    for fold in FOLDS:
        codes = side.codes.values[fold]
        result[fold] = (codes - codes.mean(-1, keepdim=True)) * side.codes.scale[fold][..., None]
    return result


def _neuron(side: Side) -> Signatures:
    """Directions."""
    return dict.fromkeys(FOLDS, unit(side.stack.directions))


def _write_out(side: Side) -> Signatures:
    """Directions as the next layer receives them."""
    return dict.fromkeys(FOLDS, unit(side.stack.directions @ _around(side).out.mT))


def _read_in(side: Side) -> Signatures:
    """Mean gradient of each code by the layer below: through the gates of latent and unit, then the weights."""
    result = {}
    for fold, index in halves(side.rows.shape[1]).items():
        units_on = (side.rows[:, index] > 0).float()
        gates = (side.codes.values[fold] != 0).float() @ units_on / len(index)
        result[fold] = unit((gates * side.stack.encoder) @ _around(side).into)
    return result


def _effect(side: Side) -> Signatures:
    """Changes of the centred logits, input by input, when a code is set to its mean."""
    network, result = _around(side), {}
    steps = side.stack.directions @ network.out.mT
    for fold, index in halves(side.rows.shape[1]).items():
        entrance = (side.rows[:, index] @ network.out.mT)[:, None]
        codes = side.codes.values[fold]
        change = (codes.mean(-1, keepdim=True) - codes)[..., None] * steps[:, :, None]
        changed = ((entrance + change).relu_() - entrance.relu()) @ network.logits.mT[:, None]
        result[fold] = unit((changed - changed.mean(-1, keepdim=True)).flatten(2))
    return result


SIGNATURES = {
    "score": _score,
    "write_out": _write_out,
    "read_in": _read_in,
    "effect": _effect,
    "neuron": _neuron,
}


def _around(side: Side) -> Network:
    if side.network is None:
        raise ValueError("write_out, read_in and effect need the network around the layer, and these runs have none.")
    return side.network
