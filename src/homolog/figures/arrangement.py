"""Are features arranged in orthogonal groups or all together, how much do they interfere, and what is left empty?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("in_factors", "groups", "rms", "largest_positive", "largest", "empty")


def headline(dataset: xr.Dataset) -> str:
    """For the most features: where factors are commonest, and where features are rarest; interference; emptiness."""
    page = one_page(dataset)
    many = page.isel(features=-1)
    best = int(np.nanargmax(many.in_factors.values))
    common, rare = many.isel(sparsity=best), many.isel(sparsity=-1)
    few = page.isel(features=0, sparsity=-1)
    return (
        f"{int(page.attrs['units'])} units. Of {int(many.features)} features, at sparsity {float(common.sparsity):g} "
        f"{said_with_bounds(common, 'represented', '{:.1f}')} are held, and {_factors(common)}; at "
        f"{float(rare.sparsity):g} "
        f"{said_with_bounds(rare, 'represented', '{:.1f}')}, and {_factors(rare)}. Their cosines there have a root "
        f"mean square of "
        f"{said_with_bounds(rare, 'rms', '{:.3f}')} (Welch bound {float(rare.welch):.3f}, random directions "
        f"{float(rare.rms_null):.3f}), none "
        f"is above {said_with_bounds(rare, 'largest_positive')} (random {float(rare.largest_positive_null):.2f}). "
        f"Empty directions: "
        f"{said_with_bounds(few, 'empty', '{:.1f}')} with {int(few.features)} features, "
        f"{said_with_bounds(rare, 'empty', '{:.1f}')} with "
        f"{int(many.features)}."
    )


def _factors(cell: xr.Dataset) -> str:
    return (
        f"{said_with_bounds(cell, 'in_factors')} of them stand in tegum factors (random directions "
        f"{float(cell.in_factors_null):.2f})"
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A panel for each number against sparsity, a line for each number of features, dashed: random directions."""
    figure = new_figure(10.5, 6.2, "One polytope, or a product of small ones?", headline(page))
    axes = figure.subplots(2, 3)
    for one, name in zip(axes.flat, PANELS, strict=True):
        for place, features in enumerate(page.features.values):
            world = page.sel(features=features)
            draw_curve(one, world, name, "sparsity", place, f"{int(features)}")
            if f"{name}_null" in world:
                null = world[f"{name}_null"].values
                one.plot(world.sparsity.values, null, color=COLOURS[place], lw=0.8, ls="--")
            if name == "rms":
                one.plot(world.sparsity.values, world.welch.values, color=COLOURS[place], lw=0.8, ls=":")
        one.set(xlabel="sparsity", title=page[name].attrs["long_name"])
    axes[0, 0].legend(frameon=False, title="features", title_fontsize=7)
    dashed = axes[0, 1].plot([], [], color=GREY, lw=0.8, ls="--", label="random directions")
    dotted = axes[0, 2].plot([], [], color=GREY, lw=0.8, ls=":", label="Welch bound")
    axes[0, 2].legend(handles=[*dashed, *dotted], frameon=False, loc="center right", bbox_to_anchor=(1, 0.4))
    return figure
