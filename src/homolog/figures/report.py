"""The figure's numbers as a table and as text, with the runs that count and those that don't."""

from __future__ import annotations

import sys
from textwrap import fill
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

COLUMNS = (
    "observed_mean",
    "observed_low",
    "observed_high",
    "null",
    "isotropic",
    "spectral",
    "gaussian",
    "conditional_null",
    "initial",
    "step_0",
    "ceiling",
    "left",
    "left_low",
    "left_high",
    "stabilisation",
    "reliability",
    "excess",
    "excess_low",
    "excess_high",
)
# What the text leaves out, whose lines are long enough.
ONLY_IN_CSV = ["isotropic", "step_0", "left_low", "left_high", "stabilisation", "excess_low", "excess_high"]
KEYS = ["hook_point", "comparison", "decomposition", "view", "matching"]


def report_of(figure: ModuleType) -> ModuleType:
    """What tells a figure's numbers as text and tables: this module, or one that the figure brings along."""
    return getattr(figure, "REPORT", sys.modules[__name__])


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """One dataset for each hook point: each is a page of the figure."""
    return [dataset.sel(hook_point=name) for name in dataset.hook_point.values]


def drawn(module: Any, dataset: xr.Dataset) -> list[Figure]:
    """All pages of a figure's module: what its `draw_pages` gives for each hook point, or its `draw`."""
    draw = getattr(module, "draw_pages", None) or (lambda page: [module.draw(page)])
    return [figure for page in _pages_of(module, dataset) for figure in draw(page)]


def headlines(module: Any, dataset: xr.Dataset) -> str:
    """What a figure's module says of each hook point, a paragraph each; or of all together, if it draws them so."""
    pages_of = _pages_of(module, dataset)
    whole = [page if "hook_point" in page.dims else page.expand_dims("hook_point") for page in pages_of]
    return "\n\n".join(map(module.headline, whole))


def _pages_of(module: Any, dataset: xr.Dataset) -> list[xr.Dataset]:
    """A dataset for each page: as the figure's module has it, or for each hook point."""
    found: list[xr.Dataset] = getattr(module, "pages", report_of(module).pages)(dataset)
    return found


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Every summary number, one row for each hook point, comparison, decomposition, view and matching."""
    chosen = dataset[[*COLUMNS, "gauge", "identified"]].reset_coords(drop=True)
    order = {name: list(dataset[name].values) for name in KEYS}
    frame = chosen.to_dataframe(dim_order=KEYS).reset_index().dropna(subset=["observed_mean"])
    for name in KEYS:
        frame[name] = pd.Categorical(frame[name], order[name])
    frame = frame.sort_values(KEYS).rename(columns={"observed_mean": "observed"})
    first = [*KEYS, "identified"]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def runs_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Which runs count: held-out loss beside the one it must match, and the verdict."""
    names = ["test_loss", "reference_loss", "untrained_loss", "test_accuracy", "accepted_run"]
    frame = dataset[names].reset_coords(drop=True).to_dataframe().reset_index()
    frame["verdict"] = np.where(frame.pop("accepted_run"), "accepted", "REJECTED")
    return frame


def which_runs_count(dataset: xr.Dataset) -> str:
    """By what runs were taken or rejected: their loss, of which nothing is known for what others recorded."""
    if bool(dataset.test_loss.isnull().all()):
        return (
            f"All {dataset.sizes['run']} runs count: they were recorded elsewhere, so that there is no loss to match."
        )
    tolerance = float(dataset.attrs["tolerance"])
    return f"A run counts if its held-out loss matches within {tolerance:.0%} of what training gained over no training."


def summary(dataset: xr.Dataset, headline: str) -> str:
    """The answer in words, then the tables, for a reader with a terminal."""
    numbers = table(dataset)
    parts = ["\n\n".join(fill(paragraph, 100) for paragraph in headline.split("\n\n")), ""]
    for (hook_point, comparison), rows in numbers.groupby(["hook_point", "comparison"], observed=True):
        shown = rows[rows.matching.isin(["hungarian", "rank"])].drop(columns=["hook_point", "comparison", *ONLY_IN_CSV])
        shown = shown.assign(identified=np.where(shown.identified, "yes", "NO"))
        parts += [
            f"{hook_point}, {comparison}",
            shown.to_string(index=False, float_format="{:z.3f}".format, na_rep="-"),
            "",
        ]
    parts += [
        which_runs_count(dataset),
        runs_table(dataset).to_string(index=False, float_format="{:z.4f}".format, na_rep="-"),
        "",
        "identified NO: the network's symmetries leave this comparison no meaning; shown because it was asked for.",
        "excess = (observed - null) / (ceiling - null); '-': not defined, or reliability under 2 standard errors.",
        "gauge: a run against itself in a random gauge; 1 means that the view does not see the symmetry.",
    ]
    return "\n".join(parts) + "\n"
