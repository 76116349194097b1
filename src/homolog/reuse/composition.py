"""Does a network that knows F(A, B) and G(C, D) learn h(F, G) by computing F and G first?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import trained_by
from homolog.streams import stream
from homolog.toys.composing import Composing, looked_up
from homolog.toys.training import Parameters, accuracies, cross_entropies

BRANCHES = ("f", "g")
# Quadruples at which units of both networks are compared.
COMMON = 1024


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """``F = A + B``, ``G = C - D`` and then ``h = F G``, all modulo a prime: no sum over A to D gives h away.

    The first network learns all pairs of F and G, each by a branch of its own; the second has two layers more on top of
    both branches, and learns from quadruples. The circuit: how much of the variance of the first branch's output over
    (A, B) is between values of F.
    """
    n, width = options["n"], options["width"]
    branch = Composing(n, n, width, "product")
    every = torch.cartesian_prod(torch.arange(n), torch.arange(n)).expand(members, -1, 2)
    answers = {"f": every.sum(-1) % n, "g": (every[..., 0] - every[..., 1]) % n}
    sizes = [options["rows"], options["test_rows"]]
    train, test = (rows.contiguous() for rows in _quadruples(n, sum(sizes), members, *key).split(sizes, 1))
    common = _quadruples(n, COMMON, 1, *key, "common").expand(members, -1, 4)

    def start(generator: torch.Generator) -> Parameters:
        return {f"{one}_{name}": value for one in BRANCHES for name, value in branch.start(members, generator).items()}

    def further(generator: torch.Generator) -> Parameters:
        inner = options["joined"]
        return start(generator) | {
            "join": (1 / n) ** 0.5 * torch.randn(members, 2 * n, inner, generator=generator),
            "join_bias": torch.zeros(members, 1, inner),
            "answer": inner**-0.5 * torch.randn(members, inner, n, generator=generator),
            "answer_bias": torch.zeros(members, 1, n),
        }

    def of_first(parameters: Parameters, measure: Any) -> Tensor:
        parts = [measure(branch.logits(branch_of(parameters, one), every), answers[one]) for one in BRANCHES]
        return torch.stack(parts).sum(0)

    def logits(parameters: Parameters, rows: Tensor) -> Tensor:
        seen = [branch.logits(branch_of(parameters, one), rows[..., 2 * place : 2 * place + 2]) for place, one in enumerate(BRANCHES)]
        joined = (torch.cat(seen, -1) @ parameters["join"] + parameters["join_bias"]).relu()
        return joined @ parameters["answer"] + parameters["answer_bias"]

    def latents(parameters: Parameters) -> Tensor:
        parts = [branch.hidden(branch_of(parameters, one), common[..., 2 * place : 2 * place + 2]) for place, one in enumerate(BRANCHES)]
        return torch.cat(parts, -1)

    def circuit(first: Parameters, now: Parameters) -> Tensor:
        return between(branch.logits(branch_of(now, "f"), every), answers["f"], n)

    first = Stage(start, lambda now: of_first(now, cross_entropies), lambda now: of_first(now, accuracies) / 2, latents,
                  **trained_by(options) | {"steps": options["first_steps"]})
    second = Stage(further, lambda now: cross_entropies(logits(now, train), composed(train, n)),
                   lambda now: accuracies(logits(now, test), composed(test, n)), latents, **trained_by(options))
    names = tuple(start(stream("names")))
    # 0 is the result of 2 n - 1 of n^2 pairs, more often than any other.
    return ReusePair(first, second, names, (2 * n - 1) / n**2, options["learned"], circuit, (n - 1) / (n * n - 1))


def branch_of(parameters: Parameters, branch: str) -> Parameters:
    """One branch's parameters, by the names of `Composing`."""
    return {name.removeprefix(f"{branch}_"): value for name, value in parameters.items() if name.startswith(f"{branch}_")}


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
