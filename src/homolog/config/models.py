"""How may a model be made: trained from scratch, retrained in part from a finished run, or by others, elsewhere?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from homolog.config.base import Count, FilePath, Grid, Options, Reference, Several
from homolog.config.network_models import NetworkModel, Objective
from homolog.config.tasks import Task
from homolog.config.training import Parent, TrainingOptions


class _Layered(Options):
    """What every architecture of named hook points, one behind the other, can say of them."""

    def hook_points(self) -> list[str]:
        """Names of the places where activations can be read, in the order of the forward pass."""
        return [*self.with_symmetry(), "logits"]

    def with_symmetry(self) -> list[str]:
        """Hook points that the gauge control can describe anew: all but the logits, whose basis the classes fix."""
        raise NotImplementedError

    def widenable(self) -> list[str]:
        """Hook points whose number of units can be chosen anew when they are trained again."""
        raise NotImplementedError

    def widths_in_order(self) -> list[int]:
        """Units of each hook point but the logits."""
        raise NotImplementedError

    def width(self, hook_point: str, n_classes: int) -> int:
        """Units at `hook_point`. Raises ValueError for a hook point that the architecture doesn't have."""
        widths = dict(zip(self.hook_points(), [*self.widths_in_order(), n_classes], strict=True))
        if hook_point not in widths:
            raise ValueError(f"no hook point {hook_point!r} in this architecture; it has {', '.join(widths)}.")
        return widths[hook_point]


class MLPOptions(_Layered):
    """A multilayer perceptron; hook points hidden_0, hidden_1, ... (after the activation) and logits."""

    name: Literal["mlp"]
    """The architecture."""
    widths: Annotated[list[Count], Field(min_length=1)]
    """Units of each hidden layer, from the input on."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """The non-linearity after each hidden layer; the symmetry of its units, and so the gauge, follow from it."""

    def with_symmetry(self) -> list[str]:
        return self.widenable()

    def widenable(self) -> list[str]:
        return [f"hidden_{index}" for index in range(len(self.widths))]

    def widths_in_order(self) -> list[int]:
        return self.widths

    def widened(self, widen: dict[str, int]) -> MLPOptions:
        """The same architecture with other widths at the hook points that `widen` names."""
        widths = [widen.get(name, width) for name, width in zip(self.widenable(), self.widths, strict=True)]
        return self.model_copy(update={"widths": widths})


class ResidualOptions(_Layered):
    """A residual stream read through a norm; hook points stream_0 (embedding), stream_1, ... (blocks) and logits."""

    name: Literal["residual"]
    """The architecture."""
    stream: Count
    """Units of the stream."""
    blocks: Count
    """Blocks that read the stream and add to it."""
    hidden: Count
    """Units within each block."""
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    """The norm before each reader, without gains; the symmetry of the stream, and so the gauge, follow from it."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """The non-linearity within the blocks."""

    def with_symmetry(self) -> list[str]:
        return [f"stream_{index}" for index in range(self.blocks + 1)]

    def widenable(self) -> list[str]:
        return []  # What is frozen reads and writes the same stream.

    def widths_in_order(self) -> list[int]:
        return [self.stream] * (self.blocks + 1)

    def widened(self, widen: dict[str, int]) -> ResidualOptions:
        """The same architecture: nothing of it can be widened."""
        return self


Architecture: TypeAlias = Annotated[MLPOptions | ResidualOptions, Field(discriminator="name")]


class ActivationsOptions(Options):
    """Where activations are read and how they are stored."""

    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file; a value that float16 can't hold is an error, never an infinity."""
    batch_size: Count = 1024
    """Rows per forward pass: memory, not results, depends on it."""
    hook_points: Several[Reference] | None = None
    """Hook points to record; null means every one of the architecture."""


class TrainedModel(Options):
    """A model trained from scratch; each seed makes a run."""

    task: Task
    """The data set."""
    architecture: Architecture
    """The network."""
    training: TrainingOptions
    """How the weights are found."""
    activations: ActivationsOptions = ActivationsOptions()
    """What is recorded of a finished run."""


class RetrainedModel(Options):
    """A model that starts from a finished run, draws some weights anew, freezes the rest and trains on."""

    parent: Parent
    """The run to start from; it gives the task and the architecture."""
    reinitialise: Several[Reference]
    """Hook points to train again: the weights into and out of them and their own bias; all else is frozen. Of a
    network by its modules: names or globs of modules, or of single parameters."""
    widen: dict[Reference, Count] = Field(default={})
    """New numbers of units for some of the reinitialised hook points."""
    objective: Objective | None = None
    """Of a network by its modules alone: what it is trained for; null means the parent's objective."""
    training: TrainingOptions | None = None
    """Replaces the parent's training as a whole; null means the parent's."""
    activations: ActivationsOptions | None = None
    """Replaces the parent's activations as a whole; null means the parent's, as with all networks by their modules."""


