"""Did each member of a grid train, and what does the grid trade: L0, variance unexplained and loss recovered?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from homolog.figures.style import in_house_style, new_figure
from homolog.figures.trade import (
    KINDS,
    NAMED,
    colours_of,
    draw_recovered,
    draw_trade,
    kind_of,
    knows_recovered,
    names_in,
    scale_axis,
    where,
)
from homolog.figures.training_findings import say_ends, say_training

# Curve: what its axis says. Those that are logged besides stand behind them under their own names.
LABELS = {
    "curve_fvu": "FVU of the batch",
    "curve_l0": "L0 (latents in use per sample)",
    "curve_dead_fraction": "dead latents (share of all)",
    "curve_penalty": "penalty (before its coefficient)",
    "curve_auxiliary": "auxiliary loss (before its coefficient)",
    "curve_nested_fvu": "FVU of the batch, mean over nested levels",
    "curve_gate_fvu": "FVU of the batch, by the gates alone",
}
HIDDEN = {"curve_step", "curve_lr"}
COLUMNS = 3
# More lines than so many in a panel are drawn as a picture: as lines the file would take minutes to open.
MANY = 1500
DPI = 200


@in_house_style
def draw(members: xr.Dataset) -> list[Figure]:
    """For each hook point, FVU against L0 and loss recovered of all decompositions, then a page for each trained one.

    `members` is what `homolog.store.members.read_members` gives: dims (member, point).
    """
    pages = []
    for hook_point in names_in(members, "hook_point"):
        here = where(members, hook_point=hook_point)
        pages.append(_draw_ends(here, hook_point))
        pages += [
            _draw_grid(here, name)
            for name in names_in(here, "decomposition")
            if _logged(where(here, decomposition=name))
        ]
    return pages


def _logged(members: xr.Dataset) -> list[str]:
    """Names of the curves that some of these members have, in the order of their panels."""
    known = [name for name in LABELS if name in members]
    more = [str(name) for name in members if str(name).startswith("curve_") and name not in HIDDEN.union(LABELS)]
    return [name for name in (*known, *more) if bool(np.isfinite(members[name]).any())]


def _draw_ends(here: xr.Dataset, hook_point: str) -> Figure:
    """All members of all decompositions at one hook point."""
    question = f"What do the decompositions of {hook_point} leave unexplained, and with how many latents in use?"
    panels = 2 if knows_recovered(here) else 1
    figure = new_figure(3.5 + 5.0 * panels, 5.6, question, say_ends(here))
    grid = figure.add_gridspec(1, panels + 1, width_ratios=[2.6] * panels + [1.0])
    handles = draw_trade(figure.add_subplot(grid[0]), here)
    if knows_recovered(here):
        draw_recovered(figure.add_subplot(grid[1]), here)
    axes = figure.add_subplot(grid[panels])
    axes.axis("off")
    axes.legend(handles=handles, loc="upper left", frameon=False)
    return figure


def _draw_grid(here: xr.Dataset, name: str) -> Figure:
    """Curves of all members of one decomposition by grid point, and where they end beside the other decompositions."""
    chosen = where(here, decomposition=name)
    curves = _logged(chosen)
    count = len(curves) + (2 if knows_recovered(here) else 1)
    bands = -(-count // COLUMNS)
    columns, lines = _legend_shape(names_in(chosen, "label"), len(names_in(here, "decomposition")))
    under = 0.35 + 0.15 * lines
    question = f"Did the members of {name} at {here.hook_point.values[0]} train, and what does the grid trade?"
    figure = new_figure(13.0, 1.1 + 2.7 * bands + under, question, say_training(chosen))
    figure.set_dpi(DPI)
    rows = figure.add_gridspec(2, 1, height_ratios=[2.7 * bands, under])
    grid = GridSpecFromSubplotSpec(bands, COLUMNS, rows[0])
    panels = [figure.add_subplot(grid[index // COLUMNS, index % COLUMNS]) for index in range(count)]
    for axes, curve in zip(panels, curves, strict=False):
        _draw_curve(axes, chosen, curve)
    if knows_recovered(here):
        draw_recovered(panels[-1], here, name)
    _draw_legend(figure, rows[1], draw_trade(panels[len(curves)], here, name), columns)
    return figure


def _draw_curve(axes: Axes, members: xr.Dataset, curve: str) -> None:
    """One thin line a member, faint for halves and untrained networks; bold, the median of each grid point."""
    step, values = members.curve_step.values, members[curve].values
    colours = colours_of(names_in(members, "label"))
    kinds, labels = kind_of(members), members.label.values
    finite = np.isfinite(values)
    for zorder, (kind, style) in enumerate(KINDS.items(), start=1):
        drawn = np.flatnonzero(kinds == kind)
        lines = LineCollection(
            [np.column_stack([step[i, finite[i]], values[i, finite[i]]]) for i in drawn],
            colors=[style.colour or colours[labels[i]] for i in drawn],
            linewidths=style.width,
            linestyles=style.dash,
            alpha=style.alpha,
            zorder=zorder,
            rasterized=len(values) > MANY,
        )
        axes.add_collection(lines)
    for label, colour in colours.items():
        of_point = (kinds == "all") & (labels == label)
        _draw_median(axes, step[of_point], values[of_point], colour)
    scale_axis(axes, "x", step)
    scale_axis(axes, "y", values)
    axes.set(xlabel="optimiser step", ylabel=LABELS.get(curve, curve.removeprefix("curve_").replace("_", " ")))


def _draw_median(axes: Axes, step: np.ndarray, values: np.ndarray, colour: str) -> None:
    """The median of members of one grid point, which log at the same steps: (member, point) both."""
    values = np.where(np.isfinite(values), values, np.nan)
    there = np.isfinite(values).any(0)
    if there.any():
        outline = [Stroke(linewidth=2.8, foreground="white"), Normal()]
        x, y = np.nanmedian(step[:, there], axis=0), np.nanmedian(values[:, there], axis=0)
        axes.plot(x, y, color=colour, lw=1.6, zorder=5, path_effects=outline)


def _legend_shape(labels: list[str], decompositions: int) -> tuple[int, int]:
    """Columns of the legend, as the longest label lets them stand on a page 13 inches wide, and its lines."""
    columns = max(1, min(8, 200 // (max(map(len, labels)) + 8)))
    entries = min(len(labels), NAMED) + decompositions + len(KINDS)
    return columns, -(-entries // columns)


def _draw_legend(figure: Figure, below: SubplotSpec, handles: list[Line2D], columns: int) -> None:
    """What colours and marks mean: grid points first, then the kinds of members."""
    axes = figure.add_subplot(below)
    axes.axis("off")
    axes.legend(handles=handles, loc="upper center", ncols=columns, frameon=False, columnspacing=1.4, handletextpad=0.5)
