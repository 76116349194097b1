"""What may be said of analyses that ask of trained layers what their directions do, and how they lie?"""

from __future__ import annotations

from typing import Literal

from homolog.config.analyses import RunsAnalysis
from homolog.config.base import Count


class CausalFeaturesOptions(RunsAnalysis):
    """Does ablating a direction destroy some inputs and leave the rest untouched, and do such directions return?"""

    name: Literal["causal_features"]
    """The analysis."""
    null_draws: Count = 10
    """Random draws behind each null."""


class WeightSparsityOptions(RunsAnalysis):
    """In which bases of two adjacent layers do the fewest edges carry what the second reads of the first?"""

    name: Literal["weight_sparsity"]
    """The analysis."""
    null_draws: Count = 5
    """Random draws behind each turned basis."""


class ArrangementLayersOptions(RunsAnalysis):
    """How do the latents of trained layers lie, and how much of a layer can be ablated without harm?"""

    name: Literal["arrangement_layers"]
    """The analysis."""
    null_draws: Count = 10
    """Random draws behind each null."""
