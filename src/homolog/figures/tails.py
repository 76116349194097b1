"""Which units fall off exponentially, and how does that compare with random directions and planted laws?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_map, one_page, said_with_bounds
from homolog.figures.style import GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

SHARES = ("exponential", "half_normal", "neither", "open")
NAMES = ("exponential", "half-normal", "neither", "either")


def headline(dataset: xr.Dataset) -> str:
    """Shares of exponential units by kind for the first tail, exponents, and what the tests can tell at all."""
    page = one_page(dataset)
    tail, whole = page.isel(share=0), page.isel(share=-1)
    fitted = [kind for kind in page.kind.values if kind not in (*PLANTED, *OWN)]
    said = [_of(tail.sel(kind=kind), str(kind)) for kind in ("neurons", *fitted, *OWN[1:])]
    normal = tail.sel(kind=PLANTED[1])
    power = [float(at.sel(kind=kind)[name]) for at, kind, name in zip((tail, whole), PLANTED, LAWS, strict=True)]
    exponents = [f"{said_with_bounds(whole.sel(kind=kind), 'exponent')} of {kind}" for kind in (*OWN, *fitted)]
    return (
        f"{page.attrs['replicates']} networks trained on {page.attrs['task']} (accuracy "
        f"{said_with_bounds(page, 'accuracy')}). {_share(tail)}, exponential and not half-normal are "
        f"{'; '.join(said)}. The "
        f"tail of a normal law has an exponent of {said_with_bounds(normal, 'exponent')} there. {_verdict(tail)} "
        f"{_share(whole)}, exponents are {', '.join(exponents)}. Tests name {power[0]:.0%} of planted exponential "
        f"tails, and {power[1]:.0%} of half-normal laws as a whole."
    )


LAWS = ("exponential", "half_normal")


def _share(at: xr.Dataset) -> str:
    return "Of all that is above 0" if float(at.share) == 1 else f"Of the upper {float(at.share):.0%} of the rows"


OWN = ("neurons", "random directions", "neurons before training")
PLANTED = ("exponential", "half-normal")


def _of(one: xr.Dataset, name: str) -> str:
    return (
        f"{said_with_bounds(one, 'exponential')} of {name} (half-normal {float(one.half_normal):.2f}, exponent "
        f"{said_with_bounds(one, 'exponent')})"
    )


def _verdict(at: xr.Dataset) -> str:
    """Whether neurons are nearer to an exponential than random directions, by the intervals of their exponents."""
    own, random = (at.sel(kind=kind) for kind in OWN[:2])
    nearer = abs(float(own.exponent) - 1) < abs(float(random.exponent) - 1)
    apart = float(own.exponent_low) > float(random.exponent_high) or float(own.exponent_high) < float(
        random.exponent_low
    )
    inside = float(own.exponent_low) <= 1 <= float(own.exponent_high)
    if not apart:
        text = "Neurons can't be told from random directions by their exponent (1: exponential, 2: half-normal); "
        return text + _line(own, inside)
    return (
        f"Neurons are {'nearer to' if nearer else 'farther from'} an exponential tail (exponent 1) than random "
        f"directions; {_line(own, inside)}"
    )


def _line(own: xr.Dataset, inside: bool) -> str:
    """The seed's straight line on a log plot."""
    if inside:
        return "as expected, they are a straight line on a log plot."
    bend = "faster" if float(own.exponent) > 1 else "slower"
    return f"unlike expected, they are no straight line on a log plot: they fall off {bend}."


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Survival curves, shares of verdicts for each tail, and exponents."""
    figure = new_figure(11.5, 6.4, "Are activation distributions exponential?", headline(page))
    shares = page.sizes["share"]
    grid = figure.add_gridspec(1, shares + 1, width_ratios=(1.3, *[1] * shares))
    _draw_survival(figure.add_subplot(grid[0]), page)
    for place in range(shares):
        axes, at = figure.add_subplot(grid[place + 1]), page.isel(share=place)
        columns = xr.concat([at[name] for name in SHARES], "verdict").assign_coords(verdict=list(NAMES))
        draw_map(axes, columns, "kind", "verdict")
        exponents = [f"{kind}\nb = {said_with_bounds(at.sel(kind=kind), 'exponent')}" for kind in at.kind.values]
        axes.set_yticks(np.arange(len(exponents)), exponents, fontsize=7)
        axes.set_title(f"share of units by verdict\n{_share(at).lower()}")
        axes.tick_params(axis="x", labelrotation=35)
    return figure


def _draw_survival(axes: Axes, page: xr.Dataset) -> None:
    axes.plot(page.level, -page.level, color=GREY, ls="--", lw=1.0, label="exponential law")
    shown = [kind for kind in page.kind.values if kind not in PLANTED]
    for place, kind in enumerate(shown):
        draw_curve(axes, page.sel(kind=kind), "survival", "level", place, str(kind))
    axes.set(xlabel="excess over the threshold, in its means", ylabel="log of the share of the tail above")
    axes.set_title("how tails fall off, mean over units")
    axes.legend(frameon=False)
