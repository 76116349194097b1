"""How do many small networks, members of one sweep, train together as one tensor program?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Tensor]
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def train_members(
    parameters: Parameters,
    losses: Callable[[Parameters, int], Float[Tensor, " members"]],
    steps: int,
    lr: float,
    weight_decay: float = 0.0,
    warm_up: float = 0.0,
    decay: bool = True,
    watch: Callable[[Parameters, int], None] | None = None,
    progress: Progress = iter,
) -> Parameters:
    """Lower each member's loss by AdamW (Loshchilov & Hutter, 2019); returns the trained parameters, detached.

    Every parameter has a leading member dim. `losses` gets them and the number of the step (from 0), and draws its own
    batch; a member's loss must depend on its own slice alone. Adam works by element, so that members train as they
    would alone, whatever stands beside them. The rate rises linearly over the share `warm_up` of the steps and, with
    `decay`, falls to 0 by a half cosine. `watch` is called before the first step and after each one, without gradients.

    Raises ValueError where a member's loss is no longer finite: with its number.
    """
    trained = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.999))
    _show(watch, trained, 0)
    for step in progress(range(steps)):
        for group in optimizer.param_groups:
            group["lr"] = lr * _share_of_rate(step, steps, warm_up, decay)
        optimizer.zero_grad(set_to_none=True)
        each = losses(trained, step)
        each.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        _show(watch, trained, step + 1)
    _check(each.detach() if steps else None, lr)
    return {name: value.detach() for name, value in trained.items()}


def cross_entropies(
    logits: Float[Tensor, "members rows classes"], labels: Int[Tensor, "members rows"]
) -> Float[Tensor, " members"]:
    """Mean cross-entropy of each member, in nats."""
    each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.reshape(labels.shape).mean(1)


def accuracies(
    logits: Float[Tensor, "members rows classes"], labels: Int[Tensor, "members rows"]
) -> Float[Tensor, " members"]:
    """Share of rows whose largest logit is that of the label."""
    return (logits.argmax(-1) == labels).float().mean(1)


def _share_of_rate(step: int, steps: int, warm_up: float, decay: bool) -> float:
    rising = min(1.0, (step + 1) / max(1.0, warm_up * steps))
    return rising * (0.5 + 0.5 * math.cos(math.pi * step / steps) if decay else 1.0)


def _show(watch: Callable[[Parameters, int], None] | None, trained: Parameters, step: int) -> None:
    if watch is not None:
        with torch.no_grad():
            watch({name: value.detach() for name, value in trained.items()}, step)


def _check(losses: Float[Tensor, " members"] | None, lr: float) -> None:
    if losses is not None and not bool(losses.isfinite().all()):
        member = int((~losses.isfinite()).nonzero()[0])
        raise ValueError(f"member {member} diverged: its loss is {float(losses[member])} at lr = {lr}: lower lr.")
