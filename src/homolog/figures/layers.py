"""What returns by layer: all hook points beside each other, each similarity on its scale?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from homolog.figures.findings import MATCHING, PRIMARY, kept
from homolog.figures.scale import colour_and_shape, draw_legend, draw_scale, read_cell
from homolog.figures.style import GREY, in_house_style, mark_not_identified, new_figure

# More hook points than these are told by the ones where most and least is found.
MOST_TOLD = 4
MOST_METHODS = 3
# Methods beside each other at a hook point that take so many inches.
ROOM = 0.42


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """One page for all hook points."""
    return [dataset]


def headline(dataset: xr.Dataset) -> str:
    """For each method and hook point, what a refit finds again, and what share of that comes back between runs."""
    chosen = dataset.isel(comparison=0).sel(view=PRIMARY, matching=MATCHING)
    told = [_say(str(name), chosen.sel(decomposition=name)) for name in chosen.decomposition.values[:MOST_METHODS]]
    if not any(told):
        return "No pair of runs counts at any of these hook points, so nothing can be said of layers yet."
    between = str(chosen.comparison.item()).replace("/", ", ")
    rest = [
        f"{str(name).replace('/', ', ')}: {_say_shares(dataset.isel(comparison=index + 1))}"
        for index, name in enumerate(dataset.comparison.values[1:])
    ]
    return (
        "By hook point, how alike latents of one run are when they are fitted again (other data, other seed; chance in "
        f"brackets), and what share of that span comes back ({between}); left is what lies above every null and the "
        f"untrained network: {'; '.join(filter(None, told))}. "
        + (f"The same share elsewhere: {'; '.join(rest)}." if rest else "")
    ).strip()


def _say(method: str, cells: xr.Dataset) -> str:
    """``topk stream_0 0.41 (0.05), 80 %; stream_1 ...``: of all hook points, or of the two ends."""
    known = cells.isel(hook_point=np.flatnonzero(cells.ceiling.notnull().values))
    if not known.sizes["hook_point"]:
        return ""
    if known.sizes["hook_point"] > MOST_TOLD:
        ends = [int(known.ceiling.argmax()), int(known.ceiling.argmin())]
        known, method = known.isel(hook_point=ends), f"{method} from"
    told = [_say_one(known.isel(hook_point=place)) for place in range(known.sizes["hook_point"])]
    return f"{method} {'; '.join(told)}" if not method.endswith("from") else f"{method} {' to '.join(told)}"


def _say_shares(page: xr.Dataset) -> str:
    """Share that comes back along the hook points, method by method."""
    chosen = page.sel(view=PRIMARY, matching=MATCHING)
    return ", ".join(
        f"{name} {' '.join(_share(float(value)) for value in chosen.excess.sel(decomposition=name).values)}"
        for name in chosen.decomposition.values[:MOST_METHODS]
    )


def _say_one(cell: xr.Dataset) -> str:
    scale = f"{cell.hook_point.item()!s} {float(cell.ceiling):.2f} ({float(cell.null):.2f})"
    return f"{scale}, {_share(float(cell.excess))}{_left(cell)}"


def _left(cell: xr.Dataset) -> str:
    left = round(float(cell.left), 2) + 0.0
    return "" if np.isnan(left) else f" ({left:.2f} left)" if left > 0 else " (nothing left)"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0%}"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A panel for each comparison: hook points along depth, methods beside each other at each of them."""
    page = page if "hook_point" in page.dims else page.expand_dims("hook_point")
    names, methods = list(map(str, page.hook_point.values)), list(page.decomposition.values)
    panels = page.sizes["comparison"]
    columns = min(2, panels)
    rows = -(-panels // columns)
    width = max(9.0, 1.2 + columns * max(3.6, ROOM * len(names) * len(methods)))
    figure = new_figure(width, 2.2 + 2.9 * rows, "What is found again, layer by layer?", headline(page))
    grid = figure.add_gridspec(2, 1, height_ratios=[2.9 * rows, 0.6])
    inner = GridSpecFromSubplotSpec(rows, columns, grid[0], wspace=0.05)
    for index in range(panels):
        axes = figure.add_subplot(inner[index // columns, index % columns])
        _draw_panel(axes, page.isel(comparison=index).sel(view=PRIMARY, matching=MATCHING), names)
        axes.set_ylabel("" if index % columns else "similarity of codes (score, one to one)")
        axes.tick_params(labelleft=index % columns == 0)
    draw_legend(figure, grid[1], map(str, methods), across=False, kept=kept(page)[0])
    return figure


def _draw_panel(axes: Axes, cells: xr.Dataset, names: list[str]) -> None:
    methods = list(cells.decomposition.values)
    for index, method in enumerate(methods):
        colour, shape = colour_and_shape(index)
        places = np.arange(len(names)) + (index - (len(methods) - 1) / 2) * 0.7 / len(methods)
        mine = cells.sel(decomposition=method)
        # What belongs together is joined: what is observed, and what a refit reaches.
        axes.plot(places, mine.observed_mean.values, color=colour, lw=0.9, alpha=0.6, zorder=1)
        axes.plot(places, mine.ceiling.values, color=GREY, lw=0.7, ls=":", zorder=1)
        for place, x in enumerate(places):
            draw_scale(axes, read_cell(mine.isel(hook_point=place)), float(x), colour, shape, across=False)
    if not bool(cells.identified.all()):
        mark_not_identified(axes)
    for edge in np.arange(len(names) - 1) + 0.5:
        axes.axvline(edge, color=GREY, lw=0.4, zorder=0)
    title = str(cells.comparison.item()).replace("/", ", ")
    axes.set_title(f"{title} ({int(cells.n_accepted_pairs.values.min())} pairs)", loc="left", fontweight="bold")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.05, 1.05), xticks=range(len(names)))
    axes.set_xticklabels(names)
    axes.tick_params(axis="x", length=0)
