"""How one number is drawn on its scale: null, conditional null, initial and ceiling, and what was observed on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.style import COLOURS, GREY, INK, SHAPES, draw_marks_that_fit

SCALE = ("observed_mean", "observed_low", "observed_high", "null", "conditional_null", "initial", "ceiling", "excess")
LABELS = {
    "null": "null: same spectrum (score: inputs shuffled)",
    "conditional_null": "conditional null: shuffled within {}",
    "initial": "initial: weights as drawn, not yet trained",
    "ceiling": "ceiling: same run, refitted on other data (and seed)",
}


def read_cell(cell: xr.Dataset) -> dict[str, float]:
    """The plain numbers of one comparison, decomposition, view and matching."""
    return {name: float(cell[name]) for name in SCALE}


def colour_and_shape(index: int) -> tuple[str, str]:
    """The colour and the marker of the i-th series."""
    return COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)]


def draw_scale(axes: Axes, value: dict[str, float], place: float, colour: str, shape: str, across: bool) -> None:
    """Draw one number at `place`: along the x axis if `across`, else along the y axis."""

    def plot(values: list[float], **style: Any) -> None:
        places = [place] * len(values)
        axes.plot(*((values, places) if across else (places, values)), **style)

    plot([value["null"], value["ceiling"]], color=GREY, lw=0.8, zorder=1)
    for zorder, (name, style) in enumerate(_marks(across).items(), start=2):
        plot([value[name]], **style, zorder=zorder)
    interval = [value["observed_low"], value["observed_high"]]
    plot(interval, color=colour, lw=2.4, alpha=0.55, solid_capstyle="butt", zorder=6)
    plot([value["observed_mean"]], marker=shape, mfc=colour, mec="white", mew=0.5, ms=6.5, zorder=7)


def _marks(across: bool) -> dict[str, dict[str, Any]]:
    bar = "|" if across else "_"
    return {
        "null": {"color": GREY, "marker": bar, "ms": 8, "mew": 1.6, "lw": 0},
        "ceiling": {"color": INK, "marker": bar, "ms": 8, "mew": 2.2, "lw": 0},
        "conditional_null": {"color": INK, "marker": "x", "ms": 4.5, "mew": 1.0, "lw": 0},
        "initial": {"color": INK, "marker": "^", "mfc": "white", "ms": 5, "mew": 0.9, "lw": 0},
    }


def draw_legend(
    figure: Figure, where: SubplotSpec, series: Iterable[str], across: bool, kept: str, more: Iterable[Line2D] = ()
) -> None:
    """Say what the marks mean: the series by colour and shape, then the scale, then `more`.

    `kept` is what the conditional null shuffles within.
    """
    axes = figure.add_subplot(where)
    axes.axis("off")
    marks = []
    for index, name in enumerate(series):
        colour, shape = colour_and_shape(index)
        marks.append(Line2D([], [], color=colour, marker=shape, mec="white", ms=7, lw=2.4, label=name))
    styles = _marks(across)
    marks += [Line2D([], [], label=label.format(kept), **styles[name]) for name, label in LABELS.items()]
    marks += more
    draw_marks_that_fit(axes, marks)
