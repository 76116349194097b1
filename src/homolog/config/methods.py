"""What may be said of any decomposition method, and of the classical ones: linear methods and baselines?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from homolog.config.base import (
    Count,
    Grid,
    GridOptions,
    NonNegative,
    Positive,
    PositiveFraction,
    Reference,
    Seed,
    Several,
)


class DecompositionOptions(GridOptions):
    """One decomposition: a grid, whose members are fitted together and stand in one file."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"method", "gauge", "partner", "seeds"})
    """Keys that belong to the decomposition as a whole, not to a grid point; any other may be a list."""

    def labels(self, name: str) -> list[str]:
        """A label for every grid point, in the order of `expand`: `name`, and the keys that vary in brackets."""
        return [f"{name}[{said}]" if said else name for said in self.varying()]

    def member_seeds(self) -> list[int]:
        """Seeds of the members at each grid point; a method without randomness has one member, of seed 0."""
        return [0]

    def partners(self) -> list[str]:
        """Further hook points of the same run that the method reads."""
        return []

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with its value beside the values of other keys, at any grid point."""
        yield from ()

    @abstractmethod
    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        """Upper limit of n_latents and its reason, or None; `width` gives the units at each hook point."""


class FittedOptions(DecompositionOptions):
    """A method that is fitted to activations."""

    n_latents: Grid[Count]
    """Latents to learn; a list makes a grid."""
    gauge: Literal["write_out_norm", "none"] = "write_out_norm"
    """How the free scale of each hidden unit is fixed first: by the norm of its outgoing weights, or not at all."""


def at_most(key: str, value: float, limit: int, name: str) -> Iterator[tuple[str, str]]:
    """The contradiction, if there is one, between a value and its `limit`, which is called `name`."""
    if value > limit:
        yield key, f"{value}, of {name} = {limit}; allowed: at most {name}; lower {key} or raise n_latents"


def half_of(samples: int) -> tuple[int, str]:
    """The limit of a method that needs a sample for each latent: it is fitted on halves too, for every ceiling."""
    return samples // 2, "samples in half of the training rows"


class LinearOptions(FittedOptions):
    """A method that finds at most as many directions as the activations have dimensions."""

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        units = [(width(name), f"units of {name}") for name in [hook_point, *self.partners()]]
        return min(*units, half_of(samples), key=lambda limit: limit[0])


class OvercompleteOptions(FittedOptions):
    """A method whose latents may outnumber units and samples."""

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        return None


class SeededOptions(FittedOptions):
    """A method that starts at random."""

    seeds: Several[Seed] = Field(default=[0])
    """One member of each grid point for each seed."""

    def member_seeds(self) -> list[int]:
        return self.seeds


class SVDOptions(LinearOptions):
    """Singular vectors of the activations as they are (not centred)."""

    method: Literal["svd"]
    """The method."""


class PCAOptions(LinearOptions):
    """Principal components: singular vectors of the centred activations."""

    method: Literal["pca"]
    """The method."""
    solver: Grid[Literal["auto", "exact", "randomised"]] = "auto"
    """All eigenvectors, or random projections (Halko et al., 2011); auto takes these where they pay."""


class CCAOptions(LinearOptions):
    """Canonical correlations with the activations at another hook point of the same run (Hotelling, 1936)."""

    method: Literal["cca"]
    """The method."""
    partner: Reference
    """The other hook point."""

    def partners(self) -> list[str]:
        return [self.partner]


class SVCCAOptions(LinearOptions):
    """Canonical correlations between the leading principal components of two hook points (Raghu et al., 2017)."""

    method: Literal["svcca"]
    """The method."""
    partner: Reference
    """The other hook point."""
    variance: Grid[PositiveFraction] = 0.99
    """Share of each hook point's variance that its leading components are to hold (Raghu et al., 2017)."""

    def partners(self) -> list[str]:
        return [self.partner]


class ICAOptions(SeededOptions, LinearOptions):
    """Independent components by FastICA (Hyvärinen, 1999)."""

    method: Literal["ica"]
    """The method."""
    max_iterations: Grid[Count] = 500
    """Iterations after which it ends, converged or not."""
    tolerance: Grid[Positive] = 1e-4
    """Change of the components, in cosine, below which it has converged."""


class NMFOptions(SeededOptions, OvercompleteOptions):
    """Non-negative matrix factorisation (Lee & Seung, 1999)."""

    method: Literal["nmf"]
    """The method."""
    max_iterations: Grid[Count] = 500
    """Iterations after which it ends, converged or not."""
    tolerance: Grid[Positive] = 1e-4
    """Size of the updates, relative to the first ones, below which it has converged."""


class KMeansOptions(SeededOptions):
    """Clusters around their means, each a latent (Lloyd, 1982)."""

    method: Literal["kmeans"]
    """The method."""
    max_iterations: Grid[Count] = 300
    """Iterations after which it ends, converged or not."""

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        return half_of(samples)


class DictionaryLearningOptions(SeededOptions, OvercompleteOptions):
    """Classical dictionary learning, online: sparse codes by an L1 penalty (Mairal et al., 2009)."""

    method: Literal["dictionary_learning"]
    """The method."""
    k: Grid[Count]
    """Latents that are active on each sample when the finished dictionary is read."""
    alpha: Grid[NonNegative] = 1.0
    """Weight of the L1 penalty while learning."""
    steps: Grid[Count] = 1000
    """Steps, each on one batch."""
    batch_size: Grid[Count] = 256
    """Samples per step."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from at_most("k", max(self.choices("k")), min(self.choices("n_latents")), "n_latents")
