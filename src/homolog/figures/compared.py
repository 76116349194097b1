"""Which latents of some dictionaries are the same: similarities against their null, coverage, how many return."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures.style import COLOURS, GREY, INK, VIEW_TITLES, in_house_style, mark_not_identified, new_figure


@in_house_style
def draw(data: xr.Dataset) -> Figure:
    """Above, by view, the distribution of similarities beside its null; below, coverage curves and returns."""
    views = list(data.view.values)
    question = "Which latents are found again in the other dictionaries?"
    figure = new_figure(max(8.0, 2.3 * len(views)), 5.6, question, headline(data))
    grid = figure.add_gridspec(2, 1, height_ratios=[1.0, 1.1])
    above = grid[0].subgridspec(1, len(views))
    first = None
    for place, view in enumerate(views):
        axes = figure.add_subplot(above[place], sharey=first)
        first = first or axes
        _draw_distribution(axes, data.sel(view=view), str(view))
        axes.tick_params(labelleft=axes is first)
    if first is not None:
        first.set_ylabel("share of latents\nat least so similar")
        first.legend(frameon=False, loc="lower left")
    below = grid[1].subgridspec(1, 2)
    _draw_coverage(figure.add_subplot(below[0]), data)
    _draw_returns(figure.add_subplot(below[1]), data)
    return figure


def headline(data: xr.Dataset) -> str:
    """The answer in one sentence."""
    name = data.attrs["primary"]
    primary = data.sel(view=name)
    found, live = int((data.found == data.runs).sum()), int(data.found.notnull().sum())
    return (
        f"{found} of {live} live latents are found in all others (false discovery rate 5 %). Their "
        f"{name} is {float(primary.observed):.2f} on average, {float(primary.null_mean):.2f} by chance."
    )


def _draw_distribution(axes: Axes, one: xr.Dataset, view: str) -> None:
    at_least = 1 - one.share.values
    axes.plot(one.quantile_observed, at_least, color=COLOURS[0], lw=2, label="observed")
    axes.plot(one.quantile_null, at_least, color=GREY, lw=1.4, label="null")
    if not np.isnan(float(one.ceiling)):
        axes.axvline(float(one.ceiling), color=INK, lw=1, ls=":", label="ceiling (mean)")
    if not np.isnan(float(one.conditional_null_mean)):
        axes.axvline(float(one.conditional_null_mean), color=GREY, lw=1, ls="--", label="null within labels (mean)")
    axes.set_title(VIEW_TITLES.get(view, view), loc="left")
    axes.set(xlim=(min(0.0, float(one.quantile_null.min())) - 0.03, 1.03), ylim=(0, 1.03), xlabel="similarity")
    if not bool(one.identified):
        mark_not_identified(axes)


def _draw_coverage(axes: Axes, data: xr.Dataset) -> None:
    """Mean similarity of the best q latents against q (quality-coverage curve), beside that of the null."""
    for place, view in enumerate(data.view.values):
        one, colour = data.sel(view=view), COLOURS[place % len(COLOURS)]
        axes.plot(one.share, one.coverage_observed, color=colour, lw=1.8, label=str(view))
        axes.plot(one.share, one.coverage_null, color=colour, lw=1, ls="--")
    axes.plot([], [], color=GREY, lw=1, ls="--", label="null")
    axes.set(xlabel="share of latents, best first", ylabel="their mean similarity", xlim=(0, 1), ylim=(None, 1.03))
    axes.legend(frameon=False)


def _draw_returns(axes: Axes, data: xr.Dataset) -> None:
    """How many live latents of each dictionary are found in r of the others; dead and rare ones are left out."""
    names, others = list(data.dictionary.values), data.sizes["dictionary"] - 1
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        found = data.found.values[data.dictionary_of_row.values == name]
        counts = [int((found == r).sum()) for r in range(others + 1)]
        where = np.arange(others + 1) + (place - (len(names) - 1) / 2) * width
        axes.bar(where, counts, width, color=COLOURS[place % len(COLOURS)], label=str(name))
    axes.set(xlabel=f"found in r of {others} other dictionaries", ylabel="live latents", xticks=range(others + 1))
    if len(names) <= 6:
        axes.legend(frameon=False)
