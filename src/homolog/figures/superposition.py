"""How many features does a bottleneck hold as they become sparser, and what share of a dimension has each?"""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_floors, said_with_bounds
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("represented", "per_dimension", "mean_dimensionality")


def headline(dataset: xr.Dataset) -> str:
    """What is held when features are always there, and when they are rare."""
    page = dataset.isel(hook_point=0) if "hook_point" in dataset.dims else dataset
    dense, sparse = page.isel(sparsity=0), page.isel(sparsity=-1)
    return (
        f"{int(page.attrs['features'])} features through {int(page.attrs['units'])} units: at sparsity "
        f"{float(dense.sparsity):g} {said_with_bounds(dense, 'represented', '{:.1f}')} are represented, each with "
        f"{said_with_bounds(dense, 'mean_dimensionality')} of a dimension; at {float(sparse.sparsity):g} "
        f"{said_with_bounds(sparse, 'represented', '{:.1f}')}, each with "
        f"{said_with_bounds(sparse, 'mean_dimensionality')}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """The three numbers against 1 / (1 - sparsity), the inverse of how often a feature is there."""
    figure = new_figure(9.5, 3.6, "Do features share dimensions?", headline(page))
    shown = page.assign_coords(sparsity=1 / (1 - page.sparsity))
    for place, name in enumerate(PANELS):
        axes = figure.add_subplot(1, len(PANELS), place + 1)
        draw_curve(axes, shown, name, "sparsity", place)
        draw_floors(axes, shown, name, "sparsity", labelled=True)
        axes.set(xscale="log", xlabel="1 / (1 - sparsity)", title=page[name].attrs["long_name"])
        axes.legend(frameon=False, title="random weights", title_fontsize=7)
    return figure
