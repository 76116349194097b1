"""What would two dictionaries or two sets of codes share by chance, given what their data share anyway?

Geometric views rotate a dictionary within the spectrum of its own data; scores permute inputs, all or within a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Below this fraction of the largest eigenvalue there is no variance in float64, only rounding of the covariance.
_NO_VARIANCE = 1e-10


def eigenvalue_blocks(
    eigenvalues: Float[Tensor, " units"], ratio: float = 0.5, minimum: int = 4, fall: float = 0.0
) -> list[slice]:
    """Cut a descending spectrum into blocks of near-equal variance, as slices that cover it in order.

    A block starts at its largest eigenvalue and takes all down to `ratio` times it. It is grown to at least `minimum`
    directions, since a block of one direction is rotated onto itself and its null would be the observed value; a last
    remainder shorter than that joins the block before. Eigenvalues below 1e-10 of the largest are one last block.
    None goes on beyond a fall to less than `fall` times the eigenvalue before, unless fewer than `minimum` lie between
    two such falls: equal variances, which a sample spreads out, would else be cut where they are equal, and mixed with
    others where they end. 0 is for no such falls.
    Raises ValueError if the eigenvalues do not descend, or ratio is outside (0, 1], or minimum below 1.
    """
    _check_blocks(eigenvalues, ratio, minimum)
    values: list[float] = eigenvalues.tolist()
    live = sum(value > _NO_VARIANCE * values[0] for value in values)
    starts: list[int] = []
    for low, high in pairwise(_parts(values[:live], fall, minimum)):
        start, first = low, len(starts)
        while start < high:
            starts.append(start)
            near = sum(value >= ratio * values[start] for value in values[start:high])
            start = min(start + max(near, minimum), high)
        if len(starts) - first > 1 and high - starts[-1] < minimum:
            starts.pop()
    if live < len(values):
        starts.append(live)
    return [slice(low, high) for low, high in pairwise([*starts, len(values)])]


def _parts(values: list[float], fall: float, minimum: int) -> list[int]:
    """Edges of the parts between such falls; one that is too short joins its nearer neighbour."""
    n = len(values)
    edges = [0, *(i for i in range(1, n) if values[i] < fall * values[i - 1]), n] if n else []
    while len(edges) > 2:
        short = [(low, high) for low, high in pairwise(edges) if high - low < minimum]
        if not short:
            break
        low, high = short[0]
        before, after = (values[edge] / values[edge - 1] if 0 < edge < n else 0.0 for edge in (low, high))
        # The one below where both are as near, up to rounding.
        edges.remove(low if before > after * (1 + 1e-9) else high)
    return edges


def spectral_rotation(
    covariance: Float[Tensor, "units units"], generator: torch.Generator, ratio: float = 0.5, minimum: int = 4
) -> Float[Tensor, "units units"]:
    """V R V' in float64: V the eigenvectors of `covariance` (units, units), R Haar within its `eigenvalue_blocks`.

    `dictionary @ spectral_rotation(...)` has other directions in the same spectrum: it keeps the Gram matrix, each
    atom's share in each block's subspace, and its variance within a factor of the range of eigenvalues in a block.
    Raises ValueError if `covariance` is not square, finite and symmetric, or as `eigenvalue_blocks` does.
    """
    return Spectrum.of(covariance, ratio, minimum).rotation(generator)


def spectral_rotations(
    covariance: Float[Tensor, "units units"],
    draws: int,
    generator: torch.Generator,
    ratio: float = 0.5,
    minimum: int = 4,
    fall: float = 0.0,
    held: Float[Tensor, " units"] | None = None,
) -> Iterator[Float[Tensor, "units units"]]:
    """`draws` independent `spectral_rotation`s for one eigendecomposition; the first is the same as there.

    `held`, a mean for one, is left where it is as far as `Spectrum.holding` says.
    """
    spectrum = Spectrum.of(covariance, ratio, minimum, fall)
    spectrum = spectrum if held is None else spectrum.holding(held)
    for _ in range(draws):
        yield spectrum.rotation(generator)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvectors of a covariance as columns, largest eigenvalue first, and its `eigenvalue_blocks`.

    Columns that are in no block aren't turned.
    """

    vectors: Float[Tensor, "units units"]
    values: Float[Tensor, " units"]
    blocks: list[slice]

    @classmethod
    def of(
        cls, covariance: Float[Tensor, "units units"], ratio: float = 0.5, minimum: int = 4, fall: float = 0.0
    ) -> Spectrum:
        """Decomposed once, for any number of rotations; raises ValueError as `spectral_rotation` does."""
        _check_covariance(covariance)
        ascending, vectors = torch.linalg.eigh(covariance.double())
        values = ascending.flip(0)
        return cls(vectors.flip(1), values, eigenvalue_blocks(values, ratio, minimum, fall))

    def holding(self, vector: Float[Tensor, " units"]) -> Spectrum:
        """The same, with what `vector` has in each block left where it is, if that is longer there than the deviation
        along an average direction of the block.

        Held block by block, since a vector that lies in two takes a direction of each with it: of a plane there is
        nothing left to turn but its other direction, by a sign, and none of less variance may come in for it.
        """
        vectors, blocks = self.vectors.clone(), []
        for block in self.blocks:
            within, start = self.vectors[:, block], block.start
            part = within.T @ vector
            if part.square().sum() > self.values[block].mean():
                first = torch.cat([part[:, None], torch.eye(len(part)).to(part)], 1)
                vectors[:, block] = within @ torch.linalg.qr(first)[0]
                start += 1
            if start < block.stop:
                blocks.append(slice(start, block.stop))
        return Spectrum(vectors, self.values, blocks)

    def rotation(self, generator: torch.Generator) -> Float[Tensor, "units units"]:
        """A `spectral_rotation`."""
        rotated = self.vectors.clone()
        for block in self.blocks:
            size = block.stop - block.start
            rotated[:, block] = self.vectors[:, block] @ haar_rotation(size, generator).to(self.vectors)
        return rotated @ self.vectors.T


