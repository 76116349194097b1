"""Does a measure of how a network implements Y, trained against, keep the network from implementing it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Moment, Part
from homolog.loading import load_from_outside
from homolog.streams import stream


@dataclass
class Penalty(Part):
    """Adds what a function says of a layer at rows of X or Y, or of a parameter: ``package.module:function``.

    It is called with the values, (members, rows, units) of a layer `at` the rows `of` X or Y or the whole parameter
    `at`; with the labels of these rows, None for a parameter; and with `options`. It gives a number for each member.
    """

    function: str = ""
    at: str = ""
    of: Literal["x", "y"] = "y"
    options: Mapping[str, Any] = field(default_factory=dict)
    begin: float = 0.0

    def uses_y(self, pair: TaskPair) -> bool:
        return self.at in pair.network.layers and self.of == "y"

    def check(self, pair: TaskPair) -> None:
        layers, parameters = pair.network.layers, list(pair.network.start(1, stream("names")))
        if self.at not in (*layers, *parameters):
            raise ValueError(
                f"{pair.name}: a penalty is at {self.at!r}, but its network has the layers {', '.join(layers)} and the "
                f"parameters {', '.join(parameters)}: name one of these, or restrict the part to other pairs (its "
                "option pairs)."
            )
        super().check(pair)
        load_from_outside(self.function)

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share < self.begin:
            return None
        function = load_from_outside(self.function)
        if self.at not in moment.pair.network.layers:
            found = function(moment.parameters[self.at], None, **self.options)
        else:
            labels = (moment.x if self.of == "x" else moment.y).labels
            found = function(moment.seen(self.of)[self.at], labels, **self.options)
        return self.weight * _of_members(found, moment.pair.members, self.function)


def _of_members(found: Any, members: int, function: str) -> Tensor:
    if not isinstance(found, Tensor) or found.shape != (members,):
        seen = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"{function} gives {seen}, but a penalty is a tensor of shape {(members,)}: one number each.")
    return found.float()
