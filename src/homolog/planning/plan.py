"""What does each job need of the config: its spec, which stands in its params?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from homolog.config import Config
from homolog.planning import experiment_specs, run_specs
from homolog.planning.experiments import PlannedExperiment
from homolog.planning.runs import Run, Spec
from homolog.provenance import canonical_json

# A rule, its script and what makes its spec share one name.
SPECS: dict[str, Callable[..., Spec]] = {
    "train": run_specs.train,
    "train_network": run_specs.train_network,
    "dump_activations": run_specs.dump_activations,
    "take_activations": run_specs.take_activations,
    "dump_network": run_specs.dump_network,
    "decompose": run_specs.decompose,
    "take_dictionaries": run_specs.take_dictionaries,
    "decompose_jointly": experiment_specs.decompose_jointly,
    "analyse": experiment_specs.analyse,
    "track": experiment_specs.track,
    "plot": experiment_specs.plot,
    "plot_waterfall": experiment_specs.plot_waterfall,
    "plot_training": experiment_specs.plot_training,
    "plot_tracks": experiment_specs.plot_tracks,
    "plot_crosscoder": experiment_specs.plot_crosscoder,
    "atlas": experiment_specs.atlas,
    "export": experiment_specs.export,
    "export_tracks": experiment_specs.export_tracks,
}


class Plan:
    """The specs of all jobs that a config asks for, by the name of their rule and what their paths name.

    A spec is one string with sorted keys that holds the slice of the config that can change the job's output.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._specs: dict[tuple[Any, ...], str] = {}

    def spec(self, rule: str, **job: Run | str) -> str:
        """The spec of a job: of a `run`, of its `hook_point` and `decomposition`, or of an `experiment`."""
        key = (rule, *job.items())
        if key not in self._specs:
            self._specs[key] = canonical_json({"threads": self.config.threads, **SPECS[rule](self.config, **job)})
        return self._specs[key]

    def targets(self) -> dict[str, list[str]]:
        """The experiments that a name builds: its own for each of them, and those of each collection."""
        experiments = self.config.experiments
        found = {name: [name] for name in experiments}
        for name, experiment in experiments.items():
            for collection in experiment.collections or []:
                found.setdefault(collection, []).append(name)
        return found

    def experiment(self, name: str) -> PlannedExperiment:
        """What an experiment reads and compares."""
        return PlannedExperiment(self.config, name)


def job_of(wildcards: Mapping[str, str]) -> dict[str, Any]:
    """What the wildcards of a path name, as specs are asked for: a run in place of a model and a seed."""
    # The name of an analysis follows from its experiment, and the kind of a table is no content.
    job: dict[str, Any] = {name: value for name, value in wildcards.items() if name not in ("analysis", "kind")}
    if "model" in job:
        job["run"] = Run(job.pop("model"), int(job.pop("seed")))
    return job
