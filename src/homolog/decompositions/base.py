"""What a decomposition method must do: fit all members of a grid to one run's activations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Member:
    """One member of a grid: its hyper-parameters, its seed, and the rows that it is fitted to.

    `activations` are in the gauge, units in canonical order; `partner` (another hook point, same rows) is there for
    the methods that need one. `key` starts every random stream: run, hook point and decomposition. `seed` and `rows`
    come on top of it, and the options where a draw must not be shared with other members of the grid. `start` are the
    directions that a sparse autoencoder starts at, in place of drawn ones; of latents that are `fixed` they stay.
    """

    options: dict[str, Any]
    seed: int
    rows: str
    activations: Samples
    partner: Samples | None
    key: tuple[str | int, ...]
    start: Float[Tensor, "latents units"] | None = None


@dataclass
class Decomposition(ABC):
    """A method, and what it may use: threads (which change no bit), and a file in which long fits save their state.

    `checkpoint` is written at times, so that a fit that was killed goes on from there when it is called with the same
    members and the same `fingerprint`, and ends in the same bits. `together`: on a CPU, how many members of equal
    options and shapes step as one tensor program, which pays for hundreds of tiny ones.
    """

    threads: int = 1
    checkpoint: Path | None = None
    fingerprint: str = ""
    together: int = 1

    @abstractmethod
    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        """Fit every member; the result has their order. Raises ValueError for members that can't be fitted."""


def check_activations(name: str, activations: Samples, n_latents: int, limit: int | None = None) -> None:
    """Raise ValueError when there are more latents than the method can find, or nothing varies."""
    shape = (activations.samples, activations.units)
    if min(shape) == 0:
        raise ValueError(
            f"{name}: activations of shape {shape} (samples, units) are empty: give at least one sample and one unit."
        )
    if limit is not None and n_latents > limit:
        raise ValueError(
            f"{name} can find at most {limit} latents in activations of shape {shape} (samples, units), but "
            f"n_latents = {n_latents}: lower n_latents, or give more samples or units."
        )
    if not activations.finite:
        raise ValueError(
            f"{name}: activations of shape {shape} hold values that aren't finite: look at the run's training."
        )
    if activations.constant:
        raise ValueError(
            f"{name}: activations of shape {shape} are the same for every sample, so there is nothing to decompose: "
            "look at the run's training, or choose another hook point."
        )


def fix_signs(directions: Float[Tensor, "latents units"]) -> Float[Tensor, "latents 1"]:
    """Signs that make each direction's largest entry positive, so that a refit returns the same arrays."""
    largest = directions.abs().argmax(1, keepdim=True)
    return torch.where(directions.gather(1, largest) < 0, -1.0, 1.0).to(directions)
