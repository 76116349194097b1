"""What is said when the GPU's memory is too small: how much was needed, and by which member most?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from homolog.decompositions.base import Member
from homolog.decompositions.samples import Samples

FLOAT32, FLOAT64 = 4, 8
# Per weight of the encoder and of the decoder: the weight, its gradient, and Adam's two moments.
PER_WEIGHT = 4
# Arrays of (batch, latents) that a step makes: pre-activations, codes, their gradients, and a selection's.
PER_CODE = 5
# Arrays of (batch, units): inputs, centred ones, reconstruction and residual.
PER_INPUT = 4


def bytes_needed(member: Member) -> int:
    """Least memory that fitting `member` takes beside its activations: parameters, optimiser and batch.

    A method without batches keeps three units x units matrices in float64 (moments, eigenvectors and a work array).
    """
    units, options = member.activations.units, member.options
    if "batch_size" not in options:
        return 3 * FLOAT64 * units**2
    latents: int = options["n_latents"]
    batch: int = min(options["batch_size"], member.activations.samples)
    # One matrix more than the two that are trained: the directions' start.
    weights = (2 * PER_WEIGHT + 1) * latents * units
    return FLOAT32 * (weights + batch * (PER_CODE * latents + PER_INPUT * units))


def bytes_held(samples: Samples) -> int:
    """Memory that activations take on their device: all of them; none where they stay in a file."""
    return 0 if samples.stored else FLOAT32 * samples.samples * samples.units


@contextmanager
def tell_size(members: list[Member]) -> Iterator[None]:
    """Turn CUDA's error, when memory runs out while `members` are fitted, into a MemoryError that names the largest."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        largest = max(members, key=bytes_needed)
        sources = {id(member.activations): member.activations for member in members}
        data = sum(bytes_held(samples) for samples in sources.values())
        total = data + sum(bytes_needed(member) for member in members)
        sizes = {key: largest.options[key] for key in ("n_latents", "batch_size") if key in largest.options}
        named = ", ".join(f"{key} {value}" for key, value in sizes.items())
        raise MemoryError(
            f"the GPU's memory is too small: {len(members)} members at once need at least {in_gib(total)}, "
            f"{in_gib(data)} of it for activations; the largest one (seed {largest.seed}, rows {largest.rows}, "
            f"{named}) needs {in_gib(bytes_needed(largest))}: lower n_latents or batch_size, fit fewer at once, or "
            "take device cpu"
        ) from error


@contextmanager
def tell_held(name: str, count: int, way_out: str) -> Iterator[None]:
    """The same while `count` bytes, called `name`, are brought onto the GPU."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(f"the GPU's memory is too small: {name} need {in_gib(count)} of it; {way_out}") from error


def in_gib(count: int) -> str:
    """A number of bytes as a reader wants it."""
    return f"{count / 2**30:.3g} GiB"
