"""What may be said of analyses that train toy models themselves, many as one tensor program?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, Positive, ProperFraction, Several


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
    replicates: Replicates = 5
    """Trainings at each sparsity, which differ in their start and in their data."""
    cells: Count = 11
    """Cells of the phase diagram of two features in one unit, on each side."""
    steps: Count = 2000
    """Optimiser steps."""
    lr: Positive = 3.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 192
    """Inputs per step."""


class TopMOptions(MadeAnalysis):
    """Does keeping only the m most active units align features with units, and from which width on is it free?"""

    name: Literal["top_m"]
    """The analysis."""
    features: Several[Count] = Field(default=[12, 24])
    """Planted features, each number a world of its own."""
    ratios: Several[Positive] = Field(default=[0.5, 0.75, 1.0, 1.25, 1.5, 2.5])
    """Units over features."""
    kept: Count = 4
    """m: units that the filters keep."""
    active: Positive = 1.5
    """Features that are there in an input, on average."""
    replicates: Replicates = 5
    """Trainings of each filter at each width, which differ in their features' directions, starts and data."""
    steps: Count = 800
    """Optimiser steps."""
    lr: Positive = 1.0e-2
    """Learning rate at its largest."""
    batch_size: Count = 128
    """Inputs per step."""


class DoubleDescentOptions(MadeAnalysis):
    """As data sets grow, are samples kept or features, and where is the test loss worst (Henighan et al., 2023)?"""

    name: Literal["double_descent"]
    """The analysis."""
    features: Count = 100
    """Features of the toy world."""
    units: Count = 3
    """Hidden units of its bottleneck."""
    active: Positive = 3.0
    """Features that are there in a sample, on average."""
    samples: Several[Count] = Field(default=[3, 10, 30, 60, 100, 150, 250, 500, 2000])
    """Sizes of the data sets."""
    task: Literal["digits", "fashion_mnist"] = "digits"
    """What classifiers are trained to tell: digits come with scikit-learn, Fashion-MNIST has to be installed."""
    digits_samples: Several[Count] = Field(default=[10, 20, 40, 60, 90, 150, 300, 1297])
    """Training images of the task; of digits there are 1,297."""
    digits_units: Count = 10
    """Hidden units of the classifiers."""
    replicates: Replicates = 5
    """Trainings at each size, which differ in their start and their samples."""
    steps: Count = 2000
    """Optimiser steps."""
    lr: Positive = 5.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 200
    """Samples per step, where there are more; else all of them."""


class ArrangementOptions(MadeAnalysis):
    """Are features arranged in orthogonal groups or all together, and are dimensions left empty?"""

    name: Literal["arrangement"]
    """The analysis."""
    features: Several[Count] = Field(default=[6, 16, 40])
    """Features of the worlds, each a number."""
    units: Count = 8
    """Hidden units."""
    sparsities: Several[ProperFraction] = Field(default=[0.4, 0.6, 0.75, 0.85, 0.95])
    """Shares of inputs in which a feature is absent."""
    replicates: Replicates = 4
    """Trainings of each, which differ in their start and in their data."""
    steps: Count = 2000
    """Optimiser steps."""
    lr: Positive = 5.0e-3
    """Learning rate at its largest."""
    batch_size: Count = 128
    """Inputs per step."""
