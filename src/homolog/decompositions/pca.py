"""PCA: which orthogonal directions hold most of the activations' variance."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.decompositions.moments import Moments, moments, provisional_mean, shifted
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary
from homolog.streams import stream

# Random directions beyond those asked for (Halko, Martinsson & Tropp, 2011, section 1.3, take 5 to 10).
OVERSAMPLING = 10
# Passes over the rows after which random projections end at the latest; and the residual of every wanted direction, in
# units of the largest variance, at which they end before.
PASSES, RESIDUAL = 8, 1e-9


class PCA(Decomposition):
    """Orthonormal latents in order of explained variance: the best affine reconstruction of its size (Pearson, 1901).

    Taking the mean off is all that sets it apart from the raw SVD: it makes the scores uncorrelated.
    `importance` is the standard deviation along each direction (divisor: samples).

    Two solvers, both in float64 over streamed rows; n samples, d units, and l = n_latents + 10:

    - ``exact``: eigenvectors of the covariance. One pass of n d^2 flops, shared by all members with the same samples,
      and about 9 d^3 flops behind it; holds a few d x d matrices.
    - ``randomised``: see `randomised`. At most 8 passes of 4 n d l flops; holds two d x 8 l matrices.
    - ``auto``: ``randomised`` where 8 of its passes are fewer flops than ``exact``, and ``exact`` where these haven't
      converged. So for n much above d it needs d > 32 l: 22 latents of a thousand units, or 118 of four thousand.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        moments_of = cache(moments)
        return [self._fit(member, moments_of) for member in members]

    def _fit(self, member: Member, moments_of: Callable[[Samples], Moments]) -> Dictionary:
        x, n_latents, solver = member.activations, member.options["n_latents"], member.options["solver"]
        random = solver == "randomised" or (solver == "auto" and randomised_pays(x.samples, x.units, n_latents))
        if not random:
            moments_of(x)  # First, as it shows in passing whether all values are finite.
        check_activations("PCA", x, n_latents, min(x.samples, x.units))
        found = None
        if random:
            found = randomised(x, n_latents, stream("init", *member.key, member.seed, member.rows, n_latents))
        if found is None or (solver == "auto" and not found.converged):
            found = exact(moments_of(x), n_latents)
        directions = found.directions * fix_signs(found.directions)
        return Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=directions.new_zeros(n_latents),
            bias=found.mean,
            firing_rate=directions.new_ones(n_latents),
            importance=found.deviations,
            ordered=True,
        )


class Principal(NamedTuple):
    """Mean, standard deviations in falling order and their orthonormal directions; and whether these are exact."""

    mean: Float[Tensor, " units"]
    deviations: Float[Tensor, " latents"]
    directions: Float[Tensor, "latents units"]
    converged: bool


def exact(own: Moments, n_latents: int) -> Principal:
    """The leading eigenvectors of the covariance."""
    deviations, directions = own.principal
    return Principal(own.mean, deviations[:n_latents], directions[:n_latents], True)


def randomised_pays(samples: int, units: int, n_latents: int) -> bool:
    """Whether random projections cost fewer flops than the covariance and its eigenvectors, however many passes."""
    return 4 * PASSES * (n_latents + OVERSAMPLING) * samples * units < samples * units**2 + 9 * units**3


def randomised(samples: Samples, n_latents: int, generator: torch.Generator) -> Principal:
    """Leading eigenvectors of the covariance C out of the span of Q, C Q, C^2 Q, ... for a random Q.

    This is the randomised subspace iteration of Halko, Martinsson & Tropp (2011) that forgets no pass: the same passes
    over the rows, but the best directions in the span of all of them (Rayleigh & Ritz), which converge like Chebyshev
    polynomials and not like powers (Halko, Martinsson, Shkolnisky & Tygert, 2011; Musco & Musco, 2015).
    """
    width = min(n_latents + OVERSAMPLING, samples.units)
    start = torch.randn(samples.units, width, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(start.to(samples.device)).Q
    images = basis[:, :0]
    for _ in range(PASSES):
        mean, image = _covariance_times(samples, basis[:, images.shape[1] :])
        images = torch.cat([images, image], 1)
        variances, turns = torch.linalg.eigh(basis.T @ images)
        variances, turns = variances.flip(0)[:n_latents], turns.flip(1)[:, :n_latents]
        directions = basis @ turns
        residual = (images @ turns - directions * variances).norm(dim=0).max()
        converged = bool(residual <= RESIDUAL * variances[0])
        if converged or basis.shape[1] == samples.units:
            break
        basis = torch.cat([basis, _orthonormal(image, basis)], 1)
    return Principal(mean, variances.clamp(min=0).sqrt(), directions.T, converged)


def _covariance_times(
    samples: Samples, basis: Float[Tensor, "units width"]
) -> tuple[Float[Tensor, " units"], Float[Tensor, "units width"]]:
    """The mean, and the covariance times `basis`, in one pass."""
    shift = provisional_mean(samples)
    total, image = torch.zeros_like(shift), torch.zeros_like(basis)
    for rows in shifted(samples, shift=shift):
        total += rows.sum(0)
        image += rows.T @ (rows @ basis)
    offset = total / samples.samples
    return shift + offset, image / samples.samples - torch.outer(offset, offset @ basis)


def _orthonormal(new: Float[Tensor, "units width"], basis: Float[Tensor, "units known"]) -> Tensor:
    """An orthonormal basis of what `new` adds to `basis`; projected twice, as once leaves rounding in."""
    for _ in range(2):
        new = torch.linalg.qr(new - basis @ (basis.T @ new)).Q
    return new[:, : len(basis) - basis.shape[1]]
