"""Does a network that adds modulo p and modulo q build addition modulo pq from both?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.groups.base import energies
from homolog.groups.cyclic import cyclic
from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import common_pairs, composing_stage, hidden_at, trained_by
from homolog.toys.composing import Composing, Examples, split_pairs
from homolog.toys.training import Parameters, accuracies, cross_entropies


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First the sum of two numbers below pq modulo p and modulo q, through two read-outs; then modulo pq.

    Embeddings are handed on, read-outs are new; the same pairs are held out of both. By the Chinese remainder theorem
    the frequencies of p and of q alone determine the sum: these are the circuit, in the embeddings' energy.
    Raises ValueError for p and q with a common divisor.
    """
    p, q = options["p"], options["q"]
    if gcd(p, q) > 1:
        raise ValueError(f"p_q_pq: p = {p} and q = {q} have the divisor {gcd(p, q)} in common; name coprime numbers.")
    group, width = cyclic(p * q), options["width"]
    split = split_pairs(group, options["share"], members, *key)
    common = common_pairs(group.order, members, *key)
    both, whole = (Composing(group.order, classes, width, "product", tied=True) for classes in (p + q, p * q))
    # Multiples of q are frequencies of period p, and those of p of period q.
    shared = torch.tensor([int(name) > 0 and (int(name) % p == 0 or int(name) % q == 0) for name in group.irreps])

    def circuit(first: Parameters, now: Parameters) -> Float[Tensor, " members"]:
        return energies(group, now["left"])[:, shared].sum(1)

    first = Stage(
        start=lambda generator: both.start(members, generator),
        losses=lambda parameters: sum_over(both, parameters, split.train, (p, q), cross_entropies),
        score=lambda parameters: sum_over(both, parameters, split.test, (p, q), accuracies) / 2,
        latents=hidden_at(both, common),
        **trained_by(options),
    )
    second = composing_stage(whole, split, common, options)
    return ReusePair(
        first=replace(first, steps=options["first_steps"]),
        second=second,
        core=("left",),
        chance=1 / group.order,
        learned=options["learned"],
        circuit=circuit,
        circuit_null=float(group.random_shares[shared].sum()),
    )


def sum_over(
    network: Composing, parameters: Parameters, examples: Examples, moduli: tuple[int, int], measure: Any
) -> Float[Tensor, " members"]:
    """A measure of logits and labels, summed over both remainders of the results."""
    logits, (p, _) = network.logits(parameters, examples.pairs), moduli
    parts = zip((logits[..., :p], logits[..., p:]), moduli, strict=True)
    return torch.stack([measure(part, examples.labels % one) for part, one in parts]).sum(0)
