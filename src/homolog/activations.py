"""What a network's hook points read: activations in batches, with the gauge of each hook point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from homolog.alignment.gauge import Gauge, write_out_gauge

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class HookPoint:
    """A hook point's fixed facts: its units, its symmetry, and the map to the next layer (None at the output)."""

    name: str
    units: int
    symmetry: str
    write_out: Float[Tensor, "next_units units"] | None


def describe_hook_points(model: Any, names: list[str]) -> list[HookPoint]:
    """Look up `names` in the model; a ValueError lists the hook points that it has."""
    known = model.hook_points()
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f"hook point {', '.join(missing)} isn't in the model, which has {', '.join(known)}: choose among these."
        )
    return [HookPoint(name, model.units(name), model.symmetry(name), model.write_out(name)) for name in names]


@torch.no_grad()
def stream_activations(
    model: nn.Module,
    inputs: Float[Tensor, "samples inputs"],
    names: list[str],
    batch_size: int,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
) -> Iterator[tuple[int, dict[str, Float[Tensor, "batch units"]]]]:
    """Yield (first row, activations by hook point) for one batch after the other, in the order of `inputs`.

    Raises ValueError when an activation isn't finite.
    """
    model = model.to(device).eval()
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: seen.__setitem__(name, output.detach())

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        for start in progress(range(0, len(inputs), batch_size)):
            model(inputs[start : start + batch_size].to(device))
            for name in names:
                _check_finite(seen[name], name, start)
            yield start, {name: seen[name].cpu() for name in names}
    finally:
        for handle in handles:
            handle.remove()


def _check_finite(activations: Tensor, name: str, first_row: int) -> None:
    bad = ~torch.isfinite(activations)
    if bad.any():
        row = first_row + int(bad.any(1).nonzero()[0])
        raise ValueError(
            f"activations at {name} hold {int(bad.sum())} values that aren't finite (first in row {row}); "
            "finite ones are needed: look at the run's training.nc, and lower its learning rate if it diverged."
        )


def gauge_of(hook_point: HookPoint, total: Float[Tensor, " units"], n_train: int) -> Gauge:
    """The canonical gauge from the sum of a hook point's activations over its `n_train` train rows."""
    return write_out_gauge(total / n_train, hook_point.write_out, hook_point.symmetry)
