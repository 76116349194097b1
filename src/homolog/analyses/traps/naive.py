"""What do the usual measures say of the same repetitions: a threshold, no null, or one that knows too little?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from homolog.alignment.decisions import benjamini_yekutieli
from homolog.analyses.traps.stack import Pair

# Above it two latents count as one in Paulo & Belrose (2025); as good or bad as any other for a summary.
THRESHOLD = 0.7
LEVEL = 0.05


@dataclass(frozen=True)
class Seen:
    """What all of them look at: codes on all rows, cosines and correlations of all latents, and which are live."""

    pair: Pair

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        """(repetition, latent, row), in float64."""
        a, b = (
            stack.activate(stack.pre_activations(rows)).double()
            for stack, rows in ((self.pair.a, self.pair.rows_a), (self.pair.b, self.pair.rows_b))
        )
        return a, b

    @cached_property
    def live(self) -> tuple[Tensor, Tensor]:
        a, b = ((codes != 0).any(-1) for codes in self.codes)
        return a, b

    @cached_property
    def cosine(self) -> Float[Tensor, "repetitions a b"]:
        return self._absolute(_unit(self.pair.a.directions) @ _unit(self.pair.b.directions).mT)

    @cached_property
    def encoder_cosine(self) -> Float[Tensor, "repetitions a b"]:
        return self._absolute(_unit(self.pair.a.encoder) @ _unit(self.pair.b.encoder).mT)

    @cached_property
    def correlation(self) -> Float[Tensor, "repetitions a b"]:
        """Over all rows: pairs are chosen and scored on the same ones."""
        a, b = (_unit(codes - codes.mean(-1, keepdim=True)) for codes in self.codes)
        return self._absolute(a @ b.mT)

    def among_live(self, similarity: Tensor) -> Tensor:
        a, b = self.live
        return similarity.masked_fill(~(a[:, :, None] & b[:, None]), -1.0)

    def _absolute(self, similarity: Tensor) -> Tensor:
        return similarity if self.pair.a.signed else similarity.abs()


def cosine_threshold(seen: Seen) -> Tensor:
    return _best(seen.among_live(seen.cosine)) > THRESHOLD


def cosine_with_dead(seen: Seen) -> Tensor:
    return _best(seen.cosine) > THRESHOLD


def cosine_by_order(seen: Seen) -> Tensor:
    """Latent i with latent i, in the order and the basis that they happen to have: the founding document's measure."""
    same = seen.among_live(seen.cosine).diagonal(dim1=1, dim2=2) > THRESHOLD
    return torch.cat([same, same], 1)


def shared_fraction(seen: Seen) -> Tensor:
    """Latents whose directions and whose encoders have the same partner, both above the threshold."""
    both = seen.among_live(seen.cosine), seen.among_live(seen.encoder_cosine)
    shared = torch.zeros(seen.cosine.shape, dtype=torch.bool)
    for repetition, (one, other) in enumerate(zip(*both, strict=True)):
        rows, columns = linear_sum_assignment(one.numpy(), maximize=True)
        again = torch.from_numpy(linear_sum_assignment(other.numpy(), maximize=True)[1] == columns)
        shared[repetition, rows, columns] = (
            again & (one[rows, columns] > THRESHOLD) & (other[rows, columns] > THRESHOLD)
        )
    return torch.cat([shared.any(2), shared.any(1)], 1)


def correlation_threshold(seen: Seen) -> Tensor:
    return _best(seen.among_live(seen.correlation)) > THRESHOLD


def correlation_test(seen: Seen) -> Tensor:
    """p < 5 % of Pearson's r of the best match, rows as replicates: chosen and tested on the same rows."""
    n = seen.pair.rows_a.shape[1]
    r = _best(seen.among_live(seen.correlation))
    freedom = n - 2
    critical = stats.t.ppf(1 - LEVEL / 2, freedom)
    return r > float(critical / np.sqrt(freedom + critical**2))


