"""What may be said of worlds whose features are known? A list of values makes a world of each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from homolog.config.base import (
    LARGEST,
    Amount,
    Count,
    Fraction,
    Grid,
    GridOptions,
    NonNegative,
    Positive,
    ProperFraction,
)


class WorldOptions(GridOptions):
    """Options of every world, in the order of the registry."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"world"})
    """The kind of world is no axis."""

    guess_features: Grid[Positive] = 1.0
    """What methods are told of the number of features, over how many there are."""
    guess_active: Grid[Positive] = 1.0
    """What methods are told of the number of active features, over how many there are."""
    rows: Grid[Count] | None = None
    """Rows that are fitted; null: as many as the analysis says."""


class PlantedOptions(WorldOptions):
    """Sparse features, more than dimensions."""

    world: Literal["planted"]
    """The kind of world."""
    units: Grid[Count] = 20
    """Dimensions."""
    features: Grid[Count] = 40
    """Features."""
    directions: Grid[Literal["random", "orthogonal", "oblique"]] = "random"
    """Uniform on the sphere, orthogonal (at most as many as units), or with a direction that all share."""
    overlap: Grid[ProperFraction] = 0.3
    """Of oblique ones, the mean cosine."""
    active: Grid[Positive] = 3.0
    """Features on a row, on average."""
    least: Grid[Fraction] = 0.5
    """Size of a feature when it is on: evenly between this and 2 minus this."""
    noise: Grid[NonNegative] = 0.1
    """Norm of a row's noise (root mean square), over the mean size of a feature."""
    scales: Grid[NonNegative] = 0.0
    """Standard deviation of the logarithm of features' scales."""
    together: Grid[ProperFraction] = 0.0
    """Correlation by which four neighbours come on together (of a Gaussian copula); rates stay."""
    hierarchy: Grid[ProperFraction] = 0.0
    """Share of features that are on only where their parent is."""
    zipf: Grid[NonNegative] = 0.0
    """Rates fall as 1 / rank to this power; 0: all features are equally frequent."""
    dense: Grid[Amount] = 0
    """Dimensions of a Gaussian part that every row has, its variances falling to a quarter; fewer than units."""
    dense_size: Grid[Positive] = 2.0
    """Norm of that part (root mean square), over the mean size of a feature."""


class SourcesOptions(WorldOptions):
    """Independent sources, as many as dimensions or fewer, mixed."""

    world: Literal["sources"]
    """The kind of world."""
    units: Grid[Count] = 12
    """Dimensions."""
    sources: Grid[Count] = 8
    """Sources."""
    directions: Grid[Literal["orthogonal", "oblique"]] = "orthogonal"
    """Directions of the sources: orthogonal, or uniform on the sphere."""
    distribution: Grid[Literal["gaussian", "uniform", "laplace", "sparse"]] = "gaussian"
    """Of a source; sparse ones are on in a tenth of the rows."""
    variances: Grid[Literal["equal", "falling"]] = "equal"
    """Of the sources: all 1, or from 1 to 1 / 16."""
    noise: Grid[NonNegative] = 0.05
    """Standard deviation of the noise in each dimension."""


class DigitsOptions(WorldOptions):
    """A real layer: a small network's hidden activations on digits, of which no feature is known."""

    world: Literal["digits"]
    """The kind of world."""
    units: Grid[Count] = 32
    """Units of the layer, the second of three hidden ones."""
    steps: Grid[Count] = 1500
    """Steps that the network is trained."""


class SquareOptions(WorldOptions):
    """Random points of a square: no sparse features."""

    world: Literal["square"]
    """The kind of world."""
    units: Grid[Annotated[int, Field(ge=2, le=LARGEST)]] = 2
    """Dimensions, in a random plane of which the square lies; among more than 4, nulls that turn directions of like
    variance turn the plane's out of it."""
    noise: Grid[NonNegative] = 0.1
    """Norm of a row's noise (root mean square), over the side of the square."""


class MixtureOptions(WorldOptions):
    """A mixture of Gaussians: few features, one on each row."""

    world: Literal["mixture"]
    """The kind of world."""
    units: Grid[Count] = 20
    """Dimensions."""
    features: Grid[Count] = 12
    """Gaussians, whose means are random directions of norm 1."""
    noise: Grid[NonNegative] = 0.5
    """Norm of a row's distance from its mean (root mean square)."""


class AnimalsWorldOptions(WorldOptions):
    """Animals that are sums of attributes."""

    world: Literal["animals"]
    """The kind of world."""
    animals: Grid[Count] = 1000
    """Animals."""
    attributes: Grid[Count] = 50
    """Attributes, each with a dimension of its own."""
    labels: Grid[Amount] = 0
    """Further dimensions, in which an animal's coefficients mean nothing but which animal it is."""
    shows: Grid[Literal["animals", "both", "attributes"]] = "animals"
    """What a row is made of: one animal, one animal and attributes besides, or attributes alone."""
    active: Grid[Positive] = 3.0
    """Attributes on a row, on average, where rows have any of their own."""
    noise: Grid[NonNegative] = 0.1
    """Norm of a row's noise (root mean square), over the mean size of a feature."""


class CombinationsWorldOptions(WorldOptions):
    """Objects with a colour and a shape, of which some combinations are never shown."""

    world: Literal["combinations"]
    """The kind of world."""
    units: Grid[Count] = 24
    """Dimensions."""
    values: Grid[Count] = 6
    """Colours, and as many shapes."""
    held_out: Grid[Amount] = 6
    """Combinations that are never shown, at most as many as colours: each of another colour and shape."""
    objects: Grid[Count] = 1
    """Objects on a row, whose parts add up."""
    alone: Grid[Fraction] = 0.5
    """Share of objects that have a colour or a shape alone."""
    correlation: Grid[ProperFraction] = 0.0
    """Share of objects whose shape is the one of their colour; that of all others is drawn from all shapes."""
    own: Grid[NonNegative] = 0.0
    """Size of a direction that each combination has of its own, over that of a colour; 0: there are none."""
    noise: Grid[NonNegative] = 0.1
    """Norm of a row's noise (root mean square), over the size of a colour."""


World: TypeAlias = Annotated[
    PlantedOptions
    | SourcesOptions
    | DigitsOptions
    | SquareOptions
    | MixtureOptions
    | AnimalsWorldOptions
    | CombinationsWorldOptions,
    Field(discriminator="world"),
]
