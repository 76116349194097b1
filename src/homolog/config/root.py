"""What may stand at the top of config.yaml, and what is the whole recipe of a model?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from homolog.config.base import Count, Name, Options
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import Experiment
from homolog.config.models import ExternalModel, ExternalOptions, Model, Recipe, RetrainedModel, TrainedModel, derive
from homolog.config.network_models import NetworkModel, NetworkRecipe, network_recipe, retrained_recipe

# Targets of the workflow that aren't experiments: an experiment of such a name couldn't be asked for.
RESERVED = (
    "all",
    "atlases",
    "train",
    "train_network",
    "dump_activations",
    "take_activations",
    "dump_network",
    "decompose",
    "take_dictionaries",
    "decompose_jointly",
    "analyse",
    "track",
    "plot",
    "plot_waterfall",
    "plot_training",
    "plot_tracks",
    "plot_crosscoder",
    "atlas",
    "export",
    "export_tracks",
)


class Config(Options):
    """config.yaml: which models are trained, how they are decomposed, and what is compared."""

    model_config = ConfigDict(title="homolog config.yaml")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch computes; auto takes CUDA where there is one. Recorded, but no reason to rebuild a result."""
    threads: Count = 1
    """Numerical threads per job. A value here, since the last bits of a result depend on it."""
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    """Models by name: what is equal across seeds."""
    decompositions: Annotated[dict[Name, Decomposition], Field(min_length=1)]
    """Decompositions by name; hyper-parameters given as lists make a grid."""
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]
    """Experiments by name, each a target of its own."""

    def resolve(self, model: str) -> Recipe:
        """The whole recipe of `model`: task and architecture come from the first ancestor, the rest from the nearest.

        Raises ValueError for a name that isn't defined, and for models without a task, which have none.
        """
        if model not in self.models:
            raise ValueError(f"no model {model!r}; models are {', '.join(self.models)}.")
        entry = self.models[model]
        if isinstance(entry, ExternalModel | NetworkModel):
            raise ValueError(f"the model {model!r} has no task, so there is no recipe.")
        return derive(entry, None if isinstance(entry, TrainedModel) else self.resolve(entry.parent.model))

    def network(self, model: str) -> NetworkRecipe | None:
        """All that is said of a network that is read by its modules; None of other models."""
        entry = self.models.get(model)
        if isinstance(entry, NetworkModel):
            return network_recipe(entry)
        if not isinstance(entry, RetrainedModel) or (parent := self.network(entry.parent.model)) is None:
            return None
        return retrained_recipe(parent, entry.parent, entry.reinitialise, entry.objective, entry.training)

    def external(self, model: str) -> ExternalOptions | None:
        """What is said of an external model, whose activations others recorded; None of other models."""
        entry = self.models.get(model)
        return entry.external if isinstance(entry, ExternalModel) else None
