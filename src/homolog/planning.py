"""Which slice of config.yaml does each job need: its spec, complete and nothing more, and the code it can reach."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from homolog.config import Config
from homolog.config.decompositions import DecompositionOptions, Fitted
from homolog.config.experiments import OF_ACTIVATIONS, MadeExperiment, RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.methods import NMFOptions
from homolog.config.models import ExternalOptions, Recipe
from homolog.config.sparse_autoencoders import JointOptions, SparseAutoencoderOptions, TopKOptions
from homolog.provenance import canonical_json, code_fingerprint
from homolog.registry import ANALYSES, ARCHITECTURES, FIGURES, METHODS, TASKS, VIEWS

UNTRAINED = "-untrained"
REGAUGED = "-regauged-"
GAUSSIAN = "-gaussian"
# Two runs can only be matched: a third one says which matches to trust.
FEWEST_TRACKED = 3
# The group of the runs that others were retrained from, beside the conditions.
BASE = "base"
Spec = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A model's recipe and a seed. Variants of a model: ``<model>-untrained``, ``<model>-regauged-<hook_point>``.

    ``<model>-gaussian`` has dictionaries only, fitted to Gaussian samples of its source's mean and covariance.
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
    def is_gaussian(self) -> bool:
        return self.model.endswith(GAUSSIAN)

    @property
    def regauged(self) -> str | None:
        """The hook point whose units are permuted and rescaled at random, if any."""
        return self.model.partition(REGAUGED)[2] or None

    def untrained(self) -> Run:
        return Run(self.source + UNTRAINED, self.seed)

    def gaussian(self) -> Run:
        return Run(self.source + GAUSSIAN, self.seed)

    def regauge(self, hook_point: str) -> Run:
        return Run(self.source + REGAUGED + hook_point, self.seed)


@dataclass(frozen=True)
class Pair:
    """Two runs to compare, the untrained pair that answers to them if there is one, and their units of replication."""

    condition: str
    kind: str
    a: Run
    b: Run
    initial_a: Run | None
    initial_b: Run | None
    unit_a: str
    unit_b: str

    def spec(self) -> Spec:
        return {key: str(value) if isinstance(value, Run) else value for key, value in vars(self).items()}


class Plan:
    """Specs and dependencies of all jobs that a config asks for. Needs no torch, so that planning is quick."""

    def __init__(self, config: Config, source_root: Path, scripts: Path) -> None:
        self.config, self.source_root, self.scripts = config, source_root, scripts

    def code(self, script: str, spec: str) -> str:
        """Fingerprint of a script with all that it reaches, the modules that its spec names included."""
        return code_fingerprint(self.scripts / script, self.source_root, spec)

    # Runs

    def read_by(self, run: Run) -> Run:
        """The run whose activations are decomposed: its own, or of Gaussian samples the source's."""
        return Run(run.source, run.seed) if run.is_gaussian else run

    def parent(self, run: Run) -> Run | None:
        """The finished run that this one starts from."""
        if run.regauged:
            return Run(run.source, run.seed)
        if self.config.external(run.source):
            return None
        parent = self._recipe(run).parent
        return Run(parent.model, parent.seed) if parent else None

    def train(self, run: Run) -> str:
        recipe = self._recipe(run)
        still = run.is_untrained or run.regauged
        return self._spec(
            run={"model": run.source, "seed": run.seed},
            task=self._task(recipe),
            architecture=self._architecture(recipe),
            training={"steps": 0} if still else recipe.training.model_dump(mode="json"),
            reinitialise=[] if run.regauged else recipe.reinitialise,
            symmetry=[run.regauged] if run.regauged else [],
        )

    def dump_activations(self, run: Run) -> str:
        recipe = self._recipe(run)
        return self._spec(
            task=self._task(recipe),
            architecture=self._architecture(recipe),
            **recipe.activations.model_dump(mode="json"),
        )

    def take_activations(self, run: Run) -> str:
        given = self._external(run)
        alone = len(given.hook_points) == 1
        paths = [{"hook_point": name, "path": given.source(run.seed, name)} for name in given.hook_points]
        return self._spec(sources=[{**source, "alone": alone} for source in paths], n_test=given.n_test)

    def recorded(self, run: Run) -> list[str]:
        """Files with the activations of an external run."""
        given = self._external(run)
        return list(dict.fromkeys(given.source(run.seed, name) for name in given.hook_points))

    def take_dictionaries(self, run: Run, hook_point: str, name: str) -> str:
        paths = self._given(name).paths(run.model, run.seed, hook_point)
        return self._spec(name=name, hook_point=hook_point, paths=paths, gauge=self._given(name).gauge)

    def given(self, run: Run, hook_point: str, name: str) -> list[str]:
        """Files of the dictionaries that are given of a run; all files of a folder."""
        return [file for path in self._given(name).paths(run.model, run.seed, hook_point) for file in files_of(path)]

    def decompose(self, run: Run, hook_point: str, name: str) -> str:
        options = self._fitted(name)
        recipe = None if self.config.external(run.source) else self._recipe(run)
        return self._spec(
            # Untrained and regauged share the streams of their source: one is its step 0, the other must equal it. A
            # null must share none.
            run={"model": run.model if run.is_gaussian else run.source, "seed": run.seed},
            **({"gaussian": True} if run.is_gaussian else {}),
            # Of external runs there is no network in which a reconstruction could be spliced.
            task=recipe and self._task(recipe),
            architecture=recipe and self._architecture(recipe),
            name=name,
            hook_point=hook_point,
            partner=next(iter(options.partners()), None),
            method=METHODS[options.method],
            gauge=options.gauge,
            grid=options.expand(),
            labels=options.labels(name),
            # One draw of a null is enough: its seed is compared with all others.
            seeds=options.member_seeds()[: 1 if run.is_gaussian else None],
        )

    # Experiments

    def decompose_jointly(self, name: str, decomposition: str) -> str:
        options, recipes = self._fitted(decomposition), list(map(self._recipe, self.compared(name)))
        return self._spec(
            runs=[str(run) for run in self.compared(name)],
            task=self._task(recipes[0]),
            architectures=[self._architecture(recipe) for recipe in recipes],
            name=decomposition,
            hook_points=self.hook_points(name),
            method=METHODS[options.method],
            gauge=options.gauge,
            grid=options.expand(),
            labels=options.labels(decomposition),
            seeds=options.member_seeds(),
        )

    def analyse(self, name: str) -> str:
        experiment = self.config.experiments[name]
        options = experiment.analysis.model_dump(mode="json", exclude={"name"})
        if isinstance(experiment, MadeExperiment):
            target = ANALYSES[experiment.analysis.name]
            return self._spec(experiment=name, analysis=target, options=options, autoencoder=_autoencoder())
        if any(self.config.external(run.source) for run in self.compared(name)):
            options["views"] = [view for view in options["views"] if view in OF_ACTIVATIONS]
        options["views"] = [VIEWS[view] for view in options["views"]]
        control = self._runs_of(experiment)[0]
        return self._spec(
            experiment=name,
            analysis=ANALYSES[experiment.analysis.name],
            options=options,
            hook_points=experiment.hook_points,
            decompositions=[self._analysed(key) for key in self.decompositions(name, joint=False)],
            gaussian={str(run): str(run.gaussian()) for run in self.with_gaussian(name)},
            gaussian_decompositions=self.gaussian_decompositions(name),
            pairs=[pair.spec() for pair in self.pairs(experiment)],
            references=self._references(experiment),
            controls={point: [str(control), str(control.regauge(point))] for point in self._with_control(experiment)},
        )

    def track(self, name: str) -> str:
        experiment = self._of_runs(name)
        return self._spec(
            experiment=name,
            options={**experiment.tracks.model_dump(mode="json"), "tolerance": experiment.comparison.tolerance},
            hook_points=experiment.hook_points,
            decompositions=self._gauges(name, joint=False),
            joint=self._gauges(name, joint=True),
            runs=[str(run) for run in self.compared(name)],
            groups=self._groups(experiment),
            changes=self._changes(experiment),
            wider=[pair for key in self.decompositions(name) for pair in _wider(self.config.decompositions[key], key)],
            references=self._references(experiment),
        )

    def plot(self, name: str) -> str:
        return self._spec(experiment=name, figure=FIGURES[self.config.experiments[name].figure])

    def plot_waterfall(self, name: str) -> str:
        return self._spec(experiment=name)

    def plot_training(self, name: str) -> str:
        # Not the gauge control: its curves are its original's.
        shown = [run for run in self.runs(name) if not run.regauged]
        return self._spec(experiment=name, untrained={str(run): run.is_untrained for run in shown})

    def plot_tracks(self, name: str) -> str:
        return self._spec(experiment=name)

    def plot_crosscoder(self, name: str) -> str:
        return self._spec(experiment=name, decompositions=self.decompositions(name, joint=True))

    def decompositions(self, name: str, joint: bool = False) -> list[str]:
        """An experiment's decompositions of each run by itself, or those of all its runs together."""
        known, experiment = self.config.decompositions, self.config.experiments[name]
        given = experiment.decompositions if isinstance(experiment, RunsExperiment) else []
        return [key for key in given if isinstance(known[key], JointOptions) == joint]

    def hook_points(self, name: str) -> list[str]:
        """Where an experiment compares its runs."""
        experiment = self.config.experiments[name]
        return experiment.hook_points if isinstance(experiment, RunsExperiment) else []

    def has_tracks(self, name: str) -> bool:
        """Whether an experiment compares enough runs for latents to be tracked; two can only be matched.

        Not of external runs: what they were before training, which tracks are held against, nobody knows.
        """
        compared = self.compared(name)
        return len(compared) >= FEWEST_TRACKED and not any(self.config.external(run.source) for run in compared)

    def tracked(self, name: str) -> list[Run]:
        """The runs that tracks are read from: compared ones, and what they were before training."""
        pairs = self.pairs(self._of_runs(name))
        before = [run for pair in pairs for run in (pair.initial_a, pair.initial_b) if run]
        return list(dict.fromkeys([*self.compared(name), *before]))

    def compared(self, name: str) -> list[Run]:
        """The runs that an experiment compares, without their untrained and regauged variants."""
        experiment = self.config.experiments[name]
        return self._runs_of(experiment) if isinstance(experiment, RunsExperiment) else []

    def runs(self, name: str) -> list[Run]:
        """Every run that an experiment reads: compared ones, their untrained counterparts, and the gauge control."""
        experiment = self.config.experiments[name]
        if isinstance(experiment, MadeExperiment):
            return []
        pairs = self.pairs(experiment)
        found = [run for pair in pairs for run in (pair.a, pair.b, pair.initial_a, pair.initial_b) if run]
        control = self._runs_of(experiment)[0]
        found += [control, *(control.regauge(point) for point in self._with_control(experiment))]
        return list(dict.fromkeys(found))

    def with_gaussian(self, name: str) -> list[Run]:
        """Runs that stand second in a pair, whose dictionaries the Gaussian null replaces, if it is asked for."""
        experiment = self.config.experiments[name]
        asked = isinstance(experiment, RunsExperiment) and experiment.comparison.gaussian
        pairs = self.pairs(self._of_runs(name)) if asked else []
        return list(dict.fromkeys(pair.b for pair in pairs))

    def gaussian_decompositions(self, name: str) -> list[str]:
        """All that are fitted here, but those that need activations without a sign, which Gaussian samples have."""
        known = self.config.decompositions
        return [key for key in self.decompositions(name) if not isinstance(known[key], NMFOptions | GivenOptions)]

    def pairs(self, experiment: RunsExperiment) -> list[Pair]:
        """Base against retrained and retrained against retrained of one base; or all pairs trained independently."""
        found = []
        for label, condition in experiment.conditions.items():
            groups = {model: [Run(model, seed) for seed in condition.seeds] for model in condition.models}
            external = {model: self.config.external(model) is not None for model in groups}
            parents = {model: None if external[model] else self.config.resolve(model).parent for model in groups}
            several = len({(parent.model, parent.seed) for parent in parents.values() if parent}) > 1
            for model, runs in groups.items():
                parent = parents[model]
                base = Run(parent.model, parent.seed) if parent else None
                if base:
                    found += [_with_base(label, base, run, several) for run in runs]
                kind = "retrained-retrained" if base else "independent"
                for a, b in combinations(runs, 2):
                    units = [str(base)] * 2 if several and base else [str(a), str(b)]
                    before = [None if external[model] else run.untrained() for run in (a, b)]
                    found.append(Pair(label, kind, a, b, before[0], before[1], units[0], units[1]))
        return found

    def _gauges(self, name: str, joint: bool) -> list[Spec]:
        return [
            {"name": key, "gauge": self.config.decompositions[key].gauge} for key in self.decompositions(name, joint)
        ]

    def _groups(self, experiment: RunsExperiment) -> list[tuple[str, list[Spec]]]:
        """The bases, if any, and each condition's runs, with unit, base and what they were before training."""
        groups: dict[str, dict[str, Spec]] = {}
        for pair in self.pairs(experiment):
            base = str(pair.a) if pair.kind == "base-retrained" else ""
            if base:
                as_base = {"run": base, "unit": base, "base": base, "initial": base}
                groups.setdefault(BASE, {})[base] = as_base
            ends = [(pair.b, pair.initial_b, pair.unit_b)]
            if pair.kind == "independent":
                ends.insert(0, (pair.a, pair.initial_a, pair.unit_a))
            if pair.kind != "retrained-retrained":
                for run, initial, unit in ends:
                    facts = {"run": str(run), "unit": unit, "base": base, "initial": str(initial)}
                    groups.setdefault(pair.condition, {})[str(run)] = facts
        return [(name, list(members.values())) for name, members in groups.items()]

    def _changes(self, experiment: RunsExperiment) -> list[Spec]:
        """From a base to its retrainings, and from a run before its redrawn weights were trained to what it became."""
        found = []
        for name, members in self._groups(experiment):
            if name != BASE:
                found += [("retrained", name, one["base"], one["run"]) for one in members if one["base"]]
                found += [("trained", name, one["initial"], one["run"]) for one in members]
        return [dict(zip(("kind", "group", "before", "after"), one, strict=True)) for one in dict.fromkeys(found)]

    def _analysed(self, name: str) -> Spec:
        """A decomposition as the analysis needs it; the method of those that are trained, for their step 0."""
        options = self.config.decompositions[name]
        trained = isinstance(options, SparseAutoencoderOptions)
        return {"name": name, "gauge": options.gauge, **({"start": METHODS[options.method]} if trained else {})}

    def _of_runs(self, name: str) -> RunsExperiment:
        experiment = self.config.experiments[name]
        if not isinstance(experiment, RunsExperiment):
            raise ValueError(f"{name} makes its worlds itself, and compares no runs.")
        return experiment

    def _runs_of(self, experiment: RunsExperiment) -> list[Run]:
        pairs = self.pairs(experiment)
        return list(dict.fromkeys(run for pair in pairs for run in (pair.a, pair.b)))

    def _with_control(self, experiment: RunsExperiment) -> list[str]:
        """Hook points that a symmetry of the network describes anew; logits have but a shift, external runs none."""
        if self.config.external(self._runs_of(experiment)[0].source):
            return []
        described = self._recipe(self._runs_of(experiment)[0]).architecture.with_symmetry()
        return [point for point in experiment.hook_points if point in described]

    def _references(self, experiment: RunsExperiment) -> dict[str, list[str]]:
        """For each run, the runs whose loss it must match: its base; or, trained independently, all of its model.

        None for external runs, whose losses nobody knows.
        """
        runs = self._runs_of(experiment)
        parents = {run: self.parent(run) for run in runs}
        return {
            str(run): [str(parents[run])]
            if parents[run]
            else [str(other) for other in runs if other.model == run.model and not self.config.external(run.source)]
            for run in runs
        }

    # Parts of specs

    def _spec(self, **parts: Any) -> str:
        return canonical_json({"threads": self.config.threads, **parts})

    def _recipe(self, run: Run) -> Recipe:
        return self.config.resolve(run.source)

    def _external(self, run: Run) -> ExternalOptions:
        external = self.config.external(run.model)
        if external is None:
            raise ValueError(f"{run} is no run of an external model.")
        return external

    def _fitted(self, name: str) -> Fitted:
        options = self.config.decompositions[name]
        if isinstance(options, GivenOptions):
            raise ValueError(f"{name} is given, and nothing is fitted.")
        return options

    def _given(self, name: str) -> GivenOptions:
        options = self.config.decompositions[name]
        if not isinstance(options, GivenOptions):
            raise ValueError(f"{name} is fitted, not given.")
        return options

    def _task(self, recipe: Recipe) -> Spec:
        options = recipe.task.model_dump(mode="json")
        return {"target": TASKS[options.pop("name")], **options}

    def _architecture(self, recipe: Recipe) -> Spec:
        options = recipe.architecture.model_dump(mode="json")
        return {"target": ARCHITECTURES[options.pop("name")], **options}


