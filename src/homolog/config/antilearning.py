"""What may be said of the benchmark of antilearning: its pairs of tasks, and recipes made of parts?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.antilearning_pairs import (
    A5S5Options,
    ModularPOptions,
    PairOptions,
    SecondTokensOptions,
    TwoGroupsOptions,
)
from homolog.config.base import (
    Count,
    Fraction,
    Label,
    NonNegative,
    Options,
    Positive,
    PositiveFraction,
    ProperFraction,
    Reference,
    Several,
)


class RotatedImagesOptions(PairOptions):
    """X: images turned by some range of degrees; Y: by any other."""

    pair: Literal["rotated_images"]
    """The kind of pair."""
    images: Literal["digits", "fashion_mnist"] = "digits"
    """Which images."""
    degrees: Annotated[float, Field(gt=0, lt=360)] = 90.0
    """X is turned clockwise by 0 to so many degrees."""
    margin: Annotated[float, Field(ge=0, lt=180)] = 15.0
    """Degrees on either side of X that Y's test leaves out."""
    turned: bool = True
    """Use every filter in its four quarter turns, so that pieces of turned images are seen alike."""
    channels: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(default=[6, 12])
    """Filters of the two layers."""
    size: Count | None = None
    """Pixels on each side, to which images are averaged; null: as they are."""
    images_train: Count | None = None
    """Images that are trained on, each member's own; null: all."""
    images_test: Count | None = None
    """Images that are held out; null: all."""
    copies: Count = 2
    """Turns of each image that is trained on."""
    steps: Count = 150
    """Optimiser steps of a recipe."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    batch: Count | None = 48
    """Rows of each task in a step; null: all of them."""
    relearned_for: Count = 75
    """Optimiser steps in which Y is learned again."""


class RedSquareOptions(PairOptions):
    """X: red square or blue triangle; Y: red triangle or blue square."""

    pair: Literal["red_square"]
    """The kind of pair."""
    by: Literal["colour", "shape"] = "colour"
    """Which of the two Y is labelled by; both are right in X."""
    size: Annotated[int, Field(ge=6, le=64)] = 10
    """Pixels on each side."""
    channels: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(default=[6, 12])
    """Filters of the two layers."""
    noise: NonNegative = 0.1
    """Standard deviation of the pixels' noise."""
    rows: Count = 512
    """Images of each task that are trained on."""
    test_rows: Count = 256
    """Images of each task that are held out."""
    steps: Count = 150
    """Optimiser steps of a recipe."""
    lr: Positive = 1.0e-2
    """Learning rate, after a short warm-up."""
    relearned_for: Count = 75
    """Optimiser steps in which Y is learned again."""


# In the order of the registry.
TaskPairOptions: TypeAlias = Annotated[
    RotatedImagesOptions | RedSquareOptions | A5S5Options | TwoGroupsOptions | SecondTokensOptions | ModularPOptions,
    Field(discriminator="pair"),
]


class PartOptions(Options):
    """A part of a recipe."""

    weight: Positive = 1.0
    """How much it counts beside the loss of X."""
    pairs: Several[Reference] | None = None
    """Labels of the pairs that it is for; null: all. A recipe of which no part is for a pair isn't run on it."""


class RandomLabelsOptions(PartOptions):
    """Random labels on Y."""

    name: Literal["random_labels"]
    """The part."""
    begin: ProperFraction = 0.5
    """Share of the steps in which X is learned alone first."""


class UniformTargetsOptions(PartOptions):
    """Every class equally likely on Y."""

    name: Literal["uniform_targets"]
    """The part."""
    begin: ProperFraction = 0.5
    """Share of the steps in which X is learned alone first."""


class GradientReversalOptions(PartOptions):
    """Adversaries that read Y off layers, and their reversed gradient."""

    name: Literal["gradient_reversal"]
    """The part."""
    layer: Reference | None = None
    """The layer; null: each but the logits."""
    begin: ProperFraction = 0.0
    """Share of the steps in which X is learned alone first."""


