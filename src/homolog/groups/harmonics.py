"""Into which functions, each of one irrep, does a function on a group or on its pairs fall apart?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.groups.base import Group


@dataclass(frozen=True)
class Harmonics:
    """Orthonormal functions on a group as columns, irrep by irrep; `irrep` is the number of each one's.

    Within an irrep any other orthonormal functions would do as well: what is said of these may not depend on which.
    """

    basis: Float[Tensor, "elements functions"]
    irrep: Int[Tensor, " functions"]

    @classmethod
    def of(cls, group: Group) -> Harmonics:
        """As many functions as elements, float32: eigenvectors of each projector."""
        found, number = [], []
        for place, name in enumerate(group.irreps):
            values, vectors = torch.linalg.eigh(group.projector(name))
            kept = vectors[:, values > 0.5]
            found.append(kept)
            number += [place] * kept.shape[1]
        return cls(torch.cat(found, 1).float(), torch.tensor(number))

    def functions(self, values: Float[Tensor, "*many elements"]) -> Float[Tensor, "*many functions"]:
        """Coefficients of functions on the group."""
        return values @ self.basis

    def of_pairs(self, values: Float[Tensor, "*many elements elements"]) -> Float[Tensor, "*many functions functions"]:
        """Coefficients of functions on pairs, in products of one function of each place."""
        return self.basis.T @ values @ self.basis

    @property
    def irreps(self) -> int:
        """Number of irreps."""
        return int(self.irrep.max()) + 1

    @property
    def member(self) -> Float[Tensor, "functions irreps"]:
        """1 where a function is of an irrep, else 0."""
        return torch.nn.functional.one_hot(self.irrep, self.irreps).float()
