"""What may be said of pairs of tasks of which the second may use what the first has left?"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, Label, NonNegative, Options, Positive, ProperFraction
from homolog.config.groups import GroupName


class ReusePairOptions(Options):
    """How both tasks of a pair are learned."""

    steps: Count = 200
    """Optimiser steps of the second task."""
    lr: Positive = 2.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 1.0
    """Weight decay of AdamW."""
    learned: ProperFraction = 0.95
    """Score on what is held out from which on the second task counts as found."""


class ReuseSecondTokensOptions(ReusePairOptions):
    """The same operation, then for new tokens."""

    pair: Literal["second_tokens"]
    """The kind of pair."""
    group: GroupName = "Z97"
    """The group: Z97 is addition modulo 97."""
    combine: Literal["relu", "square", "product"] = "product"
    """How two embeddings become the hidden layer: a ReLU or the square of their sum, or their product."""
    width: Count = 128
    """Hidden units."""
    share: ProperFraction = 0.5
    """Share of the distinct pairs of the first tokens that are trained on."""
    new_share: ProperFraction = 0.5
    """The same of the new tokens."""
    lr: Positive = 3.0e-2
    """Learning rate, after a short warm-up."""
    steps: Count = 90
    """Optimiser steps of each task."""


class PQPQOptions(ReusePairOptions):
    """Addition modulo p and modulo q, then modulo pq."""

    pair: Literal["p_q_pq"]
    """The kind of pair."""
    p: Annotated[int, Field(ge=2, le=99)] = 7
    """The first modulus."""
    q: Annotated[int, Field(ge=2, le=99)] = 11
    """The second modulus, which has no divisor in common with the first."""
    width: Count = 128
    """Hidden units."""
    share: ProperFraction = 0.5
    """Share of the unordered pairs of numbers below pq that are trained on."""
    first_steps: Count = 80
    """Optimiser steps of the first task."""
    steps: Count = 130
    """Optimiser steps of the second task."""


class CompositionOptions(ReusePairOptions):
    """F(A, B) and G(C, D), then h(F, G)."""

    pair: Literal["composition"]
    """The kind of pair."""
    n: Annotated[int, Field(ge=3, le=31)] = 13
    """A prime: how many values A to D, F, G and h have."""
    width: Count = 64
    """Hidden units of each branch."""
    joined: Count = 64
    """Units of the layer on top of both branches."""
    rows: Count = 4000
    """Quadruples that are trained on."""
    test_rows: Count = 1000
    """Quadruples that are held out."""
    first_steps: Count = 60
    """Optimiser steps of the first task."""
    steps: Count = 180
    """Optimiser steps of the second task."""


class RotatedAfterUprightOptions(ReusePairOptions):
    """Upright digits, then rotated ones."""

    pair: Literal["rotated_after_upright"]
    """The kind of pair."""
    channels: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(default=[6, 12])
    """Filters of the two layers."""
    images: Count = 192
    """Images that are trained on, each replicate's own."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""
    steps: Count = 80
    """Optimiser steps of each task."""
    learned: ProperFraction = 0.6
    """Accuracy on test images from which on the second task counts as found."""


class ObjectsAfterStrokesOptions(ReusePairOptions):
    """Edges and curves, then objects made of them."""

    pair: Literal["objects_after_strokes"]
    """The kind of pair."""
    channels: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(default=[6, 12])
    """Filters of the two layers."""
    first_images: Count = 256
    """Images of one stroke that are trained on, each replicate's own."""
    images: Count = 96
    """Images of objects that are trained on, each replicate's own."""
    test_images: Count = 200
    """Images that are held out of each task."""
    noise: NonNegative = 0.2
    """Standard deviation of each pixel's noise; a stroke's brightest pixel is 1."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""
    first_steps: Count = 80
    """Optimiser steps of the first task."""
    steps: Count = 50
    """Optimiser steps of the second task."""
    learned: ProperFraction = 0.7
    """Accuracy on test images from which on the second task counts as found."""


class AutoencoderChainOptions(ReusePairOptions):
    """B - A - B, then C - B - A - B - C."""

    pair: Literal["autoencoder_chain"]
    """The kind of pair."""
    codes: Count = 8
    """Units of A."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW."""
    first_steps: Count = 250
    """Optimiser steps of the first task."""
    steps: Count = 150
    """Optimiser steps of the second task."""
    learned: ProperFraction = 0.9
    """Share of what principal components explain from which on the second task counts as found."""


class ReuseA5S5Options(ReusePairOptions):
    """Composition of even permutations of five things, by some irreps, then of all."""

    pair: Literal["a5_s5"]
    """The kind of pair."""
    irreps: Annotated[list[Literal["1", "3", "3'", "4", "5"]], Field(min_length=1)] | None = None
    """Irreps of A5 to which the first circuit is confined; null: free."""
    width: Count = 192
    """Hidden units."""
    share: ProperFraction = 0.85
    """Share of the pairs of even permutations that are trained on."""
    new_share: ProperFraction = 0.6
    """Share of the pairs with an odd one that are trained on."""
    batch: Count = 1024
    """Pairs with an odd permutation in each step."""
    test_rows: Count = 1000
    """Held-out pairs with an odd permutation that are measured, at most."""
    lr: Positive = 3.0e-2
    """Learning rate, after a short warm-up."""
    first_steps: Count = 80
    """Optimiser steps of the first task."""
    steps: Count = 140
    """Optimiser steps of the second task."""


ReusePair: TypeAlias = Annotated[
    ReuseSecondTokensOptions
    | PQPQOptions
    | CompositionOptions
    | RotatedAfterUprightOptions
    | ObjectsAfterStrokesOptions
    | AutoencoderChainOptions
    | ReuseA5S5Options,
    Field(discriminator="pair"),
]


class ReuseOptions(MadeAnalysis):
    """Is a task learned faster by a network that knows another, and by the circuit that it has?"""

    name: Literal["reuse"]
    """The analysis."""
    pairs: Annotated[dict[Label, ReusePair], Field(min_length=1)]
    """Pairs of tasks by a label."""
    replicates: Replicates = 3
    """Trainings from each start, which differ in their start and in their data."""
    moments: Annotated[int, Field(ge=2, le=1000)] = 16
    """Measurements along each training of the second task, evenly spaced."""
