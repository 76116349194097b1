"""How does similarity change along the conditions of an experiment (widths, depths), on its scale at each of them?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.style import COLOURS, GREY, INK, PALE, SHAPES

KIND = "base-retrained"


def conditions(page: xr.Dataset) -> list[str]:
    """Labels of the conditions, in the config's order."""
    return list(dict.fromkeys(str(name) for name in page.comparison_condition.values))


def of_kind(page: xr.Dataset, kind: str = KIND) -> xr.Dataset:
    """The comparisons of one kind of pair, one for each condition."""
    return page.isel(comparison=np.flatnonzero(page.comparison_kind.values == kind))


def draw_along(axes: Axes, page: xr.Dataset, view: str, matching: str) -> None:
    """Observed with its interval and its scale at each condition; grey where not identified."""
    names = conditions(page)
    for place in range(len(names)):
        if not bool(of_kind(page).identified.isel(comparison=place).sel(view=view)):
            axes.axvspan(place - 0.5, place + 0.5, color=PALE, lw=0, zorder=0)
            label = "not\nidentified"
            axes.text(place, -0.02, label, ha="center", va="bottom", style="italic", fontsize=6.5, color="#555555")
    methods = list(page.decomposition.values)
    for index, method in enumerate(methods):
        shift = (index - (len(methods) - 1) / 2) * 0.6 / len(methods)
        colour, shape = COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)]
        cells = page.sel(decomposition=method, view=view, matching=matching)
        for place, cell in enumerate(_cells(of_kind(cells))):
            draw_scale(axes, cell, place + shift, colour, shape)
        for place, cell in enumerate(_cells(of_kind(cells, "retrained-retrained"))):
            axes.plot(
                place + shift + 0.07, cell["observed_mean"], marker=shape, mfc="white", mec=colour, ms=4.5, zorder=4
            )
    if not bool(of_kind(page).observed_mean.sel(view=view, matching=matching).notnull().any()):
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center", style="italic", color="#555555")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.03, 1.05), xticks=range(len(names)))
    axes.set_xticklabels(names)
    axes.tick_params(axis="x", length=0)


def draw_scale(axes: Axes, cell: dict[str, float], x: float, colour: str, shape: str) -> None:
    """One number on its scale: null, conditional null, initial, ceiling, and what was observed with its interval."""
    axes.plot([x, x], [cell["null"], cell["ceiling"]], color=GREY, lw=0.8, zorder=1)
    axes.plot(x, cell["null"], marker="_", color=GREY, ms=8, mew=1.6, zorder=2)
    axes.plot(x, cell["ceiling"], marker="_", color=INK, ms=8, mew=2.2, zorder=2)
    axes.plot(x, cell["conditional_null"], marker="x", color=INK, ms=4.5, mew=1.0, zorder=3)
    axes.plot(x, cell["initial"], marker="^", mfc="white", mec=INK, ms=5, mew=0.9, zorder=3)
    axes.plot([x, x], [cell["observed_low"], cell["observed_high"]], color=colour, lw=2.4, alpha=0.55, zorder=4)
    axes.plot(x, cell["observed_mean"], marker=shape, mfc=colour, mec="white", mew=0.5, ms=6.5, zorder=5)


def draw_legend(figure: Figure, where: SubplotSpec, page: xr.Dataset) -> None:
    """The marks of `draw_along`."""
    axes = figure.add_subplot(where)
    axes.axis("off")
    marks = [
        Line2D(
            [],
            [],
            color=COLOURS[i % len(COLOURS)],
            marker=SHAPES[i % len(SHAPES)],
            mec="white",
            ms=7,
            lw=2.4,
            label=str(name),
        )
        for i, name in enumerate(page.decomposition.values)
    ]
    marks += [
        Line2D([], [], color=INK, marker="o", ms=6, lw=0, label="base vs retrained (95 % interval)"),
        Line2D([], [], color=INK, marker="o", mfc="white", ms=5, lw=0, label="retrained vs retrained"),
        Line2D(
            [], [], color=GREY, marker="_", ms=9, mew=1.6, lw=0, label="null: same spectrum (score: inputs shuffled)"
        ),
        Line2D([], [], color=INK, marker="x", ms=5, lw=0, label="conditional null: shuffled within class"),
        Line2D(
            [], [], color=INK, marker="^", mfc="white", ms=5, lw=0, label="initial: redrawn weights not yet trained"
        ),
        Line2D(
            [],
            [],
            color=INK,
            marker="_",
            ms=9,
            mew=2.2,
            lw=0,
            label="ceiling: same run, refitted on other data (and seed)",
        ),
    ]
    axes.legend(handles=marks, loc="center", ncols=4, frameon=False, columnspacing=1.4, handletextpad=0.5)


def say_excess(page: xr.Dataset, view: str, matching: str) -> str:
    """Excess of each method along the conditions, and what of it was there untrained: ``pca 87% (55%), 85% (60%)``."""
    chosen = of_kind(page).sel(view=view, matching=matching)
    before = (chosen.initial - chosen.null) / chosen.reliability
    parts = []
    for method in page.decomposition.values:
        shares = zip(
            chosen.excess.sel(decomposition=method).values, before.sel(decomposition=method).values, strict=True
        )
        said = ["–" if np.isnan(share) else f"{share:.0%} ({start:.0%})" for share, start in shares]
        parts.append(f"{method} {', '.join(said)}")
    return "; ".join(parts)


def _cells(cells: xr.Dataset) -> list[dict[str, float]]:
    names = ("observed_mean", "observed_low", "observed_high", "null", "conditional_null", "initial", "ceiling")
    return [{name: float(cells[name][i]) for name in names} for i in range(cells.sizes["comparison"])]
