"""What do two trainings of an autoencoder share, and does the start, the order or the data explain the rest?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, capital, draw_marks, one_page, said_range, said_with_bounds
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]


def headline(dataset: xr.Dataset) -> str:
    """By world: what the first method's trainings share, and the range of the components over methods; a verdict."""
    page = one_page(dataset)
    return " ".join([*(_of_world(page.sel(world=name)) for name in page.world.values), _verdict(page)])


def _of_world(own: xr.Dataset) -> str:
    first = own.isel(decomposition=0)
    shared = {name: said_with_bounds(first.sel(shared=name), "similarity") for name in first.shared.values}
    ceiling = float(own.similarity_ceiling)
    best = f", {ceiling:.2f} if all codes were known" if np.isfinite(ceiling) else ""
    explained = ", ".join(
        f"{name} {said_range(own.explained.sel(component=name))}"
        for name in ("start", "data", "order", "start x order")
    )
    world = str(own.world.item())
    return (
        f"{capital(world)}, {first.decomposition.item()}: from another start in another order latents "
        f"return with a cosine of {shared['data']} (chance {float(first.similarity_null):.2f}{best}), with the start "
        f"shared {shared['data, start']}, with the order shared {shared['data, order']}, on other data "
        f"{shared['nothing']}. Of that last difference, over all methods: {explained}."
    )


def _verdict(page: xr.Dataset) -> str:
    start, order = (page.sel(component=name) for name in ("start", "order"))
    clear = int((start.explained_low > order.explained_high).sum())
    other = int((order.explained_low > start.explained_high).sum())
    return (
        f"Alone, the start explains more than the order for sure in {clear} of {start.explained.size} cases, the order "
        f"more in {other}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each world: similarity by what is shared, and the components."""
    rows = page.sizes["world"]
    figure = new_figure(11.0, 2.0 + 2.3 * rows, "If an autoencoder is trained twice, what returns?", headline(page))
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True)
    for row, name in enumerate(page.world.values):
        own = page.sel(world=name)
        _draw_similarity(axes[row, 0], own)
        _draw_components(axes[row, 1], own)
        axes[row, 0].set_ylabel(f"{name}\ncosine of matched latents")
    axes[0, 0].legend(loc="upper left", bbox_to_anchor=(0, 1.32), ncols=4, frameon=False)
    axes[0, 1].legend(loc="upper left", bbox_to_anchor=(0, 1.32), ncols=3, frameon=False)
    for one in axes[-1]:
        one.set_xticks(range(page.sizes["decomposition"]), page.decomposition.values, rotation=20, ha="right")
    return figure


def _draw_similarity(axes: Axes, own: xr.Dataset) -> None:
    draw_marks(axes, own, "similarity", "decomposition", "shared: {}", "shared", 0.13)
    for column, null in enumerate(own.similarity_null.values):
        axes.plot([column - 0.4, column + 0.4], [null, null], **FLOORS["null"], label=None if column else "null")
    if np.isfinite(float(own.similarity_ceiling)):
        axes.axhline(float(own.similarity_ceiling), **FLOORS["ceiling"], label="codes known")
    axes.set_ylim(top=1.01)


def _draw_components(axes: Axes, own: xr.Dataset) -> None:
    x = np.arange(own.sizes["decomposition"])
    for place, name in enumerate(own.component.values):
        one = own.sel(component=name)
        at, y = x + 0.15 * (place - 2), one.explained.values
        bars = np.abs(np.stack([y - one.explained_low.values, one.explained_high.values - y]))
        axes.bar(at, y, 0.15, yerr=bars, error_kw={"lw": 0.8}, color=COLOURS[place], label=name)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set_ylabel("share of the difference")