class AdversaryUniformOptions(PartOptions):
    """Adversaries that read Y off layers, whose answers the network makes uniform, by turns."""

    name: Literal["adversary_uniform"]
    """The part."""
    layer: Reference | None = None
    """The layer; null: each but the logits."""
    turns: Count = 1
    """Steps of the adversaries for each of the network."""
    begin: ProperFraction = 0.0
    """Share of the steps in which X is learned alone first."""


class DiscriminateOptions(PartOptions):
    """First learn to tell X from Y, then the rest of the recipe."""

    name: Literal["discriminate"]
    """The part."""
    until: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the steps in which nothing else is learned."""


class PenaltyOptions(PartOptions):
    """A function of a layer or a parameter, trained against."""

    name: Literal["penalty"]
    """The part."""
    function: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """package.module:function, installed or in the working folder: (values, labels, **options) -> a number a member."""
    at: Reference
    """A layer or a parameter of the pair's network."""
    of: Literal["x", "y"] = "y"
    """Rows at which a layer is read."""
    options: dict[str, Any] = Field(default={})
    """What the function is given besides."""
    begin: ProperFraction = 0.0
    """Share of the steps in which X is learned alone first."""


class EarlyStoppingOptions(PartOptions):
    """Take the network as it was when it was better at X than at Y by most."""

    name: Literal["early_stopping"]
    """The part."""


class OrderOptions(PartOptions):
    """Parts of X one after another, with replay."""

    name: Literal["order"]
    """The part."""
    replay: Fraction = 0.1
    """Share of rows that are of parts that came before."""


class SettingsOptions(PartOptions):
    """Rates, weight decays and widths side by side, of which that is kept which is better at X than at Y by most."""

    name: Literal["settings"]
    """The part."""
    lr: Several[Positive] = Field(default=[1.0])
    """Factors of the pair's rate."""
    weight_decay: Several[NonNegative] = Field(default=[1.0])
    """Factors of the pair's weight decay."""
    width: Several[PositiveFraction] = Field(default=[1.0])
    """Shares of units that are there."""
    layer: Reference | None = None
    """The layer whose units these are; null: each but the logits."""


class LeaceOptions(PartOptions):
    """Erase Y's labels from a layer in closed form, after training."""

    name: Literal["leace"]
    """The part."""
    layer: Reference | None = None
    """The layer; null: the last one before the logits."""


class GradientRoutingOptions(PartOptions):
    """Gradients of Y through a region of their own, which is then silenced."""

    name: Literal["gradient_routing"]
    """The part."""
    region: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the units of a layer."""
    ablated: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the steps after which the region is silent and X is learned alone."""
    layer: Reference | None = None
    """The layer; null: each but the logits."""


# In the order of the registry.
PartOfRecipe: TypeAlias = Annotated[
    RandomLabelsOptions
    | UniformTargetsOptions
    | GradientReversalOptions
    | AdversaryUniformOptions
    | DiscriminateOptions
    | PenaltyOptions
    | EarlyStoppingOptions
    | OrderOptions
    | SettingsOptions
    | LeaceOptions
    | GradientRoutingOptions,
    Field(discriminator="name"),
]


class AntilearningOptions(MadeAnalysis):
    """Which recipe learns X so that Y is never learned, and which only hides it?"""

    name: Literal["antilearning"]
    """The analysis."""
    pairs: Annotated[dict[Label, TaskPairOptions], Field(min_length=1)]
    """Pairs of tasks by their label in the figure."""
    recipes: Annotated[dict[Label, Annotated[list[PartOfRecipe], Field(min_length=1)]], Field(min_length=1)]
    """Recipes by their label in the figure: parts, which act together."""
    replicates: Replicates = 3
    """Trainings of each recipe on each pair, which differ in their start and in their data."""
    transfer: PositiveFraction = 0.25
    """Gate: share of what teaching both gives on Y that X alone must give at least, for a pair to be a test."""
    everywhere: bool = False
    """True: run recipes on pairs that are no test too."""
    moments: Annotated[int, Field(ge=3, le=101)] = 11
    """Moments at which Y is measured while it is learned again."""
    probe_steps: Count = 60
    """Optimiser steps of a probe with a hidden layer."""
    probe_lr: Positive = 2.0e-2
    """Its learning rate at its largest."""
