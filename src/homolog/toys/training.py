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
    lr: float | Float[Tensor, " members"],
    weight_decay: float | Float[Tensor, " members"] = 0.0,
    warm_up: float = 0.0,
    decay: bool = True,
    watch: Callable[[Parameters, int], None] | None = None,
    progress: Progress = iter,
) -> Parameters:
    """Lower each member's loss by AdamW (Loshchilov & Hutter, 2019); returns the trained parameters, detached.

    Every parameter has a leading member dim. `losses` gets them and the number of the step (from 0), and draws its own
    batch; a member's loss must depend on its own slice alone. Adam works by element, so that members train as they
    would alone, whatever stands beside them; `lr` and `weight_decay` may be members' own. The rate rises linearly over
    the share `warm_up` of the steps and, with `decay`, falls to 0 by a half cosine. `watch` is called before the first
    step and after each one, without gradients.

    Raises ValueError where a member's loss is no longer finite: with its number.
    """
    trained = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    # Rates and decays of members' own are put into Adam's step afterwards.
    own = isinstance(lr, Tensor) or isinstance(weight_decay, Tensor)
    rate, decayed = (1.0, 0.0) if isinstance(lr, Tensor) or isinstance(weight_decay, Tensor) else (lr, weight_decay)
    optimizer = torch.optim.AdamW(trained.values(), lr=rate, weight_decay=decayed, betas=(0.9, 0.999))
    _show(watch, trained, 0)
    for step in progress(range(steps)):
        share = _share_of_rate(step, steps, warm_up, decay)
        for group in optimizer.param_groups:
            group["lr"] = rate if own else rate * share
        optimizer.zero_grad(set_to_none=True)
        each = losses(trained, step)
        each.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        before = {name: value.detach().clone() for name, value in trained.items()} if own else {}
        optimizer.step()
        _rescale(trained, before, share * torch.as_tensor(lr), torch.as_tensor(weight_decay))
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


def _rescale(trained: Parameters, before: Parameters, lr: Tensor, weight_decay: Tensor) -> None:
    """Make of Adam's step at rate 1 without decay that of AdamW at each member's own rate and decay."""
    with torch.no_grad():
        for name, old in before.items():
            if trained[name].grad is None:
                continue
            rate, decay = (one.reshape(-1, *[1] * (old.ndim - 1)) for one in (lr, weight_decay))
            trained[name].copy_(old * (1 - rate * decay) + rate * (trained[name] - old))


def _show(watch: Callable[[Parameters, int], None] | None, trained: Parameters, step: int) -> None:
    if watch is not None:
        with torch.no_grad():
            watch({name: value.detach() for name, value in trained.items()}, step)


def _check(losses: Float[Tensor, " members"] | None, lr: float | Float[Tensor, " members"]) -> None:
    if losses is not None and not bool(losses.isfinite().all()):
        member = int((~losses.isfinite()).nonzero()[0])
        raise ValueError(
            f"member {member} diverged: its loss is {float(losses[member])} at lr = {_of(lr, member)}: lower lr."
        )


def _of(rate: float | Tensor, member: int) -> float:
    return float(rate[member]) if isinstance(rate, Tensor) and rate.ndim else float(rate)
