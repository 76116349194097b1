"""How do networks learn addition modulo p for many p, where p is a token like any number?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.toys.composing import looked_up
from homolog.toys.training import Parameters

# Embeddings pass by this factor into the layers and to the logits: larger than 1, they learn that much faster than by
# AdamW's own rate (with 1, a tenth of the held-out pairs stays wrong after as many steps).
SCALE = 3.0


@dataclass(frozen=True)
class Modular:
    """Three tokens a, b and p in, logits of the result out, through two hidden layers of ReLU.

    One embedding serves numbers as summands, as moduli (by a linear map of its own) and as results, so that an unseen
    p is a number whose place among the others was learned. The sum of summands' embeddings says nothing of their order.
    """

    numbers: int
    """Tokens 0 to `numbers`, of which all but the last are results too."""
    width: int
    hidden: int

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Parameters before training, each member's drawn alone: normal, by He's scale before a ReLU."""

        def drawn(*shape: int, power: float) -> Tensor:
            weights: Tensor = torch.randn(members, *shape, generator=generator) * power**0.5
            return weights

        width, hidden = self.width, self.hidden
        return {
            "numbers": drawn(self.numbers + 1, width, power=1 / width),
            "moduli": drawn(width, width, power=1 / width),
            "first": drawn(width, hidden, power=2 / width),
            "first_bias": torch.zeros(members, hidden),
            "second": drawn(hidden, hidden, power=2 / hidden),
            "second_bias": torch.zeros(members, hidden),
            "out": drawn(hidden, width, power=1 / hidden),
        }

    def embedded(
        self, parameters: Parameters, triples: Int[Tensor, "members rows 3"]
    ) -> Float[Tensor, "members rows twice_width"]:
        """The sum of what stands for a and for b, then what stands for p."""
        numbers = parameters["numbers"]
        left, right, modulus = (looked_up(numbers, tokens) for tokens in triples.unbind(-1))
        return torch.cat([left + right, modulus @ parameters["moduli"]], -1)

    def first(
        self, parameters: Parameters, embedded: Float[Tensor, "members rows twice_width"]
    ) -> Float[Tensor, "members rows hidden"]:
        """The first hidden layer."""
        summed = SCALE * (embedded[..., : self.width] + embedded[..., self.width :])
        return torch.baddbmm(parameters["first_bias"][:, None], summed, parameters["first"]).relu()

    def second(
        self, parameters: Parameters, first: Float[Tensor, "members rows hidden"]
    ) -> Float[Tensor, "members rows hidden"]:
        """The second hidden layer."""
        return torch.baddbmm(parameters["second_bias"][:, None], first, parameters["second"]).relu()

    def read_out(
        self, parameters: Parameters, second: Float[Tensor, "members rows hidden"]
    ) -> Float[Tensor, "members rows numbers"]:
        """Logits of each number."""
        return SCALE * (second @ parameters["out"]) @ parameters["numbers"][:, : self.numbers].mT


def triples(moduli: list[int]) -> Int[Tensor, "rows 3"]:
    """Unordered pairs of numbers below each p, with the p: mirror images would give each other away."""
    parts = [torch.combinations(torch.arange(p), with_replacement=True) for p in moduli]
    return torch.cat(
        [torch.cat([part, torch.full((len(part), 1), p)], 1) for p, part in zip(moduli, parts, strict=True)]
    )


def results(rows: Int[Tensor, "*rows 3"]) -> Int[Tensor, "*rows"]:
    """``(a + b) mod p``."""
    return rows[..., :2].sum(-1) % rows[..., 2]


def wraps(rows: Int[Tensor, "*rows 3"]) -> Tensor:
    """Whether ``a + b >= p``: elsewhere it's plain addition, which says nothing of p."""
    return rows[..., :2].sum(-1) >= rows[..., 2]
