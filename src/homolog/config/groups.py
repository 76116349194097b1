"""What may be said of networks that learn the operations of groups?"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, NonNegative, Options, Positive

# Beyond 199 tables become too large to be trained on whole.
GroupName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(S5|A5|Z([2-9]|[1-9][0-9]|1[0-9][0-9]))$")]


class ComposingOptions(Options):
    """A network that learns one group's operation, and how."""

    combine: Literal["relu", "square", "product"] = "product"
    """How two embeddings become the hidden layer: a ReLU or the square of their sum, or their product."""
    width: Count = 128
    """Hidden units."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the distinct pairs that are trained on: unordered pairs, where the operation is commutative."""
    lr: Positive = 2.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 1.0
    """Weight decay of AdamW."""


Groups: TypeAlias = Annotated[dict[GroupName, ComposingOptions], Field(min_length=1)]
# Both are found within 150 steps.
LEARNED = {"Z113": ComposingOptions(share=0.4), "S5": ComposingOptions(width=176, share=0.75)}


class GrokkingOptions(MadeAnalysis):
    """When do networks that have fitted their pairs find the operation, and which irreps do they use?"""

    name: Literal["grokking"]
    """The analysis."""
    groups: Groups = Field(default=LEARNED)
    """Groups by name: Z113 is addition modulo 113, S5 and A5 permutations of five things, all and the even ones."""
    replicates: Replicates = 3
    """Trainings on each group, which differ in their start and in their pairs; and as many on a table without rule."""
    steps: Count = 180
    """Optimiser steps, each on all training pairs."""
    every: Count = 10
    """Steps between measurements."""


class KnownCircuitOptions(MadeAnalysis):
    """In networks that learn a group's operation, in which basis is the circuit read off, and what of it returns?"""

    name: Literal["known_circuit"]
    """The analysis."""
    groups: Groups = Field(default=LEARNED)
    """Groups by name: Z113 is addition modulo 113, S5 and A5 permutations of five things, all and the even ones."""
    replicates: Replicates = 3
    """Trainings on each group, which differ in their start and in their pairs."""
    steps: Count = 150
    """Optimiser steps, each on all training pairs."""
    rows: Count = 4096
    """Pairs to which decompositions are fitted, and as many others for their refit; fewer than half of all."""
    null_draws: Count = 2
    """Random draws behind each null."""
