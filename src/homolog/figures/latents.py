"""Latent by latent: how much returns in each view, how alike the best of them are, and which belong together?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.findings import MATCHING, PRIMARY, count_latents
from homolog.figures.scale import colour_and_shape
from homolog.figures.style import COLOURS, GREY, INK, PALE, VIEW_TITLES, draw_row_of_marks, in_house_style, new_figure
from homolog.figures.tracks import curves_of, draw_survival

# Methods shown: more would leave no room.
MOST_COLUMNS = 5
CURVES = {
    "ceiling": ("ceiling: refits of the base", INK, "-", 1.3),
    "observed": ("observed: base against retrained", COLOURS[0], "-", 2.0),
    "null": ("null: turned within the spectrum", GREY, "-", 1.2),
}
HEAT = "Blues"


@in_house_style
def draw_latents(page: xr.Dataset) -> Figure:
    """Excess by view and method; quality-coverage, survival over all runs, similarities of matched latents."""
    methods = [str(name) for name in page.decomposition.values][:MOST_COLUMNS]
    base = page.isel(base=0)
    question = f"Latent by latent: what of {page.hook_point.item()} returns from {base.base_run.item()}?"
    tracked = [2.2, 0.32] if "survival" in page else []
    figure = new_figure(13.0, 9.2 + sum(tracked), question, count_latents(page))
    grid = figure.add_gridspec(4 + len(tracked), 1, height_ratios=[2.3, 2.2, 0.32, *tracked, 2.6])
    _draw_excess(figure, grid[0], page)
    curves = GridSpecFromSubplotSpec(1, max(len(methods), 3), grid[1], wspace=0.05)
    maps = GridSpecFromSubplotSpec(1, max(len(methods), 3), grid[-1], wspace=0.05)
    below = []
    for index, method in enumerate(methods):
        axes = figure.add_subplot(curves[index])
        _draw_coverage(axes, base.sel(decomposition=method, view=PRIMARY), method)
        axes.tick_params(labelleft=index == 0)
        if index == 0:
            axes.set_ylabel(f"mean {PRIMARY} of the best")
        axes = figure.add_subplot(maps[index])
        _draw_heat_map(axes, page.sel(decomposition=method), first=index == 0)
        below.append(axes)
    marks = [
        Line2D([], [], color=colour, ls=dash, lw=width, label=label) for label, colour, dash, width in CURVES.values()
    ]
    draw_row_of_marks(figure, grid[2], marks, 4)
    if tracked:
        survival = GridSpecFromSubplotSpec(1, max(len(methods), 3), grid[3], wspace=0.05)
        for index, method in enumerate(methods):
            axes = figure.add_subplot(survival[index])
            draw_survival(axes, page.sel(decomposition=method))
            axes.tick_params(labelleft=index == 0)
            axes.set(xlabel="in a track of at least this share of runs")
            if index == 0:
                axes.set_ylabel("share of a run's live latents")
        draw_row_of_marks(figure, grid[4], curves_of(page), 4)
    if below:
        scale = ScalarMappable(Normalize(0, 1), HEAT)
        figure.colorbar(scale, ax=below, shrink=0.75, pad=0.01, label=f"{PRIMARY} similarity (at least 0)")
    return figure


def _draw_excess(figure: Figure, where: SubplotSpec, page: xr.Dataset) -> None:
    """Excess with its interval: a group for each view that is identified, in it a mark for each method."""
    cells = page.isel(comparison=0).sel(matching=MATCHING)
    views = [str(view) for view in cells.view.values if bool(cells.identified.sel(view=view))]
    methods = [str(name) for name in cells.decomposition.values]
    axes = figure.add_subplot(where)
    for level, style in ((0.0, "-"), (1.0, "--")):
        axes.axhline(level, color=GREY, lw=0.8, ls=style, zorder=0)
    for index, method in enumerate(methods):
        colour, shape = colour_and_shape(index)
        for place, view in enumerate(views):
            cell = cells.sel(view=view, decomposition=method)
            x = place + (index - (len(methods) - 1) / 2) * 0.7 / len(methods)
            if np.isnan(float(cell.excess)):
                axes.text(x, 0.02, "–", ha="center", va="bottom", color=colour)
                continue
            axes.plot([x, x], [float(cell.excess_low), float(cell.excess_high)], color=colour, lw=2.2, alpha=0.5)
            axes.plot([x], [float(cell.excess)], marker=shape, mfc=colour, mec="white", mew=0.5, ms=6.5)
    axes.set(xlim=(-0.5, max(len(views), 1) - 0.5), xticks=range(len(views)), ylabel="excess")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -1.0), min(max(high, 1.1), 2.0))
    axes.set_xticklabels([VIEW_TITLES.get(view, view) for view in views])
    axes.tick_params(axis="x", length=0)
    axes.set_title(
        "excess = (observed – null) / (ceiling – null), 95 % intervals; 0 is chance, 1 (dashed) a method's own refit; "
        "–: no reliability clear of chance",
        loc="left",
    )
    marks = []
    for index, method in enumerate(methods):
        colour, shape = colour_and_shape(index)
        marks.append(Line2D([], [], color=colour, marker=shape, mec="white", ms=7, lw=2.2, label=method))
    axes.legend(handles=marks, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_coverage(axes: Axes, cell: xr.Dataset, method: str) -> None:
    for name, (_, colour, dash, width) in CURVES.items():
        axes.plot(cell.share, cell[f"coverage_{name}"], color=colour, ls=dash, lw=width)
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="best share of live latents", xticks=[0, 0.5, 1])
    axes.set_title(method, loc="left", fontweight="bold")


def _draw_heat_map(axes: Axes, cell: xr.Dataset, first: bool) -> None:
    """Latents of the base downwards, their matches in the same order across: matched pairs lie on the diagonal."""
    shown = int((cell.shown_latent >= 0).sum())
    axes.set_xticks([])
    axes.set_yticks([])
    if not shown:
        axes.set_facecolor(PALE)
        axes.text(0.5, 0.5, "no pair of runs", transform=axes.transAxes, ha="center", style="italic", color="#555555")
        return
    matrix = cell.shown_similarity.values[:shown, :shown]
    axes.imshow(matrix, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    axes.set_xlabel(f"their {shown} matches")
    if first:
        axes.set_ylabel("latents of the base,\nalike ones together")
