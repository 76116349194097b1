"""Which runs does an experiment read, which of them does it compare, and by which decompositions?"""

from __future__ import annotations

from functools import cached_property

from homolog.config import Config
from homolog.config.analyses import StabilityOptions
from homolog.config.experiments import RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.methods import NMFOptions
from homolog.config.sparse_autoencoders import JointOptions
from homolog.planning.pairs import Pair, pairs_of
from homolog.planning.runs import Run, is_external, is_trained, parent, recipe

# Two runs can only be matched: a third one says which matches to trust.
FEWEST_TRACKED = 3


class PlannedExperiment:
    """An experiment with its runs worked out; there are none where its analysis makes its worlds itself."""

    def __init__(self, config: Config, name: str) -> None:
        self.config, self.name, self.options = config, name, config.experiments[name]

    @property
    def of_runs(self) -> RunsExperiment:
        """Its options, of an experiment that compares runs; a ValueError for others."""
        if not isinstance(self.options, RunsExperiment):
            raise ValueError(f"{self.name} makes its worlds itself, and compares no runs.")
        return self.options

    @cached_property
    def pairs(self) -> list[Pair]:
        return pairs_of(self.config, self.options) if isinstance(self.options, RunsExperiment) else []

    @property
    def hook_points(self) -> list[str]:
        """Where it compares its runs."""
        return self.options.hook_points if isinstance(self.options, RunsExperiment) else []

    # Runs

    @property
    def compared(self) -> list[Run]:
        """The runs that it compares, without their untrained and regauged variants."""
        return list(dict.fromkeys(run for pair in self.pairs for run in (pair.a, pair.b)))

    @property
    def runs(self) -> list[Run]:
        """Every run that it reads: compared ones and, where it asks which latents come back, their untrained
        counterparts and the gauge control.
        """
        sides = ("a", "b", "initial_a", "initial_b") if self.is_stability else ("a", "b")
        found = [run for pair in self.pairs for side in sides if (run := getattr(pair, side))]
        found += [run for of_point in self.controls.values() for run in of_point]
        return list(dict.fromkeys(found))

    @property
    def controls(self) -> dict[str, list[Run]]:
        """The gauge control: by hook point, a run and the same run in a random gauge.

        Where a symmetry of the network describes a hook point anew; logits have but a shift, external runs none.
        """
        control = next(iter(self.compared), None)
        if control is None or not self.is_stability or is_external(self.config, control):
            return {}
        described = recipe(self.config, control).architecture.with_symmetry()
        return {point: [control, control.regauge(point)] for point in self.hook_points if point in described}

    @property
    def with_gaussian(self) -> list[Run]:
        """Runs that stand second in a pair, whose dictionaries the Gaussian null replaces, if it is asked for."""
        analysis = self.options.analysis
        asked = isinstance(analysis, StabilityOptions) and analysis.gaussian
        return list(dict.fromkeys(pair.b for pair in self.pairs)) if asked else []

    @property
    def is_stability(self) -> bool:
        """Whether it asks which latents come back, so that there are a waterfall, a gauge control and tracks."""
        return isinstance(self.options.analysis, StabilityOptions)

    @property
    def has_tracks(self) -> bool:
        """Whether it compares enough runs for latents to be tracked; two can only be matched."""
        return self.is_stability and len(self.compared) >= FEWEST_TRACKED

    @property
    def tracked(self) -> list[Run]:
        """The runs that tracks are read from: compared ones, and what they were before training."""
        before = [run for pair in self.pairs for run in (pair.initial_a, pair.initial_b) if run]
        return list(dict.fromkeys([*self.compared, *before]))

    @property
    def references(self) -> dict[str, list[str]]:
        """For each run, the runs whose loss it must match: its base; or, trained independently, all of its model.

        What others trained need match nothing: none. A run before the end of its training is taken as it is: itself.
        """
        known = [run for run in self.compared if is_trained(self.config, run)]
        found = {}
        for run in self.compared:
            others = [other for other in known if other.model == run.model]
            base = parent(self.config, run)
            others = [run] if run.step is not None else [base] if base else others
            found[str(run)] = [str(other) for other in others]
        return found

    # Decompositions

    @property
    def decompositions(self) -> list[str]:
        """Those of each run by itself."""
        return self._decompositions(joint=False)

    @property
    def joint_decompositions(self) -> list[str]:
        """Those of all its runs together."""
        return self._decompositions(joint=True)

    @property
    def gaussian_decompositions(self) -> list[str]:
        """All that are fitted here, but those that need activations without a sign, which Gaussian samples have."""
        known = self.config.decompositions
        return [key for key in self.decompositions if not isinstance(known[key], NMFOptions | GivenOptions)]

    def _decompositions(self, joint: bool) -> list[str]:
        known = self.config.decompositions
        named = self.options.decompositions if isinstance(self.options, RunsExperiment) else []
        return [key for key in named if isinstance(known[key], JointOptions) == joint]
