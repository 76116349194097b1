"""Are the files there that models from outside and given dictionaries name, and do they answer to each other?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homolog.config.analyses import OF_ACTIVATIONS, OF_CODES
from homolog.config.experiments import RunsExperiment
from homolog.config.given import GivenOptions
from homolog.config.network_models import NetworkModel, NetworkRecipe
from homolog.config.problems import Path as Place
from homolog.config.problems import Problem, dotted
from homolog.config.root import Config
from homolog.networks.files import other_vocabulary

if TYPE_CHECKING:
    import numpy as np

    from homolog.store.recorded import Header

Run = tuple[str, int]


def check_files(config: Config, source: str = "config.yaml") -> list[str]:
    """One line for each thing that is wrong with a file; paths are relative to the working folder.

    Only headers and `input_id` are read, and nothing where there is no external model. Networks that optional
    experiments alone compare may be absent until one of these is asked for: then `check_network_files` tells.
    """
    found = [problem for name in config.models for problem in _check_network(config, name, _seeds_of(config, name))]
    if any(config.external(name) for name in config.models):
        found += [problem for name in config.experiments for problem in _check_experiment(config, name)]
    return _lines(found, source)


def check_network_files(config: Config, name: str, source: str = "config.yaml") -> list[str]:
    """The same for one network that is known by its modules, whichever experiments compare it."""
    return _lines(_check_network(config, name, _seeds_of(config, name, optional=True)), source)


def _lines(found: Iterable[Problem], source: str) -> list[str]:
    return list(dict.fromkeys(f"{source}: {dotted(path)}: {text}" for path, text in found))


def fallbacks(config: Config, models: Iterable[str]) -> list[str]:
    """A line for each of these models that is fed something else than its `data`, whose files aren't there."""
    lines = []
    for name in dict.fromkeys(models):
        entry = config.models.get(name)
        if isinstance(entry, NetworkModel) and entry.fallback is not None and entry.fed is entry.fallback:
            lines.append(f"{name}: {entry.data.name} isn't there, so it is fed {entry.fallback.name}, its fallback")
    return lines


def _check_network(config: Config, name: str, seeds: list[int]) -> Iterator[Problem]:
    """Are the checkpoints of a network's runs there, and of one shape?"""
    model = config.network(name)
    if model is None:
        return
    known: tuple[int, dict[str, list[int]]] | None = None
    for seed in seeds:
        number = model.number(seed)
        if problem := model.network.problem(number):
            yield ("models", name, "network"), f"seed {number}: {problem}"
            continue
        try:
            shapes = model.network.shapes(number)
        except (ValueError, OSError) as error:
            yield ("models", name, "network"), f"seed {seed}: {str(error).rstrip('.')}"
            continue
        if problem := _other_tokenizer(model, number):
            yield ("models", name, "data", "tokenizer"), f"seed {seed}: {problem}"
        first, expected = known = known or (seed, shapes)
        if shapes != expected:
            one = min(key for key in shapes.keys() | expected.keys() if shapes.get(key) != expected.get(key))
            yield (
                ("models", name, "network"),
                f"seed {seed}: {one} has shape {shapes.get(one)}, and that of seed {first} {expected.get(one)}; "
                "allowed: checkpoints of one architecture; make models of their own of them",
            )


def _other_tokenizer(model: NetworkRecipe, number: int) -> str | None:
    """How a text's tokens differ from those that a model's own folder brings a tokenizer for."""
    named, own = getattr(model.data, "tokenizer", None), model.network.tokenizer(number)
    if named is None or own is None:
        return None
    return other_vocabulary(named, own)


def _seeds_of(config: Config, name: str, optional: bool = False) -> list[int]:
    """The runs of a model that experiments compare, optional ones too if asked for."""
    return sorted(
        {
            seed
            for experiment in config.experiments.values()
            if isinstance(experiment, RunsExperiment) and (optional or not experiment.optional)
            for condition in experiment.conditions.values()
            if name in condition.models
            for seed in condition.seeds
        }
    )


def _check_experiment(config: Config, name: str) -> Iterator[Problem]:
    experiment = config.experiments[name]
    if not isinstance(experiment, RunsExperiment):
        return
    runs = [
        (model, seed)
        for condition in experiment.conditions.values()
        for model in condition.models
        for seed in condition.seeds
        if config.external(model)
    ]
    sizes: dict[Run, int] = {}
    for model, seed in dict.fromkeys(runs):
        here = ("models", model, "external", "activations")
        try:
            sizes[model, seed] = _rows_of(config, model, seed)
            yield from _check_sizes(config, experiment, model, seed, sizes[model, seed])
        except ValueError as error:
            yield here, f"seed {seed}: {error}"
    yield from _check_same_inputs(config, ("experiments", name, "conditions"), sizes)
    for key in experiment.decompositions:
        options = config.decompositions[key]
        if isinstance(options, GivenOptions):
            for model, seed in dict.fromkeys(runs):
                for point in experiment.hook_points:
                    yield from _check_given(("decompositions", key), options.paths(model, seed, point))