def isotropic_null(seen: Seen) -> Tensor:
    """Against the best of so many isotropic directions, exactly (Beta law of a cosine), Benjamini & Yekutieli at 5 %.

    (1 + cosine) / 2 of two random directions in d dims is Beta((d - 1) / 2, (d - 1) / 2).
    """
    pair, cosine = seen.pair, seen.among_live(seen.cosine)
    half = (pair.a.directions.shape[2] - 1) / 2
    best = _best(cosine).numpy()
    others = np.repeat([pair.b.latents, pair.a.latents], [pair.a.latents, pair.b.latents])
    # Chance that one such direction is as near; of either sign where signs mean nothing.
    one = stats.beta.sf((1 + best) / 2, half, half) * (1 if pair.a.signed else 2)
    p = -np.expm1(others * np.log1p(-np.minimum(one, 1 - 1e-12)))
    return torch.from_numpy(np.stack([benjamini_yekutieli(row) for row in p]) <= LEVEL)


def mmcs(seen: Seen) -> Tensor:
    """Mean largest cosine of live latents, mean of both directions (Sharkey et al. 2022)."""
    m = seen.pair.a.latents
    best, live = _best(seen.among_live(seen.cosine)), torch.cat(seen.live, 1)
    sides = [_mean(best[:, part], live[:, part]) for part in (slice(m), slice(m, None))]
    return (sides[0] + sides[1]) / 2


def pw_mcc(seen: Seen) -> Tensor:
    """Mean cosine of one-to-one pairs of live latents (Song et al. 2025)."""
    cosine = seen.among_live(seen.cosine)
    values = []
    for one in cosine:
        matched = one[linear_sum_assignment(one.numpy(), maximize=True)]
        values.append(matched[matched > -1].mean())
    return torch.stack(values)


def cka(seen: Seen) -> Tensor:
    """Linear CKA of the codes (Kornblith et al. 2019)."""
    x, y = (codes - codes.mean(-1, keepdim=True) for codes in seen.codes)
    return _norm(x @ y.mT).square() / (_norm(x @ x.mT) * _norm(y @ y.mT))


def cca(seen: Seen) -> Tensor:
    """Mean canonical correlation of the codes, with a rank cut."""
    bases = []
    for codes in seen.codes:
        _, sigma, vh = torch.linalg.svd(codes - codes.mean(-1, keepdim=True), full_matrices=False)
        bases.append(vh * (sigma > 1e-6 * sigma[:, :1])[..., None])
    ranks = torch.minimum(*((basis.abs().sum(-1) > 0).sum(-1) for basis in bases))
    value: Tensor = torch.linalg.svdvals(bases[0] @ bases[1].mT).sum(-1) / ranks
    return value


def procrustes(seen: Seen) -> Tensor:
    """Nuclear norm of X'Y over both norms (Schönemann 1966; Williams et al. 2021)."""
    x, y = (codes - codes.mean(-1, keepdim=True) for codes in seen.codes)
    value: Tensor = torch.linalg.svdvals(x @ y.mT).sum(-1) / (_norm(x) * _norm(y))
    return value


# By latent: which ones return. As a whole: how alike the two are; above `THRESHOLD` they are called so.
BY_LATENT: dict[str, Callable[[Seen], Bool[Tensor, "repetitions latents"]]] = {
    "cosine": cosine_threshold,
    "cosine_with_dead": cosine_with_dead,
    "cosine_by_order": cosine_by_order,
    "shared_fraction": shared_fraction,
    "isotropic_null": isotropic_null,
    "correlation": correlation_threshold,
    "correlation_test": correlation_test,
}
AS_A_WHOLE: dict[str, Callable[[Seen], Float[Tensor, " repetitions"]]] = {
    "mmcs": mmcs,
    "pw_mcc": pw_mcc,
    "cka": cka,
    "cca": cca,
    "procrustes": procrustes,
}


def _best(similarity: Float[Tensor, "repetitions a b"]) -> Float[Tensor, "repetitions latents"]:
    return torch.cat([similarity.amax(2), similarity.amax(1)], 1)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)


def _norm(rows: Tensor) -> Tensor:
    return rows.square().sum((1, 2)).sqrt()


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.double(), dim=-1)
