"""What would activations be like that are made of a dictionary's latents, with their rates, sizes and correlations?"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.decompositions.sae.initial import square_root_of_covariance
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary

KINDS = ("copula", "independent", "gaussian")
"""Codes with their rates, sizes and correlations; without correlations; a Gaussian of the rows' mean and covariance."""
# Grid of correlations, finer than what rows tell of them, up to where the integrand is still finite.
GRID = torch.linspace(-0.99, 0.99, 199, dtype=torch.float64)


def simulate(
    dictionary: Dictionary, rows: Float[Tensor, "samples units"], kind: str, count: int, generator: torch.Generator
) -> Float[Tensor, "count units"]:
    """`count` rows like `rows`, by one of `KINDS`.

    Codes come with a residual: normal, with the mean and the covariance of what the dictionary leaves.
    """
    if kind == "gaussian":
        return _gaussian(rows, count, generator)
    codes = dictionary.codes(rows)
    drawn = draw_codes(codes, count, kind == "copula", generator)
    return (
        drawn @ dictionary.directions
        + dictionary.bias
        + _gaussian(rows - dictionary.reconstruct(codes), count, generator)
    )


def draw_codes(
    codes: Float[Tensor, "samples latents"], count: int, correlated: bool, generator: torch.Generator
) -> Float[Tensor, "count latents"]:
    """Codes of which a latent has its rate and its sizes, and pairs come on together as often, by a Gaussian copula.

    A normal number of each latent says whether it is on, and by its rank among those that are how large it is.
    """
    rates = (codes > 0).double().mean(0)
    normal = torch.randn(count, codes.shape[1], generator=generator, dtype=torch.float64)
    if correlated:
        normal = normal @ _root(tetrachoric(codes > 0))
    rank = torch.special.ndtr(normal)
    # From 0 to 1 among the rows in which it is on.
    above = (rank - (1 - rates)) / rates.clamp_min(torch.finfo(rates.dtype).tiny)
    drawn = torch.zeros(count, codes.shape[1])
    for latent in torch.nonzero(rates > 0).flatten().tolist():
        sizes = codes[:, latent][codes[:, latent] > 0].double()
        on = above[:, latent] > 0
        drawn[on, latent] = torch.quantile(sizes, above[on, latent].clamp(0, 1)).float()
    return drawn


def tetrachoric(on: Bool[Tensor, "samples latents"]) -> Float[Tensor, "latents latents"]:
    """Correlations of normal numbers that are above their thresholds together as often as the columns are on.

    ``P(both) = P(a) P(b) + integral of the bivariate normal density from 0 to the correlation`` (Plackett, 1954), by
    the trapezoid rule on a grid, and inverted. 0 with columns that are never, or always, on.
    """
    seen = on.double()
    rates, both = seen.mean(0), seen.T @ seen / len(seen)
    varies = (rates > 0) & (rates < 1)
    bar = torch.special.ndtri(1 - rates.clamp(1e-6, 1 - 1e-6))
    a, b = bar[:, None, None], bar[None, :, None]
    left = 1 - GRID**2
    density = (-(a**2 + b**2 - 2 * GRID * a * b) / (2 * left)).exp() / (2 * math.pi * left.sqrt())
    steps = (density[..., 1:] + density[..., :-1]) / 2 * GRID.diff()
    summed = torch.nn.functional.pad(steps.cumsum(-1), (1, 0))
    summed = summed - summed[..., len(GRID) // 2, None]
    excess = both - rates[:, None] * rates
    place = torch.searchsorted(summed.contiguous(), excess[..., None].contiguous()).squeeze(-1)
    found = GRID[place.clamp(0, len(GRID) - 1)] * (varies[:, None] & varies)
    found.fill_diagonal_(1)
    return found


def _root(correlations: Float[Tensor, "latents latents"]) -> Float[Tensor, "latents latents"]:
    """A root of the nearest correlations that any normal numbers have: negative eigenvalues cut off."""
    values, vectors = torch.linalg.eigh(correlations)
    root = vectors * values.clamp_min(0).sqrt()
    scaled: Tensor = (root / root.norm(dim=1, keepdim=True)).T
    return scaled


def _gaussian(rows: Float[Tensor, "samples units"], count: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(count, rows.shape[1], generator=generator)
    return drawn @ square_root_of_covariance(InMemory(rows)).to(drawn) + rows.mean(0)
