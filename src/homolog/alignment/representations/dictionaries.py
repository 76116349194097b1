"""What do two dictionaries share, direction by direction, in one space?"""

from __future__ import annotations

import torch
from jaxtyping import Real
from torch import Tensor

from homolog.alignment.assignment.assign import sparse_assignment
from homolog.alignment.assignment.pairs import Cosine
from homolog.alignment.matching import LARGE, Matched, match
from homolog.alignment.representations.inputs import Array, in_one_space
from homolog.alignment.similarity import cosine
from homolog.dictionary import Dictionary

# Rows of a that are compared at once with all of b: bounds the memory, 8 bytes for each of them and each latent of b.
_BLOCK = 1024


def max_cosine(a: Real[Array, "m units"], b: Real[Array, "n units"], signed: bool = True) -> Matched:
    """Each direction of a with its most similar one of b, many to one; the value is MMCS of a in b.

    Directed (Sharkey et al. 2022): MMCS of b in a is another number, and a larger b gives larger ones by chance alone.
    With `signed` False directions that differ by sign are equal (SVD, PCA, ICA). Zero rows are no directions: NaN and
    index -1 in a, no match for any in b; NaN where none is left. Memory: 8 KiB for each latent of b. Raises ValueError
    unless both have the same units, and finite values.
    """
    first, second = _directions("max cosine", a, b)
    alive, partners = _alive(first), _alive(second)
    per_latent = first.new_full((len(first),), torch.nan)
    index = torch.full((len(first),), -1, device=first.device)
    if partners.any():
        for rows in torch.split(alive.nonzero().squeeze(1), _BLOCK):
            similarity = cosine(first[rows], second[partners])
            best = (similarity if signed else similarity.abs()).max(dim=1)
            per_latent[rows], index[rows] = best.values, partners.nonzero().squeeze(1)[best.indices]
    return Matched(float(per_latent.nanmean()), per_latent, index)


def pw_mcc(a: Real[Array, "m units"], b: Real[Array, "n units"], signed: bool = False) -> Matched:
    """Pairwise dictionary mean correlation coefficient: mean |cosine| of the best one-to-one match (Song et al. 2025).

    Symmetric. min(m, n) pairs where the sizes differ. Zero rows are left out: NaN and index -1. For directions whose
    sign means something (SAEs) `signed` True asks for equal signs. From 2,048 latents on the match is sought among
    candidates, to the same optimum, and no matrix of similarities is held.
    Raises ValueError as `max_cosine` does.
    """
    first, second = _directions("PW-MCC", a, b)
    return _one_to_one(first, second, signed)


def shared_fraction(
    a: Dictionary | tuple[Real[Array, "m units"], Real[Array, "m units"]],
    b: Dictionary | tuple[Real[Array, "n units"], Real[Array, "n units"]],
    threshold: float = 0.7,
    signed: bool = True,
) -> Matched:
    """Which latents of a are found in b, by what they read and by what they write (Paulo & Belrose 2025)?

    Encoders and directions (decoders) are matched one to one, apart from each other, by cosine. A latent is shared
    where both name the same partner, with a cosine above `threshold` in both. The value is the share of these in a's
    latents without zero rows; per latent stands the lower of the two cosines, NaN (index -1) where the partners differ.
    a and b are dictionaries, or (encoder, directions), each (latent, unit). 0.7 means another thing at another (m,
    units): read it beside a null. With `signed` False directions that differ by sign are equal. Raises ValueError as
    `max_cosine` does, or if encoder and directions differ in shape.
    """
    (encoder_a, directions_a), (encoder_b, directions_b) = (_reading(side) for side in (a, b))
    encoders = _directions("shared fraction, encoders", encoder_a, encoder_b)
    directions = _directions("shared fraction, directions", directions_a, directions_b)
    read, written = (_one_to_one(*pair, signed) for pair in (encoders, directions))
    agree = (read.index == written.index) & (read.index >= 0)
    lower = torch.where(agree, torch.minimum(read.per_latent, written.per_latent), torch.nan)
    alive = _alive(encoders[0]) & _alive(directions[0])
    value = float((lower > threshold).sum() / alive.sum()) if alive.any() else float("nan")
    return Matched(value, lower, torch.where(agree, read.index, -1))


def _one_to_one(a: Tensor, b: Tensor, signed: bool) -> Matched:
    rows, columns = (_alive(side).nonzero().squeeze(1) for side in (a, b))
    if min(len(rows), len(columns)) < LARGE:
        similarity = cosine(a[rows], b[columns])
        similarity = similarity if signed else similarity.abs()
        dense = match(similarity, similarity, "hungarian")
        matched, value = dense.index, dense.per_latent
    else:
        sparse = sparse_assignment(Cosine(a[rows], b[columns], signed))
        matched, value = sparse.index.to(a.device), sparse.similarity.to(a)
    per_latent, index = a.new_full((len(a),), torch.nan), torch.full((len(a),), -1, device=a.device)
    per_latent[rows] = value
    if len(columns):
        index[rows] = torch.where(matched >= 0, columns[matched.clamp(min=0)], -1)
    return Matched(float(per_latent.nanmean()), per_latent, index)


def _directions(quantity: str, a: Array, b: Array) -> tuple[Tensor, Tensor]:
    first, second = in_one_space(quantity, a, b)
    return first.values, second.values


def _reading(side: Dictionary | tuple[Array, Array]) -> tuple[Array, Array]:
    encoder, directions = side if isinstance(side, tuple) else (side.encoder, side.directions)
    if encoder.shape != directions.shape:
        raise ValueError(
            f"shared fraction: the encoder has shape {tuple(encoder.shape)}, the directions {tuple(directions.shape)}, "
            f"but each latent needs one row of both: transpose the one that is (unit, latent)."
        )
    return encoder, directions


def _alive(rows: Tensor) -> Tensor:
    return (rows != 0).any(dim=1)
