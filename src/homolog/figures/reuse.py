"""Is an operation learned faster for new tokens, and by the circuit that was there?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]


def headline(dataset: xr.Dataset) -> str:
    """Steps to the operation from each start, the area, and whether the same units read new tokens."""
    page = one_page(dataset)
    steps = ", ".join(f"{start} {_steps(page.sel(start=start))}" for start in page.start.values)
    after, frozen = (page.sel(start=name) for name in ("after the first", "frozen core"))
    faster = float(after.area_low) > 0
    same = float(after.same_units_low) > float(after.same_units_null_high)
    return (
        f"{page.attrs['group']}, learned again for new tokens. Steps until 95 % of the held-out pairs are right: "
        f"{steps}. What was learned {'helps' if faster else 'does not clearly help'}: the area above the curve from "
        f"scratch is {said_with_bounds(after, 'area')} (1: all right at once; frozen core "
        f"{said_with_bounds(frozen, 'area')}). {'The' if same else 'Not clearly the'} same units read the new tokens: "
        f"absolute correlation of their embeddings {said_with_bounds(after, 'same_units')}, with the next unit "
        f"{said_with_bounds(after, 'same_units_null')}; from scratch "
        f"{said_with_bounds(page.sel(start='scratch'), 'same_units')}. The first tokens are then right in "
        f"{said_with_bounds(after, 'first_accuracy')} of the held-out pairs."
    )


def _steps(at: xr.Dataset) -> str:
    if np.isfinite(float(at.found_at)):
        return said_with_bounds(at, "found_at", "{:z.0f}")
    return f"not reached ({said_with_bounds(at.isel(step=-1), 'test_accuracy')} at the end)"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Accuracy over training from each start, areas, and correlations of energies beside their null."""
    figure = new_figure(10.5, 4.6, "Is a circuit used again for new tokens?", headline(page))
    axes = figure.subplots(1, 3, width_ratios=[2, 1, 1])
    for place, start in enumerate(page.start.values):
        draw_curve(axes[0], page.sel(start=start), "test_accuracy", "step", place, str(start))
    axes[0].axhline(float(page.test_accuracy_null), color=GREY, lw=1, ls="--")
    axes[0].set_xlabel("step")
    axes[0].set_title(page.test_accuracy.attrs["long_name"])
    axes[0].legend(frameon=False)
    for one, name in zip(axes[1:], ("area", "same_units"), strict=True):
        _draw_points(one, page, name)
    return figure


def _draw_points(axes: Axes, page: xr.Dataset, name: str) -> None:
    places = np.arange(page.sizes["start"])
    values, low, high = (page[f"{name}{end}"].values for end in ("", "_low", "_high"))
    axes.vlines(places, low, high, color=COLOURS[: len(places)], lw=1.5)
    axes.scatter(places, values, color=COLOURS[: len(places)], s=22)
    if f"{name}_null" in page:
        axes.scatter(places, page[f"{name}_null"].values, marker="_", color=INK, s=80, label="the next unit")
        axes.legend(frameon=False)
    axes.axhline(0, color=GREY, lw=0.7)
    axes.set_xticks(places, [str(start).replace(" ", "\n") for start in page.start.values], fontsize=6)
    axes.set_title(page[name].attrs["long_name"], fontsize=6.5)
