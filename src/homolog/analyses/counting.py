"""What does a set of equal dictionaries, of several seeds, say of the number of features; and which could any find?"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine
from homolog.dictionary import Dictionary
from homolog.worlds.base import Drawn


def stable_latents(alive: list[Tensor], others: list[Tensor], true_cosine: float, quorum: float) -> float:
    """Latents of a dictionary that return, one to one, in at least `quorum` of the others; a mean over dictionaries.

    `others` are what each is compared with, in the same order: itself is left out.
    """
    counts = []
    for number, one in enumerate(alive):
        rest = [other for place, other in enumerate(others) if place != number]
        returns = torch.zeros(len(one))
        for other in rest:
            near = cosine(one, other)
            returns += match(near, near, "hungarian").per_latent.nan_to_num(0.0) >= true_cosine
        # Half an occurrence less, so that 0.8 of 5 isn't missed by rounding.
        counts.append(float((returns >= quorum * len(rest) - 1e-6).sum()))
    return sum(counts) / len(counts)


def mmcs(one: Tensor, other: Tensor) -> float:
    """Mean over latents of the largest cosine with one of another dictionary (Sharkey et al., 2022), 0 without any."""
    return float(cosine(one, other).amax(1).mean()) if len(one) and len(other) else 0.0


def description_length(
    rows: Float[Tensor, "samples units"], codes: Float[Tensor, "samples latents"],
    rebuilt: Float[Tensor, "samples units"], fitted: int, precision: float,
) -> float:  # fmt: skip
    """Bits of a row, of which the error is to be `precision` of the variance, by a dictionary of `fitted` rows.

    Which latents are on: their entropies. What codes and the residual hold: ``1/2 log2(1 + variance / error)`` each
    (the rate of a Gaussian, as Ma et al., 2007, use it); codes vary about their mean where they are on. The dictionary:
    ``1/2 log2(rows)`` for each number of a live latent (Rissanen, 1978), shared by all rows. After Ayonrinde et al.
    (2024), who choose dictionaries by description length.
    """
    on = codes != 0
    alive = on.any(0)
    codes, on = codes.double()[:, alive], on[:, alive]
    rate = on.double().mean(0)
    allowed = precision * float((rows - rows.mean(0)).square().mean())
    spread = ((codes - codes.sum(0) / on.sum(0)) * on).square().sum(0) / on.sum(0)
    values = rate * (1 + spread / allowed).log2() / 2
    left = (rows - rebuilt).double().square().mean(0)
    of_dictionary = int(alive.sum()) * rows.shape[1] * math.log2(fitted) / 2 / fitted
    return float(_entropy(rate).sum() + values.sum() + (1 + left / allowed).log2().sum() / 2) + of_dictionary


def length_by(dictionary: Dictionary, test: Drawn, fitted: int, precision: float) -> float:
    """The same, by what a dictionary makes of other rows."""
    codes = dictionary.codes(test.rows)
    return description_length(test.rows, codes, dictionary.reconstruct(codes), fitted, precision)


def length_at_best(test: Drawn, features: Tensor, fitted: int, precision: float) -> float:
    """The same, by the features and codes that rows are made of."""
    return description_length(test.rows, test.codes, test.codes @ features, fitted, precision)


def gaussian_length(train: Drawn, test: Drawn, precision: float) -> float:
    """The same without a dictionary: by principal components alone, as if rows were Gaussian."""
    values, vectors = torch.linalg.eigh(torch.cov(train.rows.double().T))
    seen = ((test.rows.double() - train.rows.double().mean(0)) @ vectors).square().mean(0)
    allowed, units = precision * float(values.clamp_min(0).mean()), len(values)
    numbers = units * units * math.log2(len(train.rows)) / 2 / len(train.rows)
    return float((1 + seen / allowed).log2().sum() / 2) + numbers


def detectable(train: Drawn, noise: float, units: int, true_cosine: float) -> Bool[Tensor, " features"]:
    """Features whose direction these rows could teach at all: to somebody who knows all codes.

    Least squares leaves in each of the other directions an error of variance ``noise^2 / units / E``, E the sum of a
    feature's squared codes. So the squared cosine is about ``1 / (1 + (units - 1) noise^2 / (units E))``, which must
    reach that of `true_cosine`.
    """
    energy = train.codes.double().square().sum(0)
    needed = noise**2 * (units - 1) / units / (true_cosine**-2 - 1)
    enough: Tensor = (energy >= needed) & (energy > 0)
    return enough


def found_features(features: Tensor, directions: Tensor, true_cosine: float) -> Float[Tensor, " features"]:
    """1 for each feature that has a latent of its own from `true_cosine` on, else 0."""
    if not len(directions):
        return torch.zeros(len(features))
    near = cosine(features, directions)
    return (match(near, near, "hungarian").per_latent.nan_to_num(0.0) >= true_cosine).float()


def _entropy(rate: Float[Tensor, " latents"]) -> Float[Tensor, " latents"]:
    """Of a coin, in bits."""
    return -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate)) / math.log(2)
