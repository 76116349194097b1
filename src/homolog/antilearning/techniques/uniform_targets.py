"""Does a network forget Y that is made to give every class the same probability on it, or is it only less sure?"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from homolog.antilearning.techniques.base import Moment, Part


@dataclass
class UniformTargets(Part):
    """Adds the cross-entropy between the uniform distribution and the answers on Y.

    `begin`: the share of the steps after which it joins; before, X is learned alone.
    """

    begin: float = 0.5

    def loss(self, moment: Moment) -> Float[Tensor, " members"] | None:
        if moment.share < self.begin:
            return None
        return self.weight * from_uniform(moment.y_seen["logits"])


def from_uniform(logits: Float[Tensor, "members rows classes"]) -> Float[Tensor, " members"]:
    """``-mean log p`` over classes and rows: least, ``log(classes)``, where all classes are equally likely."""
    return -logits.log_softmax(-1).mean((1, 2))
