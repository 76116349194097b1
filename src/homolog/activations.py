"""What a network's hook points read: activations in batches, with the gauge of each hook point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from homolog.alignment.gauge import Gauge, canonical_gauge, no_gauge
from homolog.networks.hooks import Hooks
from homolog.networks.points import Point

# The symmetry of a hook point of which none is known: it is read as it stands.
FREE = "none"
Progress = Callable[[Iterable[int]], Iterable[int]]
_DIVERGED = "look at the run's training.nc, and lower its learning rate if it diverged"


@dataclass(frozen=True)
class HookPoint:
    """A hook point's fixed facts: its units, its symmetry, and the map to the next layer (None at the output).

    `basis` names the weights that fix its basis, where they are known without the network.
    """

    name: str
    units: int
    symmetry: str
    write_out: Float[Tensor, "next_units units"] | None
    basis: str = ""


def describe_hook_points(model: Any, names: list[str]) -> list[HookPoint]:
    """Look up `names` in the model; a ValueError lists the hook points that it has."""
    known = model.hook_points()
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f"hook point {', '.join(missing)} isn't in the model, which has {', '.join(known)}: choose among these."
        )
    return [HookPoint(name, model.units(name), model.symmetry(name), model.write_out(name)) for name in names]


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of a file from row `start` on: values by hook point, and whole numbers by name.

    `numbers` holds ``split``, ``half``, ``label`` and ``input_id``, and may hold more.
    """

    start: int
    activations: dict[str, Float[Tensor, "rows units"]]
    numbers: dict[str, Int[Tensor, " rows"]]


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
    points = {name: Point(name) for name in names}
    with Hooks(model, [*points.values()]) as hooks:
        for start in progress(range(0, len(inputs), batch_size)):
            batch = inputs[start : start + batch_size].to(device)
            seen = hooks.read(partial(model, batch))
            for name, point in points.items():
                check_finite(seen[point], name, start, _DIVERGED)
            yield start, {name: seen[point].cpu() for name, point in points.items()}


def check_finite(activations: Float[Tensor, "rows units"], name: str, first_row: int, way_out: str) -> None:
    """Raise ValueError, with the first row and a `way_out`, unless all values are finite."""
    # Far quicker than a look at each value; the sum of large ones may be infinite, too.
    if torch.isfinite(activations.sum()):
        return
    bad = ~torch.isfinite(activations)
    if bad.any():
        row = first_row + int(bad.any(1).nonzero()[0])
        raise ValueError(
            f"activations at {name} hold {int(bad.sum())} values that aren't finite (first in row {row}); "
            f"finite ones are needed: {way_out}."
        )


class Totals:
    """Sums over the train rows of a hook point, in float64: all that its gauge is made of."""

    def __init__(self, hook_point: HookPoint) -> None:
        self.hook_point, self.rows = hook_point, 0
        self.sum = torch.zeros(hook_point.units, dtype=torch.float64)
        # Only where axes must be found: it costs a product for every batch.
        turns = hook_point.symmetry.startswith("rotate")
        self.products = torch.zeros(*(hook_point.units,) * 2, dtype=torch.float64) if turns else None

    def add(self, rows: Float[Tensor, "rows units"]) -> None:
        """Take in some train rows."""
        wide = rows.double()
        self.rows += len(wide)
        self.sum += wide.sum(0)
        if self.products is not None:
            self.products += wide.T @ wide

    def gauge(self) -> Gauge:
        """The canonical gauge of the hook point; the trivial one where no symmetry is known."""
        if self.hook_point.symmetry == FREE:
            return no_gauge(self.hook_point.units)
        mean = self.sum / self.rows
        covariance = None if self.products is None else self.products / self.rows - torch.outer(mean, mean)
        return canonical_gauge(mean, self.hook_point.write_out, self.hook_point.symmetry, covariance)
