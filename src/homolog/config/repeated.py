"""What may be said of analyses that train the same autoencoders again and again on worlds: by start, order and rows?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from homolog.config.base import LARGEST, Count, PositiveFraction, Several
from homolog.config.planted import WorldsAnalysis


class SAETwiceOptions(WorldsAnalysis):
    """Of what differs between two autoencoders, how much do the start, the order of the data and the data explain?"""

    name: Literal["sae_twice"]
    """The analysis."""
    inits: Annotated[int, Field(ge=2, le=LARGEST)] = 4
    """Starts, each trained in every order."""
    orders: Annotated[int, Field(ge=2, le=LARGEST)] = 4
    """Orders of the data, each from every start."""


class FixedFeaturesOptions(WorldsAnalysis):
    """Does training switch off latents whose direction is fixed and false, when their biases are learned?"""

    name: Literal["fixed_features"]
    """The analysis."""
    each: Count = 6
    """Fixed latents of each kind, beside as many free ones as the decomposition has."""
    cosine: PositiveFraction = 0.8
    """Cosine of perturbed directions with the true ones, and of soft-frozen ones with their start at least."""


class HowManyOptions(WorldsAnalysis):
    """How many features are there, by dead latents, agreement, description length and stable latents?"""

    name: Literal["how_many"]
    """The analysis."""
    sizes: Annotated[Several[Count], Field(min_length=2)] = Field(default=[12, 25, 50, 80, 120])
    """Latents of the dictionaries, ascending."""
    true_cosine: PositiveFraction = 0.9
    """From which cosine on a latent returns, or is a feature's."""
    quorum: PositiveFraction = 0.8
    """Share of the other seeds in which a stable latent returns."""
    precision: PositiveFraction = 0.1
    """Squared error up to which rows are described, over their variance."""


class SelfSimulationOptions(WorldsAnalysis):
    """Are activations made from a fitted autoencoder like the real ones, and do they foretell which latents return?"""

    name: Literal["self_simulation"]
    """The analysis."""
    refits: Annotated[int, Field(ge=2, le=LARGEST)] = 3
    """Seeds by which real and synthetic rows are fitted again."""
