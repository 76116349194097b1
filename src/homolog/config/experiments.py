"""Which runs may an experiment compare, how, and in which figure?"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, get_args

from pydantic import Discriminator, Field, Tag

from homolog.config.analyses import RunsAnalysis, StabilityOptions, TrapsOptions
from homolog.config.animals import AnimalsOptions, RedTriangleOptions
from homolog.config.antilearning import AntilearningOptions
from homolog.config.base import (
    LARGEST,
    Amount,
    Label,
    Name,
    Options,
    PositiveFraction,
    Reference,
    Seed,
    Several,
    registered,
)
from homolog.config.circuits import ResidualDirectionsOptions
from homolog.config.groups import GrokkingOptions, KnownCircuitOptions
from homolog.config.layers import ArrangementLayersOptions, CausalFeaturesOptions, WeightSparsityOptions
from homolog.config.planted import RecoveryOptions
from homolog.config.repeated import FixedFeaturesOptions, HowManyOptions, SAETwiceOptions, SelfSimulationOptions
from homolog.config.reuse import ReuseOptions
from homolog.config.toys import ArrangementOptions, DoubleDescentOptions, SuperpositionOptions, TopMOptions
from homolog.config.units import TailsOptions, TuningOptions
from homolog.registry import FIGURES

FigureName: TypeAlias = Annotated[str, *registered(FIGURES)]
# In the order of the registry.
Analysis: TypeAlias = Annotated[
    StabilityOptions
    | TrapsOptions
    | SuperpositionOptions
    | RecoveryOptions
    | TopMOptions
    | DoubleDescentOptions
    | ArrangementOptions
    | CausalFeaturesOptions
    | WeightSparsityOptions
    | ArrangementLayersOptions
    | SAETwiceOptions
    | FixedFeaturesOptions
    | HowManyOptions
    | SelfSimulationOptions
    | GrokkingOptions
    | ReuseOptions
    | AnimalsOptions
    | RedTriangleOptions
    | TailsOptions
    | TuningOptions
    | ResidualDirectionsOptions
    | KnownCircuitOptions
    | AntilearningOptions,
    Field(discriminator="name"),
]

# What a figure reads of an analysis: views and matchings without which it can't be drawn.
FIGURE_NEEDS: dict[str, tuple[list[str], list[str]]] = {
    "stability": (["score"], ["hungarian"]),
    "widening": (["score"], ["hungarian", "best_a_to_b", "best_b_to_a"]),
    "reinit_depth": (["score"], ["hungarian"]),
    "stabilisation": (["score"], ["hungarian"]),
    "layers": (["score"], ["hungarian"]),
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
    """Names of models in this file: all with a parent or all without, and all of one task or fed the same."""
    seeds: Several[Seed]
    """Seeds: every model is run with each of them."""
    steps: Several[Amount] | None = None
    """Steps of training: each run is compared with itself as it was after so many, 0 being before the first; null:
    runs are compared with each other. Each of them is a training of its own, to the same bits."""


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
    collections: Several[Name] | None = None
    """Targets that build this experiment among others, such as `seeds`."""

    @property
    def of_runs(self) -> RunsAnalysis:
        """The analysis: one that makes its worlds itself is that of a `MadeExperiment`."""
        if not isinstance(self.analysis, RunsAnalysis):
            raise ValueError(f"{self.analysis.name} makes its worlds itself, and analyses no runs.")
        return self.analysis

    @property
    def views(self) -> list[str]:
        """The views in which it compares latents; none where its analysis compares in its own way."""
        return self.analysis.views if isinstance(self.analysis, StabilityOptions) else []


class MadeExperiment(Options):
    """A question to worlds that the analysis makes itself: no runs, so no hook points and no conditions."""

    analysis: Analysis
    """What is computed."""
    figure: FigureName
    """How it is drawn."""
    decompositions: Several[Reference] | None = None
    """Names of decompositions in this file, which are fitted to the worlds by analyses that ask for some."""
    optional: bool = False
    """True: not part of `rule all`."""
    collections: Several[Name] | None = None
    """Targets that build this experiment among others, such as `seeds`."""


def _made() -> list[str]:
    """Names of the analyses that make their worlds themselves."""
    every = get_args(get_args(Analysis)[0])
    return [get_args(one.model_fields["name"].annotation)[0] for one in every if not issubclass(one, RunsAnalysis)]


def _which_experiment(value: Any) -> str:
    if isinstance(value, MadeExperiment):
        return "MadeExperiment"
    analysis = value.get("analysis") if isinstance(value, dict) else None
    name = analysis.get("name") if isinstance(analysis, dict) else None
    return "MadeExperiment" if name in _made() else "RunsExperiment"


# The tags are the classes' names, by which messages find the branch in the schema.
Experiment: TypeAlias = Annotated[
    Annotated[RunsExperiment, Tag("RunsExperiment")] | Annotated[MadeExperiment, Tag("MadeExperiment")],
    Discriminator(_which_experiment),
]
