"""What may be said of analyses that fit dictionaries to worlds whose features are known?"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from homolog.config.analyses import MadeAnalysis, Replicates
from homolog.config.base import Count, Label, Name, PositiveFraction, Several
from homolog.config.worlds import World

Measure: TypeAlias = Literal[
    "f1",
    "f1_signed",
    "mmcs",
    "mmcs_back",
    "codes",
    "fvu",
    "l0",
    "dead",
    "live",
    "stable",
    "true_if_stable",
    "true_if_not",
    "short",
    "captured",
    "probe",
    "probe_sparse",
    "probe_dense",
]


class WorldsAnalysis(MadeAnalysis):
    """What can be said of every analysis that fits its experiment's decompositions to worlds."""

    worlds: Annotated[dict[Label, World], Field(min_length=1)]
    """Worlds by their label in the figure; a value that is a list makes a world of each."""
    replicates: Replicates = 3
    """Draws of each world: its features and its rows."""
    rows: Count = 4096
    """Rows that are fitted."""
    test_rows: Count = 2048
    """Other rows, on which FVU, L0 and codes are measured."""


class RecoveryOptions(WorldsAnalysis):
    """Which methods find the features of a world, and is what is stable true?"""

    name: Literal["recovery"]
    """The analysis."""
    told: bool = True
    """Tell each method how many features there are, as far as it can find so many, and how many are active on a row."""
    true_cosine: PositiveFraction = 0.9
    """From which cosine on a latent is a feature's."""
    pca_first: bool = False
    """Of decompositions with dense latents fit a baseline too: principal components in their place, taken off first."""
    along: Name | None = None
    """An option of decompositions, or else of worlds, that is an axis: the figure draws a line for all else that
    varies."""
    shown: Several[Measure] = Field(default=["f1", "codes", "true_if_stable"])
    """What the figure shows, the first in words."""
    against: Name | None = None
    """With along: a further option, against whose logarithm the logarithm of where lines are lost is fitted."""
