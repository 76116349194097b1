"""Which rows does what a hook point holds give: one for each input, or for each of its positions?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from homolog.networks.points import Point


def as_places(
    value: Float[Tensor, ...], inputs: int, positions: int | None, point: Point
) -> Float[Tensor, "inputs positions units"]:
    """A hook point's tensor of so many inputs, with one row of units for each of their positions.

    With `positions` known (tokens): (input, position, ...), of which further dims together are the units (heads), or
    (input x position, unit). Else (input, unit), (input, position, unit), or as convolutions give it (input, channel,
    height, width), of which the channels are the units. Raises ValueError for other shapes.
    """
    shape = tuple(value.shape)
    if positions is None:
        if shape[0] == inputs and 2 <= len(shape) <= 4:
            return value[:, None] if len(shape) == 2 else value if len(shape) == 3 else value.flatten(2).mT
        allowed = f"({inputs}, units), ({inputs}, positions, units) or ({inputs}, channels, height, width)"
    else:
        if len(shape) >= 3 and shape[:2] == (inputs, positions):
            return value.flatten(2)
        if len(shape) == 2 and shape[0] == inputs * positions:
            return value.reshape(inputs, positions, -1)
        allowed = f"({inputs}, {positions}, units)"
    raise ValueError(
        f"hook point {point} has shape {shape} of a batch of {inputs} inputs"
        + (f" of {positions} positions" if positions else "")
        + f"; allowed: {allowed}, a row for each {'position' if positions else 'input or position'}: choose another "
        "hook point, or make all inputs of a batch equally long."
    )


def laid_out_as(
    value: Float[Tensor, ...], places: Float[Tensor, "inputs positions units"], positions: int | None
) -> Float[Tensor, ...]:
    """What `as_places` undoes: places of units in the shape of a hook point's tensor."""
    return (places.mT if positions is None and value.dim() == 4 else places).reshape(value.shape)