def _wider(options: DecompositionOptions, name: str) -> list[tuple[str, str]]:
    """Grid points that differ in their number of latents alone, each with the next larger one, by their labels."""
    points = list(zip(options.expand(), options.labels(name), strict=True))
    rest = [{key: value for key, value in point.items() if key != "n_latents"} for point, _ in points]
    found = []
    for i, (point, label) in enumerate(points):
        larger = [
            (other["n_latents"], wide)
            for j, (other, wide) in enumerate(points)
            if rest[i] == rest[j] and other["n_latents"] > point["n_latents"]
        ]
        found += [(label, min(larger)[1])] if larger else []
    return found


def files_of(path: str) -> list[str]:
    """A file itself; of a folder its files, so that a change in one of them is seen."""
    folder = Path(path)
    return sorted(str(file) for file in folder.iterdir() if file.is_file()) if folder.is_dir() else [path]


def show_to_jobs(source_root: Path) -> None:
    """Let the Python of every job find the package in `source_root` first: what runs is what is fingerprinted."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(source_root), *([inherited] if inherited else [])])


def _autoencoder() -> Spec:
    """The autoencoder of analyses that make their worlds themselves: small, and quick on small data."""
    options = TopKOptions(method="topk_sae", n_latents=24, k=2, steps=250, batch_size=64, lr=1e-2)
    return {"target": METHODS[options.method], "options": options.expand()[0]}


def _with_base(condition: str, base: Run, run: Run, several: bool) -> Pair:
    """A retraining beside its base. With several bases, these are what is replicated; else the retrainings are."""
    unit = str(base) if several else str(run)
    return Pair(condition, "base-retrained", base, run, base, run.untrained(), str(base), unit)


@cache
def run_of(model: str, seed: str) -> Run:
    """The run that the wildcards of a path name."""
    return Run(model, int(seed))
