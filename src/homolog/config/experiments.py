"""Which runs may an experiment compare, how, and in which figure?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Discriminator, Field, Tag

from homolog.config.base import (
    LARGEST,
    Count,
    Label,
    NonNegative,
    Options,
    PositiveFraction,
    Reference,
    Seed,
    Several,
    registered,
)
from homolog.registry import FIGURES, VIEWS

ViewName: TypeAlias = Annotated[str, *registered(VIEWS)]
FigureName: TypeAlias = Annotated[str, *registered(FIGURES)]
Matching: TypeAlias = Literal["rank", "hungarian", "mutual_best", "best", "best_a_to_b", "best_b_to_a", "soft"]


class StabilityOptions(Options):
    """Which latents come back, beside their null and their ceiling?"""

    name: Literal["stability"]
    """The analysis."""
    null_draws: Count = 20
    """Random draws behind each null."""
    tolerance: NonNegative = 0.05
    """A retraining counts if |test loss - base loss| <= tolerance * (untrained loss - base loss)."""
    gaussian: bool = False
    """Fit every method to Gaussian samples of the runs' mean and covariance too: a null that trains like the rest."""
    conditional_on: Reference = "label"
    """What the conditional null keeps: whole numbers along `sample` in activations.h5, a class or a token's id."""
    documents: Reference | None = None
    """Such numbers of documents: then nulls shuffle whole documents, since tokens aren't exchangeable."""
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


class TrapsOptions(Options):
    """How often is each measure fooled, in worlds in which it is known what is stable? It makes its worlds itself."""

    name: Literal["traps"]
    """The analysis."""
    repetitions: Count = 1000
    """Repetitions of each world in which nothing is stable. Other worlds, and the workflow's part, take a tenth."""


Analysis: TypeAlias = Annotated[StabilityOptions | TrapsOptions, Field(discriminator="name")]


# What a figure reads of an analysis: views and matchings without which it can't be drawn.
FIGURE_NEEDS: dict[str, tuple[list[str], list[str]]] = {
    "stability": (["score"], ["hungarian"]),
    "widening": (["score"], ["hungarian", "best_a_to_b", "best_b_to_a"]),
    "reinit_depth": (["score"], ["hungarian"]),
    "stabilisation": (["score"], ["hungarian"]),
}


class TracksOptions(Options):
    """How are latents tracked over all runs that count?"""

    quorum: PositiveFraction = 0.5
    """Share of a track's other members that a member must be matched with."""
    least_runs: Annotated[int, Field(ge=3, le=LARGEST)] = 3
    """Members that a track needs at least."""
    null_draws: Annotated[int, Field(ge=19, le=LARGEST)] = 50
    """Draws of each null, each tracked anew."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Quantile of the null that a link, a split, a merge or an agreement must exceed."""


class Condition(Options):
    """Runs that are compared with each other and, where they are retrained, with their parent run."""

    models: Several[Reference]
    """Names of models in this file: all with a parent or all without, and all of one task."""
    seeds: Several[Seed]
    """Seeds: every model is run with each of them."""


class RunsExperiment(Options):
    """A question to some runs that ends in results/figures/<experiment>.pdf."""

    analysis: Analysis
    """What is computed."""
    figure: FigureName
    """How it is drawn."""
    hook_points: Several[Reference]
    """Where: recorded hook points of all models."""
    decompositions: Several[Reference]
    """Names of decompositions in this file."""
    conditions: Annotated[dict[Label, Condition], Field(min_length=1)]
    """Groups of runs by their label in the figure: free text without a slash."""
    tracks: TracksOptions = TracksOptions()
    """How latents are tracked over all its runs, where there are three or more."""
    optional: bool = False
    """True: not part of `rule all`, e.g. since its data doesn't come with the packages."""

    @property
    def comparison(self) -> StabilityOptions:
        """The analysis: one that makes its worlds itself is that of a `MadeExperiment`."""
        return cast(StabilityOptions, self.analysis)


class MadeExperiment(Options):
    """A question to worlds that the analysis makes itself: no runs, so no hook points, decompositions or conditions."""

    analysis: TrapsOptions
    """What is computed."""
    figure: Literal["traps"]
    """How it is drawn."""
    optional: bool = False
    """True: not part of `rule all`."""


def _which_experiment(value: Any) -> str:
    if isinstance(value, MadeExperiment):
        return "MadeExperiment"
    analysis = value.get("analysis") if isinstance(value, dict) else None
    return "MadeExperiment" if isinstance(analysis, dict) and analysis.get("name") == "traps" else "RunsExperiment"


# The tags are the classes' names, by which messages find the branch in the schema.
Experiment: TypeAlias = Annotated[
    Annotated[RunsExperiment, Tag("RunsExperiment")] | Annotated[MadeExperiment, Tag("MadeExperiment")],
    Discriminator(_which_experiment),
]
