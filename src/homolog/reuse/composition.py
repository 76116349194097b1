"""Does a network that knows F(A, B) and G(C, D) learn h(F, G) by computing F and G first?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import trained_by
from homolog.streams import stream
from homolog.toys.composing import Composing
from homolog.toys.training import Parameters, accuracies, cross_entropies

BRANCHES = ("f", "g")
# Quadruples at which units of both networks are compared.
COMMON = 1024


@dataclass(frozen=True)
class Branches:
    """A network for F(A, B), one for G(C, D), and two layers that read both."""

    branch: Composing
    joined: int

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Both branches before training, by `<branch>_<name>`."""
        drawn = {one: self.branch.start(members, generator) for one in BRANCHES}
        return {f"{one}_{name}": value for one, parameters in drawn.items() for name, value in parameters.items()}

    def start_whole(self, members: int, generator: torch.Generator) -> Parameters:
        """The same with the layers on top."""
        n = self.branch.classes
        return self.start(members, generator) | {
            "join": n**-0.5 * torch.randn(members, 2 * n, self.joined, generator=generator),
            "join_bias": torch.zeros(members, 1, self.joined),
            "answer": self.joined**-0.5 * torch.randn(members, self.joined, n, generator=generator),
            "answer_bias": torch.zeros(members, 1, n),
        }

    def hidden(
        self, parameters: Parameters, rows: Int[Tensor, "members rows 4"]
    ) -> Float[Tensor, "members rows units"]:
        """Hidden layers of both branches, side by side."""
        each = zip(BRANCHES, rows.chunk(2, -1), strict=True)
        return torch.cat([self.branch.hidden(branch_of(parameters, one), pairs) for one, pairs in each], -1)

    def logits(self, parameters: Parameters, rows: Int[Tensor, "members rows 4"]) -> Float[Tensor, "members rows n"]:
        """Logits of h."""
        each = zip(BRANCHES, rows.chunk(2, -1), strict=True)
        seen = torch.cat([self.branch.logits(branch_of(parameters, one), pairs) for one, pairs in each], -1)
        joined = (seen @ parameters["join"] + parameters["join_bias"]).relu()
        return joined @ parameters["answer"] + parameters["answer_bias"]


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """``F = A + B``, ``G = C - D`` and then ``h = F G``, all modulo a prime: no sum over A to D gives h away.

    The first network learns all pairs of F and G, each by a branch of its own; the second has two layers more on top of
    both branches, and learns from quadruples. The circuit: how much of the variance of the first branch's output over
    (A, B) is between values of F.
    """
    n = options["n"]
    network = Branches(Composing(n, n, options["width"], "product"), options["joined"])
    every = torch.cartesian_prod(torch.arange(n), torch.arange(n)).expand(members, -1, 2)
    results = {"f": every.sum(-1) % n, "g": (every[..., 0] - every[..., 1]) % n}
    count = options["rows"]
    rows = _quadruples(n, count + options["test_rows"], members, *key)
    train, test = rows[:, :count], rows[:, count:]
    common = _quadruples(n, COMMON, 1, *key, "common").expand(members, -1, 4)

    def of_first(parameters: Parameters, measure: Any) -> Float[Tensor, " members"]:
        logits = {one: network.branch.logits(branch_of(parameters, one), every) for one in BRANCHES}
        return torch.stack([measure(logits[one], results[one]) for one in BRANCHES]).mean(0)

    def of_second(parameters: Parameters, rows: Tensor, measure: Any) -> Float[Tensor, " members"]:
        found: Tensor = measure(network.logits(parameters, rows), composed(rows, n))
        return found

    def units(parameters: Parameters) -> Float[Tensor, "members rows units"]:
        return network.hidden(parameters, common)

    return ReusePair(
        first=Stage(
            start=lambda generator: network.start(members, generator),
            losses=lambda now: of_first(now, cross_entropies),
            score=lambda now: of_first(now, accuracies),
            latents=units,
            **trained_by(options) | {"steps": options["first_steps"]},
        ),
        second=Stage(
            start=lambda generator: network.start_whole(members, generator),
            losses=lambda now: of_second(now, train, cross_entropies),
            score=lambda now: of_second(now, test, accuracies),
            latents=units,
            **trained_by(options),
        ),
        core=tuple(network.start(1, stream("names"))),
        # 0 is the result of 2 n - 1 of n^2 pairs, more often than any other.
        chance=(2 * n - 1) / n**2,
        learned=options["learned"],
        circuit=lambda _, now: between(network.branch.logits(branch_of(now, "f"), every), results["f"], n),
        circuit_null=(n - 1) / (n * n - 1),
    )


def branch_of(parameters: Parameters, branch: str) -> Parameters:
    """One branch's parameters, by the names of `Composing`."""
    mark = f"{branch}_"
    return {name.removeprefix(mark): value for name, value in parameters.items() if name.startswith(mark)}


def composed(rows: Int[Tensor, "members rows 4"], n: int) -> Int[Tensor, "members rows"]:
    """``(A + B) (C - D)`` modulo n."""
    a, b, c, d = rows.unbind(-1)
    return (a + b) * (c - d) % n


def between(
    values: Float[Tensor, "members rows units"], labels: Int[Tensor, "members rows"], classes: int
) -> Float[Tensor, " members"]:
    """Share of the variance over rows that lies between classes of equally many rows."""
    centred = values - values.mean(1, keepdim=True)
    means = torch.zeros(len(values), classes, values.shape[-1])
    means.scatter_add_(1, labels[..., None].expand_as(centred), centred)
    rows = values.shape[1] / classes
    return (means**2).sum((1, 2)) / rows / (centred**2).sum((1, 2)).clamp_min(torch.finfo(values.dtype).tiny)


def _quadruples(n: int, count: int, members: int, *key: str | int) -> Int[Tensor, "members rows 4"]:
    numbers = torch.stack([torch.randperm(n**4, generator=stream(*key, member))[:count] for member in range(members)])
    return torch.stack([numbers // n**power % n for power in range(4)], -1)
