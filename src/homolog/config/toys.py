"""What may be said of analyses that train toy models themselves, many as one tensor program?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from homolog.config.analyses import MadeAnalysis
from homolog.config.base import LARGEST, Count, Positive, ProperFraction, Several


class SuperpositionOptions(MadeAnalysis):
    """How does a small bottleneck arrange more features than it has units (Elhage et al., 2022)?"""

    name: Literal["superposition"]
    """The analysis."""
    features: Count = 40
    """Features of the world, equal in importance."""
    units: Count = 8
    """Hidden units."""
    # Close together where polytopes change.
    sparsities: Several[ProperFraction] = Field(
        default=[0.0, 0.2, 0.37, 0.5, 0.6, 0.68, 0.75, 0.8, 0.84, 0.87, 0.9, 0.96, 0.99]
    )
    """Shares of inputs in which a feature is absent."""
    replicates: Annotated[int, Field(ge=3, le=LARGEST)] = 5
    """Trainings at each sparsity, which differ in their start and in their data."""
    cells: Count = 11
    """Cells of the phase diagram of two features in one unit, on each side."""
    steps: Count = 2000
    """Optimiser steps."""
    lr: Positive = 3.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 192
    """Inputs per step."""
