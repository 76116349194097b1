"""In a wider layer, are the narrow layer's latents still there, and are there others?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from homolog.figures.conditions import (
    KIND,
    conditions,
    draw_along,
    draw_coverage_along,
    draw_legend_along,
    has_tracks,
    say_coverage,
    say_excess,
)
from homolog.figures.style import COLOURS, GREY, INK, SHAPES, VIEW_TITLES, in_house_style, new_figure

PRIMARY = "score"
VIEWS = ("score", "write_out", "read_in")
# From the base, or to it.
DIRECTIONS = {True: "narrow latents found in wide", False: "wide latents found in narrow"}


def headline(dataset: xr.Dataset) -> str:
    """Tracks and excess both ways along the widths, and how many canonical correlations exceed chance."""
    page = dataset.isel(hook_point=0)
    counts = ", ".join("–" if np.isnan(n) else f"{n:.0f}" for n in _mean_by_condition(page, "shared_correlations"))
    over = f"Over {', '.join(conditions(page))}, "
    tracks = (
        f"this share of the narrow layer's latents has a track into the retrained one: {say_coverage(page, True)}; "
        f"of the retrained layer's into the narrow one: {say_coverage(page, False)}. By best matches ("
        if has_tracks(page)
        else "latents are found again, by best matches ("
    )
    return (
        f"{over}{tracks}{PRIMARY}; share of what a refit finds, in brackets before training), narrow in wide: "
        f"{say_excess(page, PRIMARY, 'best_a_to_b')}; wide in narrow: {say_excess(page, PRIMARY, 'best_b_to_a')}. "
        f"Canonical correlations above chance between the two layers: {counts}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Similarity by width in each legal view; below, tracks both ways and the dimensions that the layers share."""
    views = [view for view in VIEWS if view in page.view.values]
    question = f"When {page.hook_point.item()} gets more units, are the narrow layer's latents still there?"
    figure = new_figure(11.0, 7.6, question, headline(page.expand_dims("hook_point")))
    grid = figure.add_gridspec(3, 1, height_ratios=[2.6, 0.5, 2.2])
    upper = GridSpecFromSubplotSpec(1, len(views), grid[0], wspace=0.05)
    for index, view in enumerate(views):
        axes = figure.add_subplot(upper[index])
        draw_along(axes, page, view, "hungarian")
        axes.set_title(
            f"{VIEW_TITLES[view]} (one to one)", loc="left", fontweight="bold" if view == PRIMARY else "normal"
        )
        axes.tick_params(labelleft=index == 0)
        axes.set_ylabel("" if index else "similarity")
    draw_legend_along(figure, grid[1], page)
    lower = GridSpecFromSubplotSpec(1, 3, grid[2], wspace=0.05)
    for index, (found_in_runs, title) in enumerate(DIRECTIONS.items()):
        axes = figure.add_subplot(lower[index])
        draw_coverage_along(axes, page, found_in_runs)
        axes.set_title(f"tracks: {title}", loc="left")
        axes.tick_params(labelleft=index == 0)
        axes.set_ylabel("" if index else "share of live latents")
    _draw_shared(figure.add_subplot(lower[2]), page)
    return figure


def _mean_by_condition(page: xr.Dataset, name: str, kind: str = KIND) -> list[float]:
    """Mean of a by-pair variable over the accepted pairs of each condition."""
    chosen = [(page.condition == name) & (page.kind == kind) & page.accepted for name in conditions(page)]
    return [float(page[name].where(mask).mean()) for mask in chosen]


def _draw_shared(axes: Axes, page: xr.Dataset) -> None:
    names = conditions(page)
    for index, kind in enumerate(dict.fromkeys(page.kind.values)):
        label = str(kind).replace("-", " vs ")
        face = INK if index == 0 else "white"
        axes.plot(
            range(len(names)),
            _mean_by_condition(page, "shared_correlations", str(kind)),
            color=INK,
            marker=SHAPES[index],
            mfc=face,
            ls="-" if index == 0 else ":",
            label=label,
        )
        axes.plot(
            range(len(names)),
            _mean_by_condition(page, "possible_correlations", str(kind)),
            color=GREY,
            ls="--" if index == 0 else ":",
        )
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(0, None), xticks=np.arange(len(names)))
    axes.set_xticklabels(names)
    axes.set_title("canonical correlations above chance\n(grey: as many as there could be)", loc="left")
    axes.legend(frameon=False, loc="upper left")
    axes.yaxis.tick_right()
    axes.spines["right"].set_visible(True)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=COLOURS[5], alpha=0.2)
