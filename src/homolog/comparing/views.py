"""How alike are two dictionaries in each view, latent by latent: which is whose match, chosen and scored apart?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from homolog.comparing.choosing import choose
from homolog.comparing.codes import Codes, paired
from homolog.comparing.likeness import OfCodes, OfDirections, unit_rows
from homolog.comparing.rows import Rows
from homolog.decompositions.moments import moments
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

# Names of views as in the workflow. What each needs: codes of both; one basis; equal widths and two bases; ranks.
CODES, SHARED, MAPPED = ("score", "jaccard"), ("neuron", "encoder"), ("neuron_permuted", "neuron_procrustes")
RANKS = "subspace"
VIEWS = (*CODES, RANKS, *SHARED, *MAPPED)
CAVEATS = {
    "neuron_permuted": "for units of an elementwise nonlinearity",
    "neuron_procrustes": "optimistic bound: no ReLU layer allows a rotation",
}


@dataclass
class Side:
    """One dictionary on its rows: codes on both halves, and which latents fire in both (`live`).

    It is read, and directions are multiplied, on the `device`.
    """

    dictionary: Dictionary
    rows: Rows
    codes: dict[str, Codes]
    device: str | torch.device = "cpu"

    @classmethod
    def of(cls, dictionary: Dictionary, rows: Rows, device: str | torch.device = "cpu") -> Side:
        codes = {fold: Codes(dictionary, samples, device=device) for fold, samples in rows.folds.items()}
        return cls(dictionary, rows, codes, device)

    @cached_property
    def rates(self) -> Float[Tensor, "folds latents"]:
        return torch.stack([codes.rates for codes in self.codes.values()])

    @property
    def live(self) -> Bool[Tensor, " latents"]:
        return (self.rates > 0).all(0)

    @property
    def latents(self) -> int:
        return len(self.dictionary.directions)

    def vectors(self, view: str) -> Float[Tensor, "latents units"]:
        """What a geometric view compares."""
        return self.dictionary.encoder if view == "encoder" else self.dictionary.directions


@dataclass(frozen=True)
class Scored:
    """For each latent of one side: its match (-1: none), the scored similarity, and whether each is the other's match.

    NaN similarity where a latent isn't live.
    """

    index: Int[Tensor, " latents"]
    similarity: Float[Tensor, " latents"]
    mutual: Bool[Tensor, " latents"]

    @property
    def statistic(self) -> Float[Tensor, " latents"]:
        """What is held against its null: the similarity of a mutual match, minus infinity without one."""
        return torch.where(self.mutual & ~self.similarity.isnan(), self.similarity, -torch.inf)


@dataclass(frozen=True)
class Maps:
    """Maps from the units of b to those of a, by half of the rows they are fitted on."""

    match: Float[Tensor, "units units"]
    score: Float[Tensor, "units units"]


def compare_codes(a: Side, b: Side, matching: str) -> dict[str, tuple[Scored, Scored]]:
    """`score` and `jaccard` of the latents of a and of those of b; the pairs of both are chosen by `score`."""
    signed = a.dictionary.signed and b.dictionary.signed
    chosen = choose(OfCodes(a.codes["match"], b.codes["match"], signed), a.live, b.live, matching)
    found = []
    for (one, other), (index, mutual) in zip(((a, b), (b, a)), chosen, strict=True):
        pearson, jaccard = paired(one.codes["score"], other.codes["score"], index)
        found.append((Scored(index, pearson if signed else pearson.abs(), mutual), Scored(index, jaccard, mutual)))
    (score_a, jaccard_a), (score_b, jaccard_b) = found
    return {"score": (score_a, score_b), "jaccard": (jaccard_a, jaccard_b)}


def compare_directions(a: Side, b: Side, view: str, matching: str, maps: Maps | None = None) -> tuple[Scored, Scored]:
    """A geometric view of the latents of a and of those of b; `maps` bring b's vectors into a's units."""
    ours, theirs = a.vectors(view), b.vectors(view)
    signed = a.dictionary.signed and b.dictionary.signed
    mapped = theirs if maps is None else theirs @ maps.match.to(theirs)
    chosen = choose(OfDirections(ours, mapped, signed, a.device), a.live, b.live, matching)
    ours, theirs = unit_rows(ours), unit_rows(theirs if maps is None else theirs @ maps.score.to(theirs))
    found = []
    for (one, other), (index, mutual) in zip(((ours, theirs), (theirs, ours)), chosen, strict=True):
        value = (one * other[index.clamp(min=0)]).sum(1)
        found.append(Scored(index, (value if signed else value.abs()).masked_fill(index < 0, torch.nan), mutual))
    return found[0], found[1]


def fit_maps(a: Rows, b: Rows) -> dict[str, Maps]:
    """The permutation and the rotation of b's units nearest to a's, each fitted on either half of the rows.

    The rotation is U V' of X_b' X_a = U S V', centred (Schönemann 1966); the permutation the assignment of units with
    the largest sum of correlations (Li et al. 2016).
    """
    rotations, permutations = {}, {}
    for fold in a.folds:
        cross, scale_a, scale_b = _cross(a.folds[fold], b.folds[fold])
        u, _, vh = torch.linalg.svd(cross)
        rotations[fold] = u @ vh
        _, index = linear_sum_assignment((cross / scale_b[:, None] / scale_a).numpy(), maximize=True)
        permutations[fold] = torch.eye(len(cross), dtype=cross.dtype)[torch.as_tensor(index)]
    return {"neuron_procrustes": Maps(**rotations), "neuron_permuted": Maps(**permutations)}


def _cross(a: Samples, b: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """X_b' X_a of centred rows, by the number of rows, and the units' deviations; a constant unit's is infinite."""
    joint = moments(a, b).covariance
    deviation = joint.diagonal().clamp(min=0).sqrt()
    deviation = torch.where(deviation > 0, deviation, torch.inf)
    return joint[a.units :, : a.units], deviation[: a.units], deviation[a.units :]
