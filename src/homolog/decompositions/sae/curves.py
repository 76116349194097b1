"""What is told of training: curves of each member, a bar that shows them, and by which step a member had diverged."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.base import Stack
from homolog.decompositions.sae.finishing import EXPLODED

# Steps after which divergence is looked for, and the most that a chunk has.
CHUNK = 32


def due(stack: Stack, step: int) -> bool:
    """Whether divergence is looked for after so many steps."""
    return step % CHUNK == 0 or step == stack.options["steps"]


def log_steps(options: dict[str, Any]) -> dict[int, int]:
    """Which steps are logged, and as which point of the curve: evenly spread from the first to the last."""
    points = min(options["log_points"], options["steps"])
    chosen = torch.linspace(0, options["steps"] - 1, points, dtype=torch.float64).round().int().tolist()
    return {step: i for i, step in enumerate(sorted(set(chosen)))}


def prepare(stack: Stack) -> None:
    """The curve of steps, which says how long the others will be."""
    steps = list(log_steps(stack.options))
    stack.curves["step"] = torch.tensor(steps, dtype=torch.float32).expand(len(stack.members), -1).clone()


def log(stack: Stack, point: int, terms: dict[str, Float[Tensor, " members"]]) -> None:
    """Put each term down as a point of its curve."""
    for name, value in terms.items():
        curve = stack.curves.setdefault(name, torch.full_like(stack.curves["step"], torch.nan))
        curve[:, point] = value.detach().cpu()


def note_diverged(stack: Stack, step: int, fvu: Float[Tensor, " members"]) -> None:
    """Members whose FVU is none any more have diverged by `step`, unless they had before."""
    exploded = ~(fvu < EXPLODED).cpu()
    stack.diverged[exploded & (stack.diverged < 0)] = step


def show(bar: Any, stacks: list[Stack]) -> None:
    """FVU and L0 of the best, median and worst member, on bars that can show them."""
    if not hasattr(bar, "set_postfix_str") or getattr(bar, "disable", False):
        return
    latest: dict[int, tuple[float, float]] = {}
    for member, fvu, l0 in (
        (m, *c) for s in stacks for m, *c in zip(s.members, s.curves["fvu"], s.curves["l0"], strict=True)
    ):
        seen = fvu.isfinite().nonzero()
        if len(seen):  # A filled stack shows its last member once.
            latest[id(member)] = float(fvu[seen[-1, 0]]), float(l0[seen[-1, 0]])
    if not latest:
        return
    ranked = sorted(latest.values())
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    bar.set_postfix_str(", ".join(f"{name} FVU {fvu:.3f} L0 {l0:.1f}" for name, (fvu, l0) in chosen.items()))
