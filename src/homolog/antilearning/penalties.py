"""Which measures of a network's parts may a penalty train against? Any function of this form serves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from homolog.groups.base import energies
from homolog.groups.named import named


def class_separation(
    values: Float[Tensor, "members rows units"], labels: Int[Tensor, "members rows"]
) -> Float[Tensor, " members"]:
    """Share of a layer's variance that lies between classes, in [0, 1]: 0 where no class has a mean of its own.

    The correlation ratio, summed over units (Fisher, 1925).
    """
    there = one_hot(labels).to(values)
    centred = values - values.mean(1, keepdim=True)
    sums = there.mT @ centred
    between = (sums**2).sum(-1) / there.sum(1).clamp_min(1)
    total = (centred**2).sum((1, 2)).clamp_min(torch.finfo(values.dtype).tiny)
    return between.sum(-1) / total


def quiet(
    values: Float[Tensor, "members rows units"], labels: Int[Tensor, "members rows"] | None = None
) -> Float[Tensor, " members"]:
    """Mean square of a layer's units: least where it is silent."""
    return (values**2).mean((1, 2))


def irrep_energy(
    values: Float[Tensor, "members tokens width"], labels: None, group: str, irreps: Sequence[str], first: int = 0
) -> Float[Tensor, " members"]:
    """Share of an embedding of a group's elements that some irreps hold; of a cyclic group these are frequencies.

    The elements' tokens are those from `first` on. Raises ValueError for an irrep that the group doesn't have.
    """
    known = named(group)
    places = [known.place(irrep) for irrep in irreps]
    return energies(known, values[:, first : first + known.order])[:, places].sum(-1).float()
