"""What may be said of analyses of the units of small networks that they train themselves: tails, tuning curves?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, NonNegative, Positive, PositiveFraction, ProperFraction, Several


class TailsOptions(MadeAnalysis):
    """Are activation distributions exponential, by neuron and by latent?"""

    name: Literal["tails"]
    """The analysis."""
    task: Literal["digits", "fashion_mnist"] = "digits"
    """What the networks are trained to tell: digits come with scikit-learn, Fashion-MNIST has to be installed."""
    units: Count = 64
    """Units of the hidden layer."""
    shares: Several[PositiveFraction] = Field(default=[0.2, 1.0])
    """Shares of the rows that a tail holds, at most: those with the largest numbers above 0."""
    level: ProperFraction = 0.05
    """False discovery rate of each test over the units of a network."""
    rows: Count = 4000
    """Images of each split that are looked at, at most."""
    replicates: Replicates = 5
    """Networks, which differ in their start and in their batches."""
    steps: Count = 600
    """Optimiser steps."""
    lr: Positive = 3.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 128
    """Images per step."""


class TuningOptions(MadeAnalysis):
    """Are there curve-like units in a small convolutional network, and do the same tuning curves return?"""

    name: Literal["tuning"]
    """The analysis."""
    channels: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(default=[8, 24])
    """Channels of the two layers; the second one's units are shown curves."""
    curvatures: Annotated[list[NonNegative], Field(min_length=2)] = Field(default=[0.0, 0.15, 0.3, 0.5])
    """Curvatures that are shown, in 1 / pixels; the first is a line's, 0."""
    replicates: Replicates = 5
    """Networks, which differ in their start and in their batches."""
    steps: Count = 300
    """Optimiser steps."""
    lr: Positive = 5.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 48
    """Images per step."""
