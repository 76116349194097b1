"""What may be said of analyses that look for circuits in networks that they train themselves?"""

from __future__ import annotations

from typing import Literal

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, Positive, ProperFraction


class ResidualDirectionsOptions(MadeAnalysis):
    """How many directions of a transformer's stream can't be ablated, where does that change, and who reads them?"""

    name: Literal["residual_directions"]
    """The analysis."""
    places: Count = 6
    """Places with a value each; the last token points at one."""
    values: Count = 8
    """Different values."""
    width: Count = 32
    """Units of the stream."""
    heads: Count = 2
    """Heads of each attention."""
    blocks: Count = 2
    """Blocks."""
    allowed: ProperFraction = 0.1
    """Share of what ablating all of a position costs that ablating all other directions may cost."""
    rows: Count = 256
    """Sequences on which directions are chosen; on as many others their costs are measured."""
    null_draws: Count = 5
    """Random draws behind each null."""
    replicates: Replicates = 3
    """Trainings, which differ in their start and in their data."""
    steps: Count = 400
    """Optimiser steps."""
    lr: Positive = 3.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 128
    """Sequences per step."""
