"""Can names become folders, files and groups that every file system keeps apart, and can paths be read?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

from homolog.config.base import LONGEST_HOOK_POINT
from homolog.config.experiments import RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.models import ExternalModel, TrainedModel, filled
from homolog.config.network_models import NetworkModel
from homolog.config.networks import PythonNetwork
from homolog.config.problems import Names, Path, Problem, listed, shortened
from homolog.config.root import RESERVED, Config
from homolog.config.tasks import FashionMNISTOptions

_HOOK_POINT = re.compile(r"\w+(\.\w+)*", re.ASCII)
# What stands beside the hook points of an external run, in its folder and in its activations.h5.
TAKEN = (
    *("activations.h5", "logs", "benchmarks", "sample", "split", "half", "input_id", "label"),
    *("position", "token_id", "document"),
)


def check_names(config: Config, names: Mapping[str, Names]) -> Iterator[Problem]:
    """Names that mean something already, hook points that can't be paths, and names that fall together."""
    for name in names["experiments"].known:
        if name in RESERVED:
            yield (
                ("experiments", name),
                f"this is the name of a rule; taken: {listed(RESERVED)}; rename the experiment",
            )
    for name, experiment in config.experiments.items():
        for collection in experiment.collections or []:
            if collection in (*RESERVED, *names["experiments"].known):
                yield (
                    ("experiments", name, "collections"),
                    f"{shortened(collection)}, which is the name of a rule or an experiment; allowed: names that build "
                    "nothing else; rename the collection",
                )
    for section in names.values():
        yield from _alike((section.section,), section.known, str.casefold, "case")
    for name, model in config.models.items():
        if isinstance(model, ExternalModel):
            here = ("models", name, "external", "hook_points")
            yield from _check_hook_points(here, model.external.hook_points)
            yield from _alike(here, model.external.hook_points, str.casefold, "case")
        elif isinstance(model, NetworkModel):
            here = ("models", name, "activations", "hook_points")
            # Of others it is said how a name of one's own is given.
            yield from _check_hook_points(here, filter(is_hook_point, model.hook_points))
            yield from _alike(here, model.hook_points, str.casefold, "case")
    for name, experiment in config.experiments.items():
        if isinstance(experiment, RunsExperiment):
            yield from _alike(("experiments", name, "conditions"), experiment.conditions, _composed, "Unicode form")
    yield from _check_paths(config)


def _check_paths(config: Config) -> Iterator[Problem]:
    """Braces that nothing fills in: Snakemake would take them for wildcards."""
    for name, model in config.models.items():
        if isinstance(model, ExternalModel):
            paths = model.external.activations
            yield from _braces(("models", name, "external", "activations"), paths, "seed", "hook_point")
        elif isinstance(model, NetworkModel):
            network = model.network
            places = (network.files or []) if isinstance(network, PythonNetwork) else network.transformers
            yield from _braces(("models", name, "network"), places, "seed", "step")
            for key, corpus in (("data", model.data), ("fallback", model.fallback)):
                yield from _braces(("models", name, key), getattr(corpus, "path", []))
        elif isinstance(model, TrainedModel) and isinstance(model.task, FashionMNISTOptions):
            yield from _braces(("models", name, "task", "path"), model.task.path)
    for name, one in config.decompositions.items():
        if isinstance(one, GivenOptions):
            yield from _braces(("decompositions", name, "path"), one.path or [], "model", "seed", "hook_point")
            for run, path in (one.by_run or {}).items():
                yield from _braces(("decompositions", name, "by_run", run), path, "hook_point")


def _braces(here: Path, paths: str | list[str], *known: str) -> Iterator[Problem]:
    for path in [paths] if isinstance(paths, str) else paths:
        if {"{", "}"} & set(filled(path, **dict.fromkeys(known, ""))):
            filling = listed(f"{{{name}}}" for name in known)
            yield here, f"{shortened(path)}; allowed: no braces but {filling}; rename the file or the folder"


def is_hook_point(name: str) -> bool:
    """Whether results can go by this name: letters, digits, underscores and dots between them."""
    return bool(_HOOK_POINT.fullmatch(name)) and len(name) <= LONGEST_HOOK_POINT


def _check_hook_points(path: Path, points: Iterable[str]) -> Iterator[Problem]:
    for point in points:
        if not is_hook_point(point):
            yield (
                path,
                f"{shortened(point)}; allowed: letters, digits, underscores and dots between them, at most "
                f"{LONGEST_HOOK_POINT}, as results go by it; write dots for the slashes of an HDF5 file, or rename it",
            )
        elif point.casefold() in TAKEN:
            yield (
                path,
                f"{shortened(point)}; allowed: any other name than {listed(TAKEN)}, which stand beside hook points; "
                "rename the array, or give files with one array each, whose hook point is free",
            )


def _alike(path: Path, names: Iterable[str], form: Callable[[str], str], differ: str) -> Iterator[Problem]:
    """Names that some file systems, or eyes, take for one."""
    first: dict[str, str] = {}
    for name in names:
        before = first.setdefault(form(name), name)
        if before != name:
            yield (
                (*path, name),
                f"differs from {shortened(before)} by its {differ} alone; allowed: names that every file system and "
                "reader keeps apart; rename one of them",
            )


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
