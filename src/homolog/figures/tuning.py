"""How are units of a small convolutional network tuned to curves, and does their tuning return in other networks?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

BARS = ("selective", "curve_like", "examples", "family", "returning")
DEGREES = ("width", "width_examples", "gap")


def headline(dataset: xr.Dataset) -> str:
    """Curves against lines, width, coverage, examples, and what returns, each beside networks before training."""
    page = one_page(dataset)
    own, begun = (page.isel(kind=place) for place in (0, 1))

    def both(name: str, form: str = "{:z.2f}") -> str:
        return f"{said_with_bounds(own, name, form)} (before training {float(begun[name]):{form[2:-1]}})"

    return (
        f"{page.attrs['replicates']} networks (accuracy {said_with_bounds(page, 'accuracy')}). The best curve "
        f"drives a unit "
        f"more than the best line by {both('curve_like')} of the larger; depth of tuning {both('selective')}, width "
        f"{both('width', '{:.0f}')} degrees, {both('width_examples', '{:.0f}')} on turned dataset examples. These "
        f"and curves "
        f"tell the same tuning: {both('examples')}, other units' {float(own.examples_null):.2f}. The widest stretch of "
        f"angles that no unit prefers is {both('gap', '{:.0f}')} degrees, of random angles {float(own.gap_null):.0f}. "
        f"{_families(own, begun)}"
    )


def _families(own: xr.Dataset, begun: xr.Dataset) -> str:
    above = float(own.family_low) > max(float(own.family_null_high), float(begun.family_high))
    verdict = "the same tuning returns more than chance and the start would have it" if above else (
        "what returns isn't clear of what chance or the start would have"
    )  # fmt: skip
    return (
        f"Matched between networks, tuning is alike to {said_with_bounds(own, 'family')}, with angles at random "
        f"{said_with_bounds(own, 'family_null')}, before training {said_with_bounds(begun, 'family')}: {verdict}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Tuning about the peak, preferred angles, and numbers of trained networks beside those of before."""
    figure = new_figure(11.5, 6.2, "Are there curve detectors, and do they return?", headline(page))
    grid = figure.add_gridspec(2, 2)
    profile, preferred, shares, degrees = (figure.add_subplot(grid[divmod(place, 2)]) for place in range(4))
    for place, kind in enumerate(page.kind.values):
        one = page.sel(kind=kind)
        about = one.assign_coords(angle=one.angle - 180)
        draw_curve(profile, about, "profile", "angle", place, str(kind))
        draw_curve(preferred, one, "preferred", "angle", place)
    profile.set(xlabel="degrees from the preferred angle", title="tuning to curves, over its peak (mean over units)")
    profile.legend(frameon=False)
    preferred.axhline(1 / page.sizes["angle"], color=GREY, lw=0.8, ls="--")
    preferred.set(xlabel="preferred angle, degrees", title="share of units (dashed: evenly)")
    _draw_bars(shares, page, BARS)
    _draw_bars(degrees, page, DEGREES)
    return figure


def _draw_bars(axes: Axes, page: xr.Dataset, names: tuple[str, ...]) -> None:
    """A mark for each kind with its interval; a dash where chance is."""
    for row, name in enumerate(names):
        for place, kind in enumerate(page.kind.values):
            one, y = page.sel(kind=kind), row + 0.18 * (place - 0.5)
            value, low, high = (float(one[key]) for key in (name, f"{name}_low", f"{name}_high"))
            axes.errorbar(
                value, y, xerr=[[value - low], [high - value]], fmt="os"[place], ms=4, color=COLOURS[place], lw=1.2
            )
            if f"{name}_null" in page:
                axes.plot(float(one[f"{name}_null"]), y, "|", color=GREY, ms=10)
    axes.set_yticks(np.arange(len(names)), [page[name].attrs["long_name"] for name in names], fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title("grey: chance")
