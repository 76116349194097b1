"""What may be said of analyses of features that are made of others: animals of attributes, combinations of factors?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from homolog.config.base import Count, Positive, PositiveFraction, Several
from homolog.config.planted import WorldsAnalysis
from homolog.config.worlds import AnimalsWorldOptions, CombinationsWorldOptions


class AnimalsOptions(WorldsAnalysis):
    """Animals that are sums of attributes: what do dictionaries find, and in which basis is a trained circuit small?"""

    name: Literal["animals"]
    """The analysis."""
    worlds: dict[str, AnimalsWorldOptions]  # type: ignore[assignment]  # narrower: only these have animals
    """Worlds of animals by their label in the figure; a value that is a list makes a world of each."""
    told: bool = True
    """Tell each method how many features there are, as far as it can find so many, and how many are active on a row."""
    true_cosine: PositiveFraction = 0.9
    """From which cosine on a latent is a feature's."""
    facts: Count = 4
    """Circuits of each kind that are trained on each draw of a world."""
    animals_per_fact: Count = 10
    """Animals of which a fact about animals is true."""
    circuit_units: Count = 4
    """Hidden units of a circuit."""
    circuit_steps: Count = 300
    """Optimiser steps of circuits."""
    circuit_lr: Positive = 1.0e-2
    """Their learning rate at its largest."""
    kept: PositiveFraction = 0.8
    """Share of the variance of a circuit's output that kept edges must explain."""
    distortion: PositiveFraction = 0.02
    """Mean squared error at which rows are described, over their variance."""
    strengths: Several[Positive] = Field(default=[1.0, 4.0])
    """Sizes of a new attribute that is trained into the animals, over that of the others."""
    tuning_steps: Count = 150
    """Optimiser steps of that training."""


class RedTriangleOptions(WorldsAnalysis):
    """Objects of a colour and a shape: do dictionaries hold factors or combinations, and new combinations?"""

    name: Literal["red_triangle"]
    """The analysis."""
    worlds: dict[str, CombinationsWorldOptions]  # type: ignore[assignment]  # narrower: only these have combinations
    """Worlds of objects by their label in the figure; a value that is a list makes a world of each."""
    told: bool = True
    """Tell each method how many colours and shapes there are, and how many are on a row."""
    true_cosine: PositiveFraction = 0.9
    """From which cosine on a latent is a factor's, or a combination's."""
    own_f1: PositiveFraction = 0.8
    """From which F1 on a latent that is on for a combination is that combination's own."""
