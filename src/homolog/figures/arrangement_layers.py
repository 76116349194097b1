"""How do the directions of latents lie, site by site, beside random ones, and what of a layer is empty?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import said_with_bounds
from homolog.figures.rows import draw_rows
from homolog.figures.style import GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline", "pages"]

SHORT = {"dimensions": "all", "empty": "empty", "variance": "here", "later": "at the last site"}
PANELS = ("in_factors", "groups", "rms", "largest_positive", "mean_dimensionality")


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """All sites on one page."""
    return [dataset]


def headline(dataset: xr.Dataset) -> str:
    """Whether there are factors, how much latents interfere, and what is empty, at each site."""
    said = [_of_site(dataset.sel(hook_point=one)) for one in dataset.hook_point.values]
    return (
        f"{int(dataset.attrs['replicates'])} networks. In tegum factors stand at most "
        f"{float(dataset.in_factors.max()):.0%} of the latents of a site (random directions of the layer's covariance "
        f"{float(dataset.in_factors_null.max()):.0%}). Root mean square of cosines (the same null), and principal "
        f"directions that can be ablated, one by one and at once (as many random ones): {' '.join(said)}"
    )


def _of_site(site: xr.Dataset) -> str:
    kinds = [_of_kind(site.sel(decomposition=one)) for one in site.decomposition.values]
    later = ""
    if "later" in site and np.isfinite(float(site.later)):
        later = f", {said_with_bounds(site, 'later')} at the last site ({float(site.later_null):.2f})"
    return (
        f"{site.hook_point.item()}: {', '.join(kinds)}; {said_with_bounds(site, 'empty', '{:.0f}')} of "
        f"{float(site.dimensions):.0f}, at once at {said_with_bounds(site, 'together', '{:.0%}')} of the layer's worth "
        f"({float(site.together_null):.0%}), with {said_with_bounds(site, 'variance')} of the variance "
        f"({float(site.variance_null):.2f}){later}."
    )


def _of_kind(row: xr.Dataset) -> str:
    return f"{row.decomposition.item()} {said_with_bounds(row, 'rms')} ({float(row.rms_null):.2f})"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each site and dictionary, and for each site what can be ablated."""
    figure = new_figure(11, 6.8, "How do latents lie in trained layers, and what is left empty?", headline(page))
    axes = figure.subplots(2, 4)
    rows = page.stack(row=("hook_point", "decomposition"))
    labels = [f"{site}\n{kind}" for site, kind in rows.row.values]
    rows = rows.drop_vars(["row", "hook_point", "decomposition"]).assign_coords(row=labels)
    for one, name in zip(axes.flat, PANELS, strict=False):
        draw_rows(one, rows, [name], "row", ("null", "isotropic"))
        one.set_title(page[name].attrs["long_name"])
    axes[0, 0].set_xlim(-0.03, 1.03)
    axes[0, 1].set_xlim(left=0)
    _draw_welch(axes[0, 2], rows)
    for one, names, title in (
        (axes[1, 1], ["dimensions", "empty"], "dimensions, and directions that\ncan be ablated one by one"),
        (axes[1, 2], ["together"], "cost of ablating these at once,\nof the layer's worth"),
        (axes[1, 3], [name for name in ("variance", "later") if name in page], "their share of the variance"),
    ):
        draw_rows(one, page, names, "hook_point", ("null",), [SHORT.get(name, name) for name in names])
        one.set_title(title)
        if len(names) > 1:
            one.legend(frameon=False)
    for one in (*axes[0, 1:], *axes[1, 2:]):
        one.set_yticklabels([])
    marks = [
        Line2D([], [], marker="|", ls="", color=GREY, ms=7, mew=1.4, label="random, same covariance"),
        Line2D([], [], marker="x", ls="", color=GREY, ms=6, mew=1.4, label="random, uniform"),
    ]
    axes[0, 0].legend(handles=marks, frameon=False, loc="lower right")
    return figure


def _draw_welch(axes: Axes, rows: xr.Dataset) -> None:
    height = np.arange(rows.sizes["row"])
    axes.plot(rows.welch.values, height, "1", color=INK, ms=8, mew=1.4, label="Welch bound")
    axes.legend(frameon=False)