class ExternalOptions(Options):
    """Activations that were recorded elsewhere: a run for each seed, of which the network isn't there."""

    activations: Grid[FilePath]
    """Path of a .npy, .npz or HDF5 file, in which {seed} and {hook_point} are filled in; or a path for each seed, in
    order. Relative to the working folder."""
    hook_points: Several[Reference]
    """Names of the arrays (samples, units) in the files, by which results go; free where a file holds one array."""
    n_test: Count | None = None
    """Rows, drawn at random, on which dictionaries are compared and to which none is fitted; null means half of all."""

    @property
    def listed(self) -> int | None:
        """How many runs there are, where they are listed."""
        return len(self.activations) if isinstance(self.activations, list) else None

    def source(self, seed: int, hook_point: str) -> str:
        """Path of the file with a hook point of a run. Raises ValueError for a seed beyond the list of paths."""
        path = self.activations
        if isinstance(path, list):
            if seed >= len(path):
                raise ValueError(
                    f"no activations for seed {seed}; there are {len(path)} paths, for the seeds from 0 on."
                )
            path = path[seed]
        return filled(path, seed=seed, hook_point=hook_point)


class ExternalModel(Options):
    """A model of which there are activations, recorded by others, and nothing else."""

    external: ExternalOptions
    """Where the activations are."""


def filled(path: str, **values: str | int) -> str:
    """A path with {model}, {seed} and the like put in."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", str(value))
    return path


def _which_model(value: Any) -> str:
    if isinstance(value, RetrainedModel | ExternalModel | NetworkModel):
        return type(value).__name__
    keys = set(value) if isinstance(value, dict) else set()
    if "external" in keys:
        return "ExternalModel"
    if "network" in keys:
        return "NetworkModel"
    return "RetrainedModel" if {"parent", "reinitialise", "widen"} & keys else "TrainedModel"


# The tags are the classes' names, by which messages find the branch in the schema.
Model: TypeAlias = Annotated[
    Annotated[TrainedModel, Tag("TrainedModel")]
    | Annotated[RetrainedModel, Tag("RetrainedModel")]
    | Annotated[ExternalModel, Tag("ExternalModel")]
    | Annotated[NetworkModel, Tag("NetworkModel")],
    Discriminator(_which_model),
]


class Recipe(Options):
    """All that a run of a model needs but its seed: inheritance worked out, nothing left to look up."""

    task: Task
    """The data set."""
    architecture: Architecture
    """The network, after widening."""
    training: TrainingOptions
    """How the weights are found."""
    activations: ActivationsOptions
    """What is recorded of a finished run; its hook points are never null here."""
    parent: Parent | None
    """The run to start from, if any."""
    reinitialise: list[str]
    """Hook points that are trained again; empty without a parent."""
    widen: dict[str, int]
    """Hook points that got more units than the parent's."""

    @property
    def hook_points(self) -> list[str]:
        """The recorded hook points."""
        return self.activations.hook_points or self.architecture.hook_points()

    def width(self, hook_point: str) -> int:
        """Units at `hook_point`."""
        return self.architecture.width(hook_point, self.task.n_classes)


def derive(model: TrainedModel | RetrainedModel, parent: Recipe | None) -> Recipe:
    """The recipe of `model`, which is a retrained one exactly if the recipe of its `parent` is given."""
    if isinstance(model, TrainedModel):
        task, architecture, training, activations = model.task, model.architecture, model.training, model.activations
        inherited: dict[str, Any] = {"parent": None, "reinitialise": [], "widen": {}}
    elif parent is not None:
        task, architecture = parent.task, parent.architecture.widened(model.widen)
        training, activations = model.training or parent.training, model.activations or parent.activations
        inherited = {"parent": model.parent, "reinitialise": model.reinitialise, "widen": model.widen}
    else:
        raise ValueError(f"the model retrains {model.parent.model!r}: its recipe is needed too.")
    recorded = activations.hook_points or architecture.hook_points()
    activations = activations.model_copy(update={"hook_points": recorded})
    return Recipe(task=task, architecture=architecture, training=training, activations=activations, **inherited)