def _rows_of(config: Config, model: str, seed: int) -> int:
    """Rows of a run, equal for all its hook points; a ValueError says what is wrong with its files."""
    rows = {name: header.shape[0] for name, header in _hook_points(config, model, seed).items()}
    first = next(iter(rows))
    for name in rows:
        if rows[name] != rows[first]:
            raise ValueError(
                f"{name} has {rows[name]} rows, and {first} {rows[first]}; allowed: equal numbers; record every hook "
                "point on the same inputs"
            )
    return rows[first]


def _hook_points(config: Config, model: str, seed: int) -> dict[str, Header]:
    """Shape and type of each hook point's array."""
    from homolog.store.recorded import array_of, headers

    given = config.external(model)
    found = {}
    for point in given.hook_points if given else ():
        path = Path(given.source(seed, point)) if given else Path()
        arrays = headers(path)
        found[point] = arrays[array_of(path, arrays, point, alone=given is not None and len(given.hook_points) == 1)]
    return found


def _check_sizes(config: Config, experiment: RunsExperiment, model: str, seed: int, rows: int) -> Iterator[Problem]:
    """Rows must be enough for the split, and for the null of directions."""
    from homolog.store.recorded import FEWEST_ROWS

    given = config.external(model)
    n_test = rows // 2 if given is None or given.n_test is None else given.n_test
    here = ("models", model, "external", "n_test")
    if not 4 <= n_test <= rows - 4:
        yield here, f"{n_test}, of {rows} rows of seed {seed}; allowed: 4 to {rows - 4}; change it, or give more rows"
        return
    turned = [view for view in experiment.views if view in OF_ACTIVATIONS and view not in OF_CODES]
    for point, header in _hook_points(config, model, seed).items():
        units = header.shape[1]
        if turned and point in experiment.hook_points and rows - n_test < FEWEST_ROWS * units:
            yield (
                here,
                f"{n_test}, of {rows} rows of seed {seed}, which leaves {rows - n_test} for the spectrum of {units} "
                f"units at {point}; allowed: to leave at least {FEWEST_ROWS} rows per unit ({FEWEST_ROWS * units}); "
                "give more rows, or analysis.views: [score], whose null permutes inputs",
            )


def _check_same_inputs(config: Config, path: Place, sizes: dict[Run, int]) -> Iterator[Problem]:
    """Runs are compared row by row: equal numbers, and equal `input_id` where files hold them."""
    names = {f"{model}/seed_{seed}": rows for (model, seed), rows in sizes.items()}
    if len(set(names.values())) > 1:
        seen = ", ".join(f"{name}: {rows}" for name, rows in names.items())
        yield path, f"runs of different numbers of rows ({seen}); allowed: the same inputs in the same order; cut them"
        return
    known: list[tuple[str, np.ndarray]] = []
    for (model, seed), rows in sizes.items():
        try:
            ids = _ids(config, model, seed, rows)
        except ValueError as error:
            yield ("models", model, "external", "activations"), f"seed {seed}: {error}"
            continue
        if ids is not None:
            known.append((f"{model}/seed_{seed}", ids))
    for name, ids in known[1:]:
        odd = int((ids != known[0][1]).sum())
        if odd:
            yield (
                path,
                f"{odd} of {len(ids)} rows of {name} have another input_id than those of {known[0][0]}; allowed: the "
                "same inputs in the same order; sort both by input_id, and leave out rows that only one has",
            )


def _ids(config: Config, model: str, seed: int, rows: int) -> np.ndarray | None:
    """The names of the inputs, as the first file of a run that holds them says."""
    from homolog.store.recorded import IDS, along_rows

    given = config.external(model)
    paths = dict.fromkeys(Path(given.source(seed, point)) for point in given.hook_points) if given else {}
    return next((ids for path in paths if (ids := along_rows(path, IDS, rows)) is not None), None)


def _check_given(path: Place, paths: list[str]) -> Iterator[Problem]:
    for each in map(Path, paths):
        if not os.path.exists(each):
            yield path, f"{each} isn't there; allowed: a folder of sae-lens and the like, .npy, .npz or .h5; correct it"
