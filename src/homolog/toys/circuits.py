"""Small circuits, trained to compute one fact each from activations: what do they read, and through how many edges?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, train_members


def start(members: int, inputs: int, units: int, generator: torch.Generator) -> Parameters:
    """``inputs -> units -> 1`` with ReLU before training: He's normal draw (2015), and zeros."""
    return {
        "in": torch.randn(members, inputs, units, generator=generator) * (2 / inputs) ** 0.5,
        "in_bias": torch.zeros(members, units),
        "out": torch.randn(members, units, generator=generator).abs() * (1 / units) ** 0.5,
        "out_bias": torch.zeros(members),
    }


def outputs(parameters: Parameters, inputs: Float[Tensor, "members rows inputs"]) -> Float[Tensor, "members rows"]:
    """What each circuit says of its rows."""
    before = torch.baddbmm(parameters["in_bias"][:, None], inputs, parameters["in"])
    return after(before, parameters)


def after(before: Float[Tensor, "members rows units"], parameters: Parameters) -> Float[Tensor, "members rows"]:
    """The same from what its units get."""
    return (before.relu() @ parameters["out"][:, :, None]).squeeze(2) + parameters["out_bias"][:, None]


def weights(targets: Float[Tensor, "members rows"]) -> Float[Tensor, "members rows"]:
    """How much each row counts: those in which there is something to say (target above 0) half, all others half."""
    there = (targets > 0).float()
    shares: Tensor = there / there.sum(1, keepdim=True).clamp_min(1)
    others = 1 - there
    return (shares + others / others.sum(1, keepdim=True).clamp_min(1)) / 2


def train(
    rows: Float[Tensor, "worlds rows inputs"],
    world: Int[Tensor, " members"],
    targets: Float[Tensor, "members rows"],
    units: int,
    steps: int,
    lr: float,
    batch_size: int,
    key: tuple[str | int, ...],
    progress: Progress = iter,
) -> Parameters:
    """Circuits, each trained to tell its own target from the rows of its own world, by squared error.

    A step reads rows by `weights`. Errors are over the mean square of a target, so that facts weigh alike whatever
    their size. Starts and batches are drawn from streams of `key`. Raises ValueError for a fact that is true of no row.
    """
    members = len(targets)
    counts = weights(targets)
    empty = (targets > 0).sum(1) == 0
    if bool(empty.any()):
        raise ValueError(
            f"circuits {'/'.join(map(str, key))}: fact {int(empty.nonzero()[0])} is true of no row, so that nothing "
            "can be learnt of it; allowed: at least one row of each; give more rows."
        )
    scale = (counts * targets.square()).sum(1).rsqrt()[:, None]
    chosen = torch.multinomial(counts, steps * batch_size, replacement=True, generator=stream(*key, "batches"))
    chosen = chosen.reshape(members, steps, batch_size)

    def losses(parameters: Parameters, step: int) -> Tensor:
        own = chosen[:, step]
        wanted = (targets * scale).gather(1, own)
        return (outputs(parameters, rows[world[:, None], own]) - wanted).square().mean(1)

    begun = start(members, rows.shape[2], units, stream(*key, "start"))
    trained = train_members(begun, losses, steps, lr, warm_up=0.05, progress=progress)
    return {name: one / scale.squeeze(1).reshape(-1, *[1] * (one.ndim - 1)) if "out" in name else one
            for name, one in trained.items()}  # fmt: skip


def read_in(
    parameters: Parameters, inputs: Float[Tensor, "members rows inputs"], counts: Float[Tensor, "members rows"]
) -> Float[Tensor, "members inputs"]:
    """What each circuit reads: the gradient of its output with respect to its inputs, a mean weighted by `counts`."""
    before = torch.baddbmm(parameters["in_bias"][:, None], inputs, parameters["in"])
    gates = ((before > 0) * counts[:, :, None]).sum(1) / counts.sum(1)[:, None]
    return (parameters["in"] * (gates * parameters["out"])[:, None]).sum(2)


def unexplained(
    said: Float[Tensor, "... rows"], truth: Float[Tensor, "... rows"], counts: Float[Tensor, "... rows"]
) -> Float[Tensor, ...]:
    """Weighted squared error over the truth's weighted variance (FVU)."""
    counts = counts / counts.sum(-1, keepdim=True)
    mean = (counts * truth).sum(-1, keepdim=True)
    return (counts * (said - truth).square()).sum(-1) / (counts * (truth - mean).square()).sum(-1)


def edges_needed(
    circuit: Parameters,
    inputs: Float[Tensor, "rows inputs"],
    counts: Float[Tensor, " rows"],
    codes: Float[Tensor, "rows latents"],
    directions: Float[Tensor, "latents inputs"],
    kept: float,
) -> tuple[int, bool]:
    """The fewest edges from latents to a circuit's units through which it does what it does, and whether any will do.

    One circuit, without its member dim. The edge from latent j to unit h carries ``code_j * (direction_j . W_h)``.
    Edges are kept in order of how much they make the output vary (root mean square of what they carry, times |out_h|);
    all others, and what the dictionary doesn't reconstruct, stand at their means. Enough is what leaves at most 1 -
    `kept` of the variance of the circuit's own output. Of numbers of edges each about a quarter above the last are
    tried. Where not even all edges will do, their number is returned.
    """
    counts = counts / counts.sum()
    virtual = directions @ circuit["in"]
    mean = counts @ codes
    varying = codes - mean
    carried = (counts @ varying.square()).sqrt()[:, None] * virtual.abs() * circuit["out"].abs()
    order = carried.flatten().argsort(descending=True)
    before = inputs @ circuit["in"] + circuit["in_bias"]
    whole, middle = _said(circuit, before), counts @ before
    every = int((carried > 0).sum())
    for number in _numbers(every):
        chosen = torch.zeros(carried.numel(), dtype=carried.dtype)
        chosen[order[:number]] = 1
        said = _said(circuit, middle + varying @ (virtual * chosen.reshape(virtual.shape)))
        if float(unexplained(said, whole, counts)) <= 1 - kept:
            return number, True
    return every, False


def _said(circuit: Parameters, before: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
    return before.relu() @ circuit["out"] + circuit["out_bias"]


def _numbers(most: int) -> list[int]:
    found, number = [], 1
    while number < most:
        found.append(number)
        number = max(number + 1, round(1.25 * number))
    return [*found, most] if most else []
