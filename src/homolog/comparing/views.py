"""How alike are two dictionaries in each view, latent by latent: which is whose match, chosen and scored apart?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine
from homolog.comparing.codes import Codes, correlations, paired
from homolog.comparing.rows import Rows
from homolog.decompositions.moments import moments
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

# Names of views as in the workflow. What each needs: codes of both; one basis; equal widths and two bases.
CODES, SHARED, MAPPED = ("score", "jaccard"), ("neuron", "encoder"), ("neuron_permuted", "neuron_procrustes")
VIEWS = (*CODES, *SHARED, *MAPPED)
CAVEATS = {
    "neuron_permuted": "for units of an elementwise nonlinearity",
    "neuron_procrustes": "optimistic bound: no ReLU layer allows a rotation",
}
MATCHINGS = ("mutual", "best", "hungarian")


@dataclass
class Side:
    """One dictionary on its rows: codes on both halves, and which latents fire in both (`live`)."""

    dictionary: Dictionary
    rows: Rows
    codes: dict[str, Codes]

    @classmethod
    def of(cls, dictionary: Dictionary, rows: Rows) -> Side:
        return cls(dictionary, rows, {fold: Codes(dictionary, samples) for fold, samples in rows.folds.items()})

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


def choose(
    similarity: Float[Tensor, "m n"], live_a: Bool[Tensor, " m"], live_b: Bool[Tensor, " n"], matching: str
) -> tuple[tuple[Int[Tensor, " m"], Bool[Tensor, " m"]], tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]]:
    """Match of each latent of a and of b (-1: none), and whether it is mutual. Overwrites `similarity`.

    `mutual` and `best`: each with its most similar one. `hungarian`: one to one, with the largest sum. The one place
    where pairs are chosen.
    """
    index_a, index_b = torch.full((len(live_a),), -1), torch.full((len(live_b),), -1)
    if live_a.any() and live_b.any():
        if matching == "hungarian":
            places_a, places_b = live_a.nonzero()[:, 0], live_b.nonzero()[:, 0]
            among = similarity[places_a][:, places_b]
            found = match(among, among, matching).index
            pairs = places_a[found >= 0], places_b[found[found >= 0]]
            index_a[pairs[0]], index_b[pairs[1]] = pairs[1], pairs[0]
        else:
            similarity[~live_a], similarity[:, ~live_b] = -torch.inf, -torch.inf
            index_a[live_a], index_b[live_b] = similarity.argmax(1)[live_a], similarity.argmax(0)[live_b]
    mutual_a = (index_a >= 0) & (index_b[index_a.clamp(min=0)] == torch.arange(len(index_a)))
    mutual_b = (index_b >= 0) & (index_a[index_b.clamp(min=0)] == torch.arange(len(index_b)))
    if matching == "best":  # Many to one is all that is asked for.
        mutual_a, mutual_b = index_a >= 0, index_b >= 0
    return (index_a, mutual_a), (index_b, mutual_b)


def compare_codes(a: Side, b: Side, matching: str) -> dict[str, tuple[Scored, Scored]]:
    """`score` and `jaccard` of the latents of a and of those of b; the pairs of both are chosen by `score`."""
    signed = a.dictionary.signed and b.dictionary.signed
    similarity = correlations(a.codes["match"], b.codes["match"])
    chosen = choose(similarity if signed else similarity.abs_(), a.live, b.live, matching)
    del similarity
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
    similarity = _cosine(ours, theirs if maps is None else theirs @ maps.match.to(theirs))
    chosen = choose(similarity if signed else similarity.abs_(), a.live, b.live, matching)
    del similarity
    ours, theirs = _unit(ours), _unit(theirs if maps is None else theirs @ maps.score.to(theirs))
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


def _unit(rows: Float[Tensor, "rows units"]) -> Float[Tensor, "rows units"]:
    wide = rows.double()
    norms = wide.norm(dim=1, keepdim=True)
    return wide / torch.where(norms > 0, norms, 1.0)


def _cosine(a: Float[Tensor, "m units"], b: Float[Tensor, "n units"]) -> Float[Tensor, "m n"]:
    """Cosines in float64, or in float32 where the matrix would be too large."""
    return cosine(a, b) if len(a) * len(b) <= 2**24 else _unit(a).float() @ _unit(b).float().T
