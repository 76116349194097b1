"""How many features does a bottleneck hold, at which dimensionality, and which of them does it let go?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_floors, one_page, said_with_bounds
from homolog.figures.style import COLOURS, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

INVERSE = "1 / (1 - sparsity)"


def headline(dataset: xr.Dataset) -> str:
    """What is held when features are always there and when they are rare, in which arrangement, and what decides it."""
    page = one_page(dataset)
    dense, sparse = page.isel(sparsity=0), page.isel(sparsity=-1)
    best = page.isel(sparsity=int(np.nanargmax(page.at_polytope.values)))
    return (
        f"{int(page.attrs['features'])} features through {int(page.attrs['units'])} units. Always there, "
        f"{said_with_bounds(dense, 'represented', '{:.1f}')} have a weight of their own (each dimension holds "
        f"{float(dense.per_dimension):.2f} of a feature, in a turned subspace); at sparsity {float(sparse.sparsity):g} "
        f"{said_with_bounds(sparse, 'represented', '{:.1f}')} have, each with "
        f"{said_with_bounds(sparse, 'mean_dimensionality')} of a "
        f"dimension. Polytopes are clearest at {float(best.sparsity):g}, "
        f"{said_with_bounds(best, 'at_polytope')} are at the dimensionality of one "
        f"({float(best.at_polytope_null):.2f} in random "
        f"directions), {said_with_bounds(best, 'mean_dimensionality')} on average; at {float(sparse.sparsity):g} "
        f"{said_with_bounds(sparse, 'at_polytope')} are. {_few(page)} Which of two features gets a "
        f"single unit is as "
        f"derived (line) in {said_with_bounds(page, 'as_derived', '{:.1%}')} of the cases."
    )


def _few(page: xr.Dataset) -> str:
    last = page.isel(few_sparsity=-1)
    return (
        f"Five features in two units at sparsity {float(last.few_sparsity):g}: "
        f"{said_with_bounds(last, 'few_represented', '{:.1f}')} held, each with "
        f"{said_with_bounds(last, 'few_dimensionality', '{:.3f}')} "
        f"of a dimension (a regular pentagon: 0.4)."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Numbers and histogram against how rare features are; weights of five features; importance; phases."""
    figure = new_figure(10.5, 7.2, "Do features share dimensions?", headline(page))
    grid = figure.add_gridspec(2, 4)
    shown = page.assign_coords(sparsity=1 / (1 - page.sparsity))
    axes = figure.add_subplot(grid[0, 0])
    draw_curve(axes, shown, "per_dimension", "sparsity", 0)
    draw_floors(axes, shown, "per_dimension", "sparsity", labelled=True)
    axes.set(xscale="log", xlabel=INVERSE, title=page.per_dimension.attrs["long_name"])
    axes.legend(frameon=False, title="random weights", title_fontsize=7)
    _draw_histogram(figure.add_subplot(grid[0, 1:3]), shown)
    axes = figure.add_subplot(grid[0, 3])
    draw_curve(axes, shown, "at_polytope", "sparsity", 1)
    draw_floors(axes, shown, "at_polytope", "sparsity", labelled=True)
    axes.set(
        xscale="log", xlabel=INVERSE, ylim=(-0.03, 1.03), title="share at a polytope's\ndimensionality, within 0.02"
    )
    axes.legend(frameon=False, title="random directions", title_fontsize=7)
    _draw_arrows(figure.add_subplot(grid[1, 0]), page)
    _draw_ranked(figure.add_subplot(grid[1, 1]), page)
    _draw_phases(figure.add_subplot(grid[1, 2]), page, "second", "|W|² of the second of two features\nin one unit")
    _draw_phases(
        figure.add_subplot(grid[1, 3]),
        page,
        "overlap",
        "its overlap with the first: 1 where\nthey share the unit, blank without",
    )
    return figure


def _draw_histogram(axes: Axes, shown: xr.Dataset) -> None:
    share = shown.dimensionality.transpose("bin", "sparsity").values
    half = float(shown.bin[1] - shown.bin[0]) / 2
    edges = np.append(shown.bin.values - half, shown.bin.values[-1] + half)
    steps = np.arange(shown.sizes["sparsity"] + 1) - 0.5
    axes.pcolormesh(steps, edges, np.where(share > 0, share, np.nan), cmap="Blues", vmin=0, vmax=0.6)
    heights: list[float] = []
    for name, value in zip(shown.polytope.values, shown.polytope_dimensionality.values, strict=True):
        axes.axhline(value, color=COLOURS[1], lw=0.6, ls=":")
        height = value if all(abs(value - one) > 0.04 for one in heights) else value - 0.035
        axes.text(steps[-1] + 0.1, height, name, fontsize=6.5, va="center", color=COLOURS[1])
        heights.append(value)
    ticks = np.arange(0, shown.sizes["sparsity"], 2)
    axes.set_xticks(ticks, [f"{float(value):.3g}" for value in shown.sparsity.values[ticks]])
    axes.set(xlabel=INVERSE, ylim=(0, 1.03), title="dimensionality of each feature with a weight (share by colour)")


def _draw_arrows(axes: Axes, page: xr.Dataset) -> None:
    """Weights of five features in two units, one sparsity beside the other."""
    for place, sparsity in enumerate(page.few_sparsity.values):
        for rank, (x, y) in enumerate(page.arrows.sel(few_sparsity=sparsity).values):
            colour = COLOURS[rank]
            axes.plot([0, x], [-2.8 * place, y - 2.8 * place], color=colour, lw=1.4, marker="o", ms=3, markevery=[1])
        axes.text(1.35, -2.8 * place, f"sparsity {float(sparsity):g}", va="center", fontsize=7)
    axes.set(xlim=(-1.3, 3.4), ylim=(-2.8 * place - 1.4, 1.4), aspect="equal", title="five features, two units")
    axes.axis("off")


def _draw_ranked(axes: Axes, page: xr.Dataset) -> None:
    norms = page.norm.transpose("rank", "sparsity").values
    axes.imshow(norms, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    ticks = np.arange(0, page.sizes["sparsity"], 3)
    axes.set_xticks(ticks, [f"{1 / (1 - float(value)):.3g}" for value in page.sparsity.values[ticks]])
    axes.set(
        xlabel=INVERSE, ylabel="feature, importance 0.7^i", title="|W_i|² in five units:\nthe less important come later"
    )


def _draw_phases(axes: Axes, page: xr.Dataset, name: str, title: str) -> None:
    present, importance = page.present.values, page.relative_importance.values
    axes.pcolormesh(
        present,
        importance,
        page[name].transpose("relative_importance", "present").values,
        cmap="Blues",
        vmin=0,
        vmax=1.2,
    )
    border = page.sharing_begins.values
    for curve in (border, 1 / border):
        axes.plot(page.below.values, curve, color=COLOURS[1], lw=1.2)
    axes.plot([page.below.values[-1], 1], [1, 1], color=COLOURS[1], lw=1.2)
    axes.set(xscale="log", yscale="log", xlim=(present[0], 1), ylim=(importance[0], importance[-1]))
    axes.set(xlabel="how often a feature is there", ylabel="relative importance", title=title)
    axes.tick_params(labelcolor=INK)
