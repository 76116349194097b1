"""Which parts of a function on a group belong to which irreducible representation?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """A finite group and its irreducible characters over the reals.

    `table` holds the number of ``a b``; `characters` the value of each irrep at each element, in float64. A complex
    irrep stands together with its conjugate, as one real irrep of twice the dimension; `dims` are the dimensions of the
    complex ones, by which projectors are scaled (Serre, Linear representations of finite groups, 2.6).
    """

    name: str
    table: Int[Tensor, "elements elements"]
    irreps: tuple[str, ...]
    dims: tuple[int, ...]
    characters: Float[Tensor, "irreps elements"]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.table)

    @property
    def commutative(self) -> bool:
        """Whether ``a b = b a`` for all: then a pair and its mirror image say the same."""
        return bool(torch.equal(self.table, self.table.T))

    @cached_property
    def inverse(self) -> Int[Tensor, " elements"]:
        """Number of each element's inverse."""
        return (self.table == self.identity).int().argmax(1)

    @cached_property
    def identity(self) -> int:
        """Number of the identity: the element that multiplies to the others in order."""
        return int((self.table == torch.arange(self.order)).all(1).int().argmax())

    @cached_property
    def quotient(self) -> Int[Tensor, "elements elements"]:
        """Number of ``a^-1 b``."""
        return self.table[self.inverse]

    def projector(self, irrep: str) -> Float[Tensor, "elements elements"]:
        """``dim / |G| chi(a^-1 b)``: onto the functions on the group that transform by this irrep, in float64."""
        index = self.place(irrep)
        return self.dims[index] / self.order * self.characters[index][self.quotient]

    def projector_onto(self, irreps: list[str]) -> Float[Tensor, "elements elements"]:
        """Onto the functions that transform by any of these."""
        return torch.stack([self.projector(irrep) for irrep in irreps]).sum(0)

    def place(self, irrep: str) -> int:
        """Where an irrep stands in `irreps`. Raises ValueError for one that the group doesn't have."""
        if irrep not in self.irreps:
            allowed = ", ".join(self.irreps[:12]) + (", ..." if len(self.irreps) > 12 else "")
            raise ValueError(f"{self.name} has no irrep {irrep}; it has {allowed}: name one of these.")
        return self.irreps.index(irrep)

    @property
    def random_shares(self) -> Float[Tensor, " irreps"]:
        """What `energies` are for random functions, on average: ranks of the projectors over the order."""
        at_identity = self.characters[:, self.identity]
        return torch.tensor(self.dims, dtype=torch.float64) * at_identity / self.order


def energies(group: Group, vectors: Float[Tensor, "*members elements width"]) -> Float[Tensor, "*members irreps"]:
    """Share of the squared norm of functions on the group (columns) that each irrep's projector keeps; they sum to 1.

    ``tr(V' P V) / tr(V' V)``, for all irreps at once: the Gram matrix is summed where ``a^-1 b`` is the same. NaN for
    vectors that are all 0.
    """
    gram = (vectors @ vectors.mT).double().flatten(-2)
    by_quotient = gram.new_zeros(*gram.shape[:-1], group.order)
    by_quotient.index_add_(-1, group.quotient.flatten(), gram)
    dims = torch.tensor(group.dims, dtype=torch.float64)
    kept = by_quotient @ (dims[:, None] * group.characters / group.order).T
    return kept / by_quotient[..., group.identity, None]


def logit_energies(
    group: Group, logits: Float[Tensor, "*members elements elements classes"]
) -> Float[Tensor, "*members irreps"]:
    """Share of the variance of the logits of c for (a, b) that is a multiple of ``chi(c^-1 a b)``, for each irrep.

    What a network that composes by an irrep's matrices and takes traces gives (Chughtai et al., 2023). Logits are
    centred over c, since a constant changes nothing, so that the trivial irrep has 0. The shares sum to at most 1.
    """
    centred = (logits - logits.mean(-1, keepdim=True)).double().flatten(-3)
    answers = group.quotient.T[group.table].flatten()
    by_answer = centred.new_zeros(*centred.shape[:-1], group.order)
    by_answer.index_add_(-1, answers, centred)
    norms = group.order**2 * (group.characters**2).sum(1)
    total = (centred**2).sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return (by_answer @ group.characters.T) ** 2 / norms / total
