"""What may be said of pairs of tasks over tokens, on which antilearning is tried?"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from homolog.antilearning.moduli import check_moduli
from homolog.config.base import Count, NonNegative, Options, Positive, ProperFraction
from homolog.config.groups import GroupName

Subgroup: TypeAlias = Literal["A5", "S4", "A4", "F20", "D5", "S3xS2"]


class PairOptions(Options):
    """How a pair is trained."""

    steps: Count = 300
    """Optimiser steps of a recipe."""
    lr: Positive = 2.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""
    batch: Count | None = 64
    """Rows of each task in a step; null: all of them."""
    relearned_for: Count = 150
    """Optimiser steps in which Y is learned again."""


class TokenPairOptions(PairOptions):
    """How a pair over tokens is trained, and how much of it."""

    lr: Positive = 3.0e-2
    """Learning rate, after a short warm-up."""
    decay: bool = False
    """Let the rate fall to 0 by a half cosine."""
    weight_decay: NonNegative = 1.0
    """Weight decay of AdamW."""
    share: ProperFraction = 0.85
    """Share of the distinct pairs of X that may be trained on: unordered pairs, where the operation is commutative."""
    y_share: ProperFraction = 0.6
    """The same of Y."""


class ComposedPairOptions(TokenPairOptions):
    """Two tokens in, their product in a group out."""

    combine: Literal["relu", "square", "product"] = "product"
    """How two embeddings become the hidden layer: a ReLU or the square of their sum, or their product."""
    width: Count = 256
    """Hidden units."""
    batch: Count | None = 2048
    """Rows of each task in a step; null: all of them."""
    test_rows: Count = 1500
    """Held-out pairs of Y that are measured, at most."""


class A5S5Options(ComposedPairOptions):
    """X: composition of even permutations of five things; Y: of all."""

    pair: Literal["a5_s5"]
    """The kind of pair."""
    steps: Count = 100
    """Optimiser steps of a recipe."""
    relearned_for: Count = 100
    """Optimiser steps in which Y is learned again."""


class TwoGroupsOptions(ComposedPairOptions):
    """X: composition within two subgroups of S5; Y: in all of it."""

    pair: Literal["two_groups"]
    """The kind of pair."""
    groups: Annotated[list[Subgroup], Field(min_length=2, max_length=2)] = Field(default=["A5", "S4"])
    """The subgroups: even permutations, those that fix the last thing, affine maps modulo 5, ..."""
    share: ProperFraction = 0.9
    """Share of the distinct pairs of X that may be trained on."""
    steps: Count = 120
    """Optimiser steps of a recipe."""
    relearned_for: Count = 100
    """Optimiser steps in which Y is learned again."""


class SecondTokensOptions(ComposedPairOptions):
    """X: an operation on a first set of tokens; Y: the same on a second set."""

    pair: Literal["second_tokens"]
    """The kind of pair."""
    group: GroupName = "Z97"
    """The group: Z97 is addition modulo 97."""
    width: Count = 160
    """Hidden units."""
    batch: Count | None = 1024
    """Rows of each task in a step; null: all of them."""
    share: ProperFraction = 0.6
    """Share of the distinct pairs of the first tokens that may be trained on."""
    y_share: ProperFraction = 0.5
    """The same of the second tokens."""
    steps: Count = 100
    """Optimiser steps of a recipe."""
    relearned_for: Count = 100
    """Optimiser steps in which Y is learned again."""


class ModularPOptions(TokenPairOptions):
    """X: addition modulo some p, with p as a token; Y: modulo others."""

    pair: Literal["modular_p"]
    """The kind of pair."""
    ps: Annotated[list[int], Field(min_length=1)] = Field(default=[p for p in range(7, 32) if p % 4 or p < 12])
    """Moduli of X, in the order in which they may come one after another."""
    unseen: Annotated[list[int], Field(min_length=1)] = Field(default=[12, 16, 20, 24, 28])
    """Moduli of Y, below the largest of X."""
    stages: Count = 5
    """In so many parts may the moduli of X come one after another."""
    width: Count = 64
    """Units of the embedding."""
    hidden: Count = 224
    """Units of each hidden layer."""
    batch: Count | None = 1024
    """Rows of each task in a step; null: all of them."""
    share: ProperFraction = 0.9
    """Share of the unordered pairs of X that may be trained on."""
    steps: Count = 400
    """Optimiser steps of a recipe."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    decay: bool = True
    """Let the rate fall to 0 by a half cosine: at one that stays, networks lose what they found now and then."""
    weight_decay: NonNegative = 2.0
    """Weight decay of AdamW."""
    relearned_for: Count = 100
    """Optimiser steps in which Y is learned again."""

    @model_validator(mode="after")
    def _moduli(self) -> Self:
        check_moduli(self.ps, self.unseen)
        return self


TokenPair: TypeAlias = A5S5Options | TwoGroupsOptions | SecondTokensOptions | ModularPOptions
