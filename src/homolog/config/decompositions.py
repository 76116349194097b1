"""How may activations be decomposed, and which grids of hyper-parameters may be declared?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from homolog.config.base import Count, Grid, NonNegative, Options, Positive, Reference, Seed, Several


class DecompositionOptions(Options):
    """One decomposition: a grid, whose members are fitted together and stand in one file."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"method", "gauge", "partner", "seeds"})
    """Keys that belong to the decomposition as a whole, not to a grid point."""

    n_latents: Grid[Count]
    """Latents to learn; a list makes a grid."""
    gauge: Literal["write_out_norm", "none"] = "write_out_norm"
    """How the free scale of each hidden unit is fixed first: by the norm of its outgoing weights, or not at all."""

    def expand(self) -> list[dict[str, Any]]:
        """Hyper-parameters of every grid point, seeds left out; the first key varies slowest."""
        options = {key: value for key, value in self.model_dump(mode="json").items() if key not in self.SHARED}
        choices = [value if isinstance(value, list) else [value] for value in options.values()]
        return [dict(zip(options, point, strict=True)) for point in product(*choices)]

    def labels(self, name: str) -> list[str]:
        """A label for every grid point, in the order of `expand`: `name`, and the keys that vary in brackets."""
        points = self.expand()
        varying = [key for key in points[0] if any(point[key] != points[0][key] for point in points)]
        suffix = "[{}]" if varying else "{}"
        return [name + suffix.format(",".join(f"{key}={point[key]}" for key in varying)) for point in points]

    def member_seeds(self) -> list[int]:
        """Seeds of the members at each grid point; a method without randomness has one member, of seed 0."""
        return [0]

    def partners(self) -> list[str]:
        """Further hook points of the same run that the method reads."""
        return []

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with its value beside the values of other keys."""
        yield from ()

    @abstractmethod
    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        """Upper limit of n_latents and its reason, or None; `width` gives the units at each hook point."""


class LinearOptions(DecompositionOptions):
    """A method that finds at most as many directions as the activations have dimensions."""

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        sizes = {f"units of {name}": width(name) for name in [hook_point, *self.partners()]}
        # Fitted on halves of the training rows too: the ceiling of every measure.
        sizes["samples in half of the training rows"] = samples // 2
        reason = min(sizes, key=lambda key: sizes[key])
        return sizes[reason], reason


class SVDOptions(LinearOptions):
    """Singular vectors of the activations as they are (not centred)."""

    method: Literal["svd"]
    """The method."""


class PCAOptions(LinearOptions):
    """Principal components: singular vectors of the centred activations."""

    method: Literal["pca"]
    """The method."""


class CCAOptions(LinearOptions):
    """Canonical correlations with the activations at another hook point of the same run (Hotelling, 1936)."""

    method: Literal["cca"]
    """The method."""
    partner: Reference
    """The other hook point."""

    def partners(self) -> list[str]:
        return [self.partner]


class TopKOptions(DecompositionOptions):
    """TopK sparse autoencoder with an auxiliary loss that revives dead latents (Gao et al., 2024)."""

    method: Literal["topk_sae"]
    """The method."""
    k: Grid[Count]
    """Latents that are active on each sample; a list makes a grid."""
    lr: Grid[Positive] | None = None
    """Learning rate; null means 2e-4 / sqrt(n_latents / 2**14) (Gao et al., 2024); a list makes a grid."""
    steps: Count = 2000
    """Optimiser steps, each on one batch."""
    batch_size: Count = 256
    """Samples per step."""
    aux_k: Count | None = None
    """Dead latents that model the residual; null means half of the units (Gao et al., 2024, appendix A.2)."""
    aux_coefficient: NonNegative = 1 / 32
    """Weight of the auxiliary loss; 0 switches it off."""
    dead_after: Count = 10_000
    """Samples without activity after which a latent counts as dead."""
    seeds: Several[Seed] = Field(default=[0])
    """One member of each grid point for each seed."""

    def member_seeds(self) -> list[int]:
        return self.seeds

    def contradictions(self) -> Iterator[tuple[str, str]]:
        fewest, most = min(self._all("n_latents")), max(self._all("k"))
        if most > fewest:
            yield "k", f"{most}, of n_latents = {fewest}; allowed: at most n_latents; lower k or raise n_latents"
        if self.aux_k is not None and self.aux_k > fewest:
            yield (
                "aux_k",
                f"{self.aux_k}, of n_latents = {fewest}; allowed: at most n_latents; lower aux_k or leave it out",
            )

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        return None

    def _all(self, key: str) -> list[int]:
        value: int | list[int] = getattr(self, key)
        return value if isinstance(value, list) else [value]


Decomposition: TypeAlias = Annotated[SVDOptions | PCAOptions | CCAOptions | TopKOptions, Field(discriminator="method")]
