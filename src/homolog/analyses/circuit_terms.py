"""Of which irreps is what each latent of a composing network reads and writes, and which latents carry an irrep?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.matching import match
from homolog.groups.harmonics import Harmonics

# A latent that varies less than this share of the most varying one is none.
NO_LATENT = 1e-9
HALF = 0.5


@dataclass(frozen=True)
class Terms:
    """What each latent reads of a pair and what it writes to the results, in a group's harmonics.

    The network's logits are the sum of the terms ``reads (x) writes``, which need no gauge: tokens and results are the
    same for all trainings. Codes are about their mean over pairs, what is written about its mean over results.
    """

    reads: Float[Tensor, "latents functions functions"]
    writes: Float[Tensor, "latents functions"]
    harmonics: Harmonics

    @classmethod
    def of(
        cls,
        codes: Float[Tensor, "latents elements elements"],
        writes: Float[Tensor, "latents elements"],
        harmonics: Harmonics,
    ) -> Terms:
        """From codes of every pair and what a latent of code 1 adds to each result's logit; silent latents go."""
        codes = codes - codes.mean((1, 2), keepdim=True)
        size = codes.square().sum((1, 2))
        live = size > NO_LATENT * size.max()
        reads = harmonics.of_pairs(codes[live])
        return cls(reads, harmonics.functions(writes[live] - writes[live].mean(1, keepdim=True)), harmonics)

    @property
    def variance(self) -> Float[Tensor, " latents"]:
        """Of a latent's code, times the squared length of what it writes."""
        return self.reads.square().mean((1, 2)) * self.writes.square().sum(1)

    def read_shares(self) -> Float[Tensor, "latents irreps"]:
        """Share of a code's variance that transforms by an irrep in both places; what mixes irreps is in none."""
        member = self.harmonics.member
        squares = self.reads.square()
        kept = torch.einsum("fxy,xi,yi->fi", squares, member, member)
        return kept / squares.sum((1, 2))[:, None]

    def written_shares(self) -> Float[Tensor, "latents irreps"]:
        """Share of the squared length of what is written that each irrep has; 0 of what writes nothing."""
        squares = self.writes.square()
        return squares @ self.harmonics.member / squares.sum(1, keepdim=True).clamp_min(torch.finfo(squares.dtype).tiny)

    def by_irrep(self) -> Iterator[tuple[Float[Tensor, "latents d d"], Float[Tensor, "latents d"]]]:
        """Parts of reads and writes that are of one irrep, for all but the first, which is constant."""
        for number in range(1, self.harmonics.irreps):
            own = (self.harmonics.irrep == number).nonzero()[:, 0]
            yield self.reads[:, own[:, None], own], self.writes[:, own]

    def circuits(self) -> list[Float[Tensor, "d d d"]]:
        """By irrep, the sum of the latents' terms within it: what the network computes by this irrep."""
        return [torch.einsum("fxy,fz->xyz", reads, writes) for reads, writes in self.by_irrep()]

    def wired(self, order: Int[Tensor, " latents"]) -> Terms:
        """The same readings with the writes of other latents."""
        return replace(self, writes=self.writes[order])


def purity(shares: Float[Tensor, "latents irreps"], weights: Float[Tensor, " latents"]) -> float:
    """The share of a latent's largest irrep, a mean over latents by weight."""
    return float((shares.amax(1) * weights).sum() / weights.sum())


def carried(terms: Terms, whole: list[Float[Tensor, "d d d"]]) -> Float[Tensor, "irreps latents"]:
    """Share of each irrep's circuit that each latent's term gives, along it; those of a network's units sum to 1."""
    return torch.stack([
        torch.einsum("fxy,xyz,fz->f", reads, one, writes) / one.square().sum()
        for (reads, writes), one in zip(terms.by_irrep(), whole, strict=True)
    ])  # fmt: skip


def needed(shares: Float[Tensor, "irreps latents"], level: float = HALF) -> Float[Tensor, " irreps"]:
    """The fewest latents whose shares reach a level, linearly between numbers; NaN where all of them don't."""
    summed = shares.sort(dim=1, descending=True)[0].cumsum(1)
    summed = torch.cat([torch.zeros_like(summed[:, :1]), summed], 1)
    found = []
    for row in summed:
        above = (row >= level).nonzero()
        if not len(above):
            found.append(float("nan"))
            continue
        at = int(above[0])
        found.append(at - 1 + float((level - row[at - 1]) / (row[at] - row[at - 1])))
    return torch.tensor(found)


def alike(one: Terms, other: Terms) -> dict[str, float]:
    """How alike two networks' latents are, one to one: means over the latents of that which has fewer.

    ``codes``: absolute correlation over all pairs, which also decides who is matched; ``writes``: cosine of what these
    matches write, with the sign of their codes' correlation; ``terms``: cosine of the rank-one terms, matched by it.
    """
    codes = _cosines(one.reads.flatten(1), other.reads.flatten(1))
    writes = _cosines(one.writes, other.writes)
    terms = codes * writes
    own = match(codes.abs(), codes.abs(), "hungarian")
    return {
        "codes": _mean(own.per_latent),
        "writes": _mean(match(codes.abs(), writes * codes.sign(), "hungarian").per_latent),
        "terms": _mean(match(terms, terms, "hungarian").per_latent),
    }


def same_circuits(one: list[Float[Tensor, "d d d"]], other: list[Float[Tensor, "d d d"]]) -> float:
    """Cosine of all irreps' circuits together."""
    a, b = (torch.cat([part.flatten() for part in parts]).double() for parts in (one, other))
    return float(a @ b / (a.norm() * b.norm()))


def best_purity(terms: Terms) -> Float[Tensor, " irreps"]:
    """Of each irrep, the largest share of a reading's variance that any linear reading of these latents can have."""
    flat = terms.reads.flatten(1).double()
    values, vectors = torch.linalg.eigh(flat @ flat.T)
    kept = values > NO_LATENT * values[-1]
    white = vectors[:, kept] / values[kept].sqrt()
    found = [torch.linalg.eigvalsh(white.T @ _gram(reads) @ white)[-1] for reads, _ in terms.by_irrep()]
    return torch.stack(found).float()


def _gram(reads: Float[Tensor, "latents d d"]) -> Float[Tensor, "latents latents"]:
    flat = reads.flatten(1).double()
    return flat @ flat.T


def _cosines(a: Float[Tensor, "m n"], b: Float[Tensor, "k n"]) -> Float[Tensor, "m k"]:
    return torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T


def _mean(per_latent: object) -> float:
    found = torch.as_tensor(per_latent)
    return float(found[~found.isnan()].double().mean())
