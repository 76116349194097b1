"""Which analyses are there, of runs and of worlds that they make themselves, and what may be said of each?"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from homolog.config.base import LARGEST, Count, NonNegative, Options, Reference, Several, registered
from homolog.registry import VIEWS

ViewName: TypeAlias = Annotated[str, *registered(VIEWS)]
Matching: TypeAlias = Literal["rank", "hungarian", "mutual_best", "best", "best_a_to_b", "best_b_to_a", "soft"]


# With fewer than 3 an interval says nothing.
Replicates: TypeAlias = Annotated[int, Field(ge=3, le=LARGEST)]


class RunsAnalysis(Options):
    """What can be said of every analysis of runs: which of them count, and what is alike in their inputs."""

    tolerance: NonNegative = 0.05
    """A retraining counts if |test loss - base loss| <= tolerance * (untrained loss - base loss)."""
    conditional_on: Reference = "label"
    """What the conditional null keeps: whole numbers along `sample` in activations.h5, a class or a token's id."""
    documents: Reference | None = None
    """Such numbers of documents: then nulls shuffle whole documents, since tokens aren't exchangeable."""


class StabilityOptions(RunsAnalysis):
    """Which latents come back, beside their null and their ceiling?"""

    name: Literal["stability"]
    """The analysis."""
    null_draws: Count = 20
    """Random draws behind each null."""
    gaussian: bool = False
    """Fit every method to Gaussian samples of the runs' mean and covariance too: a null that trains like the rest."""
    # Written out, not "whatever is registered": a new view must not make old experiments stale.
    views: Several[ViewName] = Field(
        default=["score", "write_out", "read_in", "effect", "neuron", "neuron_permuted", "neuron_procrustes"]
    )
    """Spaces in which latents are compared. One that isn't identified between two runs is computed since it is named
    here, and labelled; of the default ones that is `neuron`, between retrained runs."""
    matchings: Several[Matching] = Field(default=["rank", "hungarian", "best", "best_a_to_b", "best_b_to_a"])
    """Ways to decide which latent answers to which."""


# Views that need no network. The others aren't identified between runs of which there are activations alone.
OF_CODES = ("score", "score_spearman", "score_jaccard")
"""Those whose null permutes inputs, so that it asks for no number of rows."""
OF_ACTIVATIONS = (*OF_CODES, "neuron", "neuron_permuted", "neuron_procrustes")


class MadeAnalysis(Options):
    """What can be said of every analysis that makes its worlds itself."""


class TrapsOptions(MadeAnalysis):
    """How often is each measure fooled, in worlds in which it is known what is stable? It makes its worlds itself."""

    name: Literal["traps"]
    """The analysis."""
    repetitions: Count = 1000
    """Repetitions of each world in which nothing is stable. Other worlds, and the workflow's part, take a tenth."""
