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
    units: Count = 10
    """Hidden units."""
    sparsities: Several[ProperFraction] = Field(default=[0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99])
    """Shares of inputs in which a feature is absent."""
    replicates: Annotated[int, Field(ge=3, le=LARGEST)] = 5
    """Trainings at each sparsity, which differ in their start and in their data."""
    steps: Count = 3000
    """Optimiser steps."""
    lr: Positive = 3.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 256
    """Inputs per step."""
