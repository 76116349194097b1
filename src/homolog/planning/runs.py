"""What is a run, which variants of a model are there without being declared, and what does the config say of a run?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homolog.config import Config
from homolog.config.models import Recipe
from homolog.registry import ARCHITECTURES, TASKS

UNTRAINED = "-untrained"
STEP = "-step_"
REGAUGED = "-regauged-"
GAUSSIAN = "-gaussian"
Spec = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A model's recipe and a seed. Variants of a model: ``<model>-untrained``, ``<model>-regauged-<hook_point>``.

    ``<model>-step_<n>`` is the same run after so many steps of its training. ``<model>-gaussian`` has dictionaries
    only, fitted to Gaussian samples of its source's mean and covariance.
    """

    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}/seed_{self.seed}"

    @property
    def source(self) -> str:
        """The model in the config that this run is, or is a variant of."""
        return self.model.partition("-")[0]

    @property
    def is_untrained(self) -> bool:
        return self.model.endswith(UNTRAINED)

    @property
    def step(self) -> int | None:
        """The step of training that it stands at, where that isn't the last."""
        step = self.model.partition(STEP)[2]
        return int(step) if step else 0 if self.is_untrained else None

    @property
    def is_gaussian(self) -> bool:
        return self.model.endswith(GAUSSIAN)

    @property
    def regauged(self) -> str | None:
        """The hook point whose units are permuted and rescaled at random, if any."""
        return self.model.partition(REGAUGED)[2] or None

    @property
    def recorded(self) -> Run:
        """The run whose activations are decomposed: this one, or of Gaussian samples the source's."""
        return Run(self.source, self.seed) if self.is_gaussian else self

    def untrained(self) -> Run:
        return Run(self.source + UNTRAINED, self.seed)

    def at_step(self, step: int) -> Run:
        """The same run after so many steps of its training."""
        return Run(f"{self.source}{STEP}{step}", self.seed) if step else self.untrained()

    def gaussian(self) -> Run:
        return Run(self.source + GAUSSIAN, self.seed)

    def regauge(self, hook_point: str) -> Run:
        return Run(self.source + REGAUGED + hook_point, self.seed)


def is_external(config: Config, run: Run) -> bool:
    """Whether it has no task: others recorded it, or it is a network that is known by its modules alone."""
    return config.external(run.source) is not None or config.network(run.source) is not None


def is_trained(config: Config, run: Run) -> bool:
    """Whether it is trained here, so that there are weights, a loss and a step 0."""
    network = config.network(run.source)
    return network.training is not None if network else config.external(run.source) is None


def has_objective(config: Config, run: Run) -> bool:
    """Whether it is a network by its modules of which it is known what it was trained for, by us or by others."""
    network = config.network(run.source)
    return network is not None and network.objective is not None


def parent(config: Config, run: Run) -> Run | None:
    """The finished run that this one starts from."""
    if run.regauged:
        return Run(run.source, run.seed)
    if config.external(run.source) is not None:
        return None
    given = (config.network(run.source) or recipe(config, run)).parent
    return Run(given.model, given.seed) if given else None


def recipe(config: Config, run: Run) -> Recipe:
    """All that a run needs but its seed, inheritance worked out."""
    return config.resolve(run.source)


def task(recipe: Recipe) -> Spec:
    """The data set, as jobs build it."""
    options = recipe.task.model_dump(mode="json")
    return {"target": TASKS[options.pop("name")], **options}


def architecture(recipe: Recipe) -> Spec:
    """The network, as jobs build it."""
    options = recipe.architecture.model_dump(mode="json")
    return {"target": ARCHITECTURES[options.pop("name")], **options}
