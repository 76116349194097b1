"""Do rate, weight decay and width decide whether Y comes along?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from homolog.antilearning.base import TaskPair
from homolog.antilearning.techniques.base import Part, Setting, layers_of


@dataclass
class Settings(Part):
    """All combinations of factors of the pair's rate and weight decay, and of shares of units, train side by side.

    Each member keeps the one in which it is better at X than at Y by most, on rows that may be trained on. A narrower
    `layer` (None: each but the logits) is a wide one of which all but the first units are silent.
    """

    lr: Sequence[float] = (1.0,)
    weight_decay: Sequence[float] = (1.0,)
    width: Sequence[float] = (1.0,)
    layer: str | None = None

    def uses_y(self, pair: TaskPair) -> bool:
        return len(self.settings()) > 1

    def check(self, pair: TaskPair) -> None:
        super().check(pair)
        layers_of(pair, self.layer)

    def settings(self) -> list[Setting]:
        return [Setting(*one, self.layer) for one in product(self.lr, self.weight_decay, self.width)]
