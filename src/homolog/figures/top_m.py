"""At which width does a top-m filter cost nothing, and are features on single units where it stands?"""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_floors, one_page, said_with_bounds
from homolog.figures.style import GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

NAMES = {"relu": "ReLU", "top_m": "top m", "random_mask": "m at random", "rotated_top_m": "top m, turned basis"}


def headline(dataset: xr.Dataset) -> str:
    """Alignment with and without the filter at one unit for each feature, and the gap below, there and above."""
    page = one_page(dataset)
    page = page.isel(features=-1)
    at = page.sel(ratio=1.0, method="nearest")
    top, plain, turned = (at.sel(filter=name) for name in ("top_m", "relu", "rotated_top_m"))
    low, high = (page.sel(filter="top_m").isel(ratio=i) for i in (0, -1))
    return (
        f"{int(page.features)} features, {int(page.attrs['kept'])} units kept. With a unit for each feature the "
        f"filter aligns them with "
        f"units: {said_with_bounds(top, 'alignment')}, against {said_with_bounds(plain, 'alignment')} with ReLU alone "
        f"and {float(at.alignment_null):.2f} of random directions; kept in a turned basis "
        f"{said_with_bounds(turned, 'alignment')}, but along the axes of that basis "
        f"{said_with_bounds(turned, 'turned_alignment')}. What it costs "
        f"in FVU is {said_with_bounds(low, 'gap', '{:z.3f}')} at {float(low.ratio):g} units a feature (where ReLU "
        f"alone leaves {float(page.fvu.sel(filter='relu')[0]):.2f}), {said_with_bounds(top, 'gap', '{:z.3f}')} at 1 "
        f"and {said_with_bounds(high, 'gap', '{:z.3f}')} at {float(high.ratio):g}. "
        f"{_verdict(page.sel(filter='top_m'))} {_at_random(at)}"
    )


def _verdict(top: xr.Dataset) -> str:
    """Whether the filter costs more below than from as many units as features on, as the founding document expects."""
    if "more_below" not in top:
        return "Widths lie on one side of the number of features alone."
    narrow = top.ratio.values < 1
    sides = [(top.gap_low.values > 0)[side] for side in (narrow, ~narrow)]
    low, high = float(top.more_below_low), float(top.more_below_high)
    answer = "as expected" if low > 0 else ("the other way round than expected" if high < 0 else "no clear difference")
    return (
        f"Below the number of features it costs {said_with_bounds(top, 'more_below', '{:z.3f}')} more than from there "
        f"on: {answer}; for sure it costs something at {sides[0].sum()} of {len(sides[0])} widths below, at "
        f"{sides[1].sum()} of {len(sides[1])} from there on."
    )


def _at_random(at: xr.Dataset) -> str:
    mask = at.sel(filter="random_mask")
    return f"As many units at random cost {said_with_bounds(mask, 'gap', '{:.2f}')} at a unit for each feature."


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each number of features: FVU, the gap, alignment and spread against units over features."""
    rows = page.sizes["features"]
    figure = new_figure(10.5, 1.3 + 2.5 * rows, "Does a top-m filter put features on units?", headline(page))
    axes = figure.subplots(rows, 4, squeeze=False, sharex=True)
    for row in range(rows):
        world = page.isel(features=row)
        for column, name in enumerate(("fvu", "gap", "alignment", "participation")):
            _draw_panel(axes[row, column], world, name)
            axes[row, column].set_title(page[name].attrs["long_name"] if row == 0 else "")
        axes[row, 0].set_ylabel(f"{int(world.features)} features")
    for one in axes[-1]:
        one.set_xlabel("units / features")
    axes[0, 0].legend(frameon=False)
    return figure


def _draw_panel(axes: Axes, world: xr.Dataset, name: str) -> None:
    for place, kind in enumerate(world["filter"].values):
        if not (name == "gap" and kind == "relu"):
            draw_curve(axes, world.sel(filter=kind), name, "ratio", place, NAMES[str(kind)])
    if name == "alignment":
        turned = world.sel(filter="rotated_top_m")
        draw_curve(axes, turned, "turned_alignment", "ratio", world.sizes["filter"])
        axes.legend(axes.lines[-1:], ["turned basis, along its axes"], frameon=False, loc="lower left")
    draw_floors(axes, world, name, "ratio")
    axes.axvline(1, color=GREY, lw=0.6, ls=":")
    if name == "gap":
        axes.axhline(0, color=GREY, lw=0.6)
    if name == "participation":
        axes.set_yscale("log")
