"""What may be said of a network that is known by its modules: its data, its training, what it was retrained of?"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from homolog.config.base import Count, Options, Reference, Several, which_form
from homolog.config.corpora import Corpus
from homolog.config.networks import NetworkSource, TransformersNetwork
from homolog.config.training import Parent, TrainingOptions
from homolog.networks.points import chosen, is_glob

# A list of names of modules, or a mapping from names of one's own.
HookPoints: TypeAlias = Annotated[
    Annotated[dict[Reference, Reference], Field(min_length=1), Tag("value")]
    | Annotated[Several[Reference], Tag("list")],
    Discriminator(which_form),
]
Objective: TypeAlias = Literal["next_token", "label", "imitate"]


class ReadingOptions(Options):
    """Which hook points of such a network are read, and how rows are stored."""

    hook_points: HookPoints = Field(default=[])
    """Names of modules, by which results go; or a mapping from names of your own to hook points of any form, such as
    {block_3: "transformer.h.3:out[0]"}. `python -m homolog hook-points <model>` lists them."""
    streams: Several[Reference] | None = None
    """Those of them, by the names that results go by or globs of these, whose basis is fixed by all that reads and
    writes it, such as a residual stream. There single units can be compared between a network and what was retrained
    of it in part."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file; a value that float16 can't hold is an error, never an infinity."""
    precision: Literal["float32", "bfloat16"] | None = None
    """In which products are computed; null means bfloat16 on a GPU that has it, and float32 elsewhere."""
    batch_size: Count | None = None
    """Inputs of a forward pass; null finds how many: about 2,048 positions on a CPU, on a GPU 16,384 or what fits."""

    def named(self) -> dict[str, str]:
        """Hook points by the names that results go by."""
        points = self.hook_points
        return dict(points) if isinstance(points, dict) else {point: point for point in points}

    def fixed(self) -> list[str]:
        """The names of streams."""
        known = list(self.named())
        found = (chosen(text, known) if is_glob(text) else [text] for text in self.streams or [])
        return list(dict.fromkeys(name for names in found for name in names))


class NetworkModel(Options):
    """Any torch module, read here on a corpus. Its runs are checkpoints of others, or trainings here, by their seed."""

    network: NetworkSource
    """Where it comes from."""
    data: Corpus
    """What it is fed, equal for all runs."""
    fallback: Corpus | None = None
    """What it is fed instead where the files of `data` aren't there."""
    objective: Literal["next_token", "label"] | None = None
    """What it is trained for, here or elsewhere: the next token of a text, or the class of each input."""
    training: TrainingOptions | None = None
    """How its weights are found, from those on that the network is made with; null: it is read as it is made."""
    activations: ReadingOptions = ReadingOptions()
    """What is recorded."""

    @property
    def hook_points(self) -> list[str]:
        """The names of what is recorded."""
        return list(self.activations.named())

    @cached_property
    def fed(self) -> Any:
        """The corpus: `data`, or `fallback` where the files of `data` aren't there."""
        return self.data if self.fallback is None or self.data.is_there() else self.fallback


class NetworkRecipe(Options):
    """All that a run of such a network needs but its seed: inheritance worked out, nothing left to look up."""

    network: NetworkSource
    """Where the first ancestor comes from."""
    made_as: int | None
    """Which of its runs that is, of a network that was retrained in part; None: the run's own seed."""
    data: Corpus
    """What it is fed."""
    objective: Objective | None
    """What it is trained for, if that is known."""
    training: TrainingOptions | None
    """How its weights are found; None where others found them."""
    activations: ReadingOptions
    """What is recorded."""
    parent: Parent | None = None
    """The run to start from, if any."""
    reinitialise: list[str] = Field(default=[])
    """Modules or parameters that are drawn anew and trained; empty without a parent."""

    @property
    def hook_points(self) -> list[str]:
        """The names of what is recorded."""
        return list(self.activations.named())

    @property
    def listed(self) -> int | None:
        """How many runs there are, where they are listed."""
        source = self.network
        listed = isinstance(source, TransformersNetwork) and self.parent is None
        lists = [source.transformers, source.revision] if listed and isinstance(source, TransformersNetwork) else []
        counts = [len(one) for one in lists if isinstance(one, list)]
        return min(counts) if counts else None

    def number(self, seed: int) -> int:
        """Which run of the network's source a run is made from."""
        return seed if self.made_as is None else self.made_as


def network_recipe(model: NetworkModel) -> NetworkRecipe:
    """That of a network without a parent."""
    return NetworkRecipe.model_construct(
        network=model.network,
        made_as=None,
        data=model.fed,
        objective=model.objective,
        training=model.training,
        activations=model.activations,
        parent=None,
        reinitialise=[],
    )


def retrained_recipe(
    parent: NetworkRecipe,
    base: Parent,
    reinitialise: list[str],
    objective: Objective | None,
    training: TrainingOptions | None,
) -> NetworkRecipe:
    """That of a network of which parts are trained again: what isn't said is as it is of its `parent`."""
    return parent.model_copy(
        update={
            "made_as": parent.number(base.seed),
            "objective": objective or parent.objective,
            "training": training or parent.training,
            "parent": base,
            "reinitialise": reinitialise,
        }
    )