def haar_rotation(n: int, generator: torch.Generator) -> Float[Tensor, "n n"]:
    """Uniformly random orthogonal (n, n) matrix, reflections included, in float64 on the generator's device.

    QR of a Gaussian with the signs fixed by R's diagonal (Mezzadri 2007): without them the law isn't uniform.
    """
    gaussian = torch.randn(n, n, generator=generator, dtype=torch.float64, device=generator.device)
    q, r = torch.linalg.qr(gaussian)
    return cast(Tensor, q * torch.where(r.diagonal() < 0, -1.0, 1.0))


def permute_rows(n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Uniformly random order of n inputs, on the generator's device: `codes[permute_rows(n, ...)]` pairs by chance."""
    return torch.randperm(n, generator=generator, device=generator.device)


def permute_groups(groups: Int[Tensor, " samples"], generator: torch.Generator) -> Int[Tensor, " samples"]:
    """Index of a permutation that keeps groups whole: documents in random order, laid end to end, rows as they were.

    For rows that aren't exchangeable, such as the tokens of documents: codes keep what they share with their neighbours
    in a document, and meet another document's. Groups of unequal lengths shift against each other. On the device of
    `groups`. Raises ValueError for a single group: nothing could move, and the null would be the observed value.
    """
    names, group = torch.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"A permutation of whole groups needs at least two, but all {len(groups)} rows are of {len(names)}: give "
            "more documents, or permute rows."
        )
    place = permute_rows(len(names), generator).to(groups.device)
    return place[group].argsort(stable=True)


def isotropic_rows(n: int, dims: int, generator: torch.Generator) -> Float[Tensor, "n dims"]:
    """Independent uniformly random unit rows, in float64 on the generator's device.

    The squared cosine of any two, or of one and a fixed direction, is Beta(1/2, (dims - 1)/2). A weaker null than a
    rotation within the spectrum: data don't fill their space evenly, and two dictionaries of them are alike for that.
    """
    gaussian = torch.randn(n, dims, generator=generator, dtype=torch.float64, device=generator.device)
    return cast(Tensor, gaussian / torch.linalg.vector_norm(gaussian, dim=1, keepdim=True))


def permute_within(labels: Int[Tensor, " samples"], generator: torch.Generator) -> Int[Tensor, " samples"]:
    """Index of a uniformly random permutation that moves inputs only within equal labels: `labels[index] == labels`.

    What is left of a similarity after it is what the labels (classes, tokens) explain. On the device of `labels`.
    Raises ValueError if no two inputs share a label: nothing could move, and the null would be the observed value.
    """
    if bool((labels.sort().values.diff() != 0).all()):
        raise ValueError(
            f"A permutation within labels needs inputs that share a label, but all {len(labels)} labels (shape "
            f"{tuple(labels.shape)}) are different: coarsen the labels, or use the unconditional null alone."
        )
    return order_within(labels, generator)


def order_within(labels: Int[Tensor, " samples"], generator: torch.Generator) -> Int[Tensor, " samples"]:
    """`permute_within` of some rows of many: it is no error that none of these share a label."""
    shuffled = permute_rows(len(labels), generator).to(labels.device)
    index = torch.empty_like(shuffled)
    index[labels.argsort(stable=True)] = shuffled[labels[shuffled].argsort(stable=True)]
    return index


def _check_blocks(eigenvalues: Tensor, ratio: float, minimum: int) -> None:
    if not 0 < ratio <= 1:
        raise ValueError(
            f"ratio bounds eigenvalues within a block and lies in (0, 1], but ratio = {ratio}: 0.5 is usual."
        )
    if minimum < 1:
        raise ValueError(f"A block has at least 1 direction, but minimum = {minimum}: 4 is usual.")
    rises = int((eigenvalues[1:] > eigenvalues[:-1]).sum())
    if rises:
        raise ValueError(
            f"Eigenvalues must descend, but {rises} of {len(eigenvalues)} are larger than the one before: sort them, "
            f"largest first (torch.linalg.eigh returns them smallest first)."
        )


def _check_covariance(covariance: Tensor) -> None:
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not covariance.isfinite().all():
        raise ValueError(
            f"A spectral rotation needs a square covariance without NaN or infinity, but got shape "
            f"{tuple(covariance.shape)} with {int((~covariance.isfinite()).sum())} such entries: give the "
            f"covariance of activations, (units, units)."
        )
    asymmetry = float((covariance - covariance.T).abs().max()) if len(covariance) else 0.0
    limit = 1e3 * torch.finfo(covariance.dtype).eps * float(covariance.abs().max()) if len(covariance) else 0.0
    if asymmetry > limit:
        raise ValueError(
            f"A covariance is symmetric, but entries of this one, shape {tuple(covariance.shape)}, differ from their "
            f"mirror image by up to {asymmetry:.3g} (limit {limit:.3g}): give X'X of centred activations."
        )
