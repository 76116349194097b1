"""In which bases do the fewest edges carry what the next layer reads, beside turned bases and units?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_map, one_page, said_with_bounds
from homolog.figures.rows import draw_rows
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

TURNED = ", turned"


def headline(dataset: xr.Dataset) -> str:
    """Edges for one bit by basis, beside the same basis turned; and edges that act on an input."""
    page = one_page(dataset)
    plain = [name for name in page.basis.values if not name.endswith(TURNED)]
    said = [_of_basis(page, name) for name in plain]
    return (
        f"Edges from {page.below.item()} to {page.hook_point.item()} that each reading needs until a quarter of its "
        f"variance is left (one bit), both layers in the same basis, {int(page.attrs['replicates'])} networks: "
        f"{'; '.join(said)}. (Principal axes hold most variance in fewest directions by construction.)"
    )


def _of_basis(page: xr.Dataset, name: str) -> str:
    row = page.sel(basis=name)
    said = f"{name} {_edges(row)}, {_acting(row)}"
    if name + TURNED in page.basis:
        turned = page.sel(basis=name + TURNED)
        said += f" (turned {_edges(turned)}, {_acting(turned)})"
    return f"{said}, {float(row.least):.2f} left with all"


def _acting(row: xr.Dataset) -> str:
    said = said_with_bounds(row, "acting", "{:z.1f}") if np.isfinite(float(row.acting)) else "-"
    return f"{said} acting on an input"


def _edges(row: xr.Dataset) -> str:
    return said_with_bounds(row, "edges", "{:z.1f}") if np.isfinite(float(row.edges)) else "never"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """What is left by number of edges; edges for one bit, those that act; every pair of bases."""
    figure = new_figure(11, 6.6, "In which basis are the weights between layers sparse?", headline(page))
    grid = figure.add_gridspec(2, 3, width_ratios=[1.25, 1, 1])
    _draw_curves(figure.add_subplot(grid[:, 0]), page)
    for place, name in enumerate(("edges", "acting", "bits")):
        axes = figure.add_subplot(grid[divmod(place + (place > 1), 2)[0], 1 + place % 2])
        draw_rows(axes, page, [name], "basis", ())
        axes.set_title(page[name].attrs["long_name"])
        axes.set_xlim(left=0)
        if place == 1:
            axes.set_yticklabels([])
    axes = figure.add_subplot(grid[1, 2])
    most = float(page.between.max())
    draw_map(axes, page.between, "written", "reads", (0, most), form="{:z.1f}")
    axes.set(title=page.between.attrs["long_name"], ylabel=f"written by ({page.below.item()})")
    axes.set_xlabel(f"read by ({page.hook_point.item()})")
    axes.tick_params(axis="x", labelrotation=25)
    return figure


def _draw_curves(axes: Axes, page: xr.Dataset) -> None:
    plain = [name for name in page.basis.values if not name.endswith(TURNED)]
    for place, name in enumerate(plain):
        colour, row = COLOURS[place % len(COLOURS)], page.sel(basis=name)
        axes.plot(page.edge, row.fvu, color=colour, lw=1.6, label=name)
        axes.fill_between(page.edge, row.fvu_low, row.fvu_high, color=colour, alpha=0.15, lw=0)
        if name + TURNED in page.basis:
            axes.plot(page.edge, page.fvu.sel(basis=name + TURNED), color=colour, lw=1.0, ls="--")
    axes.plot([], [], color=GREY, lw=1.0, ls="--", label="the same, turned")
    axes.axhline(0.25, color=GREY, lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="edges a reading, the strongest first", ylim=(0, 1.05))
    axes.set_title(page.fvu.attrs["long_name"] + "\n(share of its variance; dotted: one bit)")
    axes.legend(frameon=False)
