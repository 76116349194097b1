"""Does an experiment on planted worlds vary what is to be an axis, and does its figure draw one?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homolog.config.base import GridOptions
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import MadeExperiment
from homolog.config.planted import RecoveryOptions
from homolog.config.problems import Path, Problem, listed
from homolog.registry import FIGURES_OF

# Figures that draw no axis; all others of the analysis do.
WITHOUT_AXIS = ("recovery", "which_method")


def check_axes(
    path: Path, experiment: MadeExperiment, analysis: RecoveryOptions, decompositions: Mapping[str, Decomposition]
) -> Iterator[Problem]:
    """What is to be an axis must vary, and be another one than what is fitted against it."""
    known = [decompositions.get(name) for name in experiment.decompositions or []]
    named = [one for one in known if isinstance(one, GridOptions)]
    grids: list[GridOptions] = [*named, *analysis.worlds.values()]
    varying = sorted({key for one in grids for key in _varying(one)})
    for key, value in (("along", analysis.along), ("against", analysis.against)):
        if value is not None and value not in varying:
            yield (
                (*path, "analysis", key),
                f"{value}, of which neither its decompositions nor its worlds have several values; allowed: "
                f"{listed(varying)}; give it a list of values, or name another",
            )
    if analysis.against is not None and analysis.along in (None, analysis.against):
        yield (
            (*path, "analysis", "against"),
            f"{analysis.against}, beside along = {analysis.along}; allowed: beside another option as along; name one",
        )
    drawn = experiment.figure not in WITHOUT_AXIS
    if experiment.figure in FIGURES_OF["recovery"] and drawn != (analysis.along is not None):
        yield (
            (*path, "analysis", "along"),
            f"{analysis.along or 'null'}, with figure {experiment.figure}; allowed: "
            f"{'an option that varies' if drawn else 'null'}; change it, or choose another figure",
        )
    if analysis.pca_first and not any(point.get("dense") for one in named for point in one.expand()):
        yield (
            (*path, "analysis", "pca_first"),
            "true, without dense latents; allowed: false, or true with a decomposition that has some; add one",
        )


def _varying(grid: GridOptions) -> list[str]:
    points = grid.expand()
    return [key for key in points[0] if any(point[key] != points[0][key] for point in points)]
