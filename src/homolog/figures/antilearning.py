"""Which recipe prevented Y, and which only hid it?"""

from __future__ import annotations

from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.antilearning_findings import ANCHORS, answer, ran, tests
from homolog.figures.panels import draw_curve, one_page
from homolog.figures.style import COLOURS, GREY, INK, PALE, SHAPES, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

SHADES = {
    "prevented": COLOURS[2],
    "hidden": COLOURS[4],
    "kept": COLOURS[1],
    "X lost": GREY,
    "unclear": PALE,
    "": "white",
}
MEANINGS = {
    "prevented": "prevented: Y is neither answered nor learned faster than from scratch",
    "hidden": "hidden: not answered, but layers hold it or it is learned again fast",
    "kept": "kept: half or more of Y's answers are still there",
    "X lost": "X lost: accuracy on X fell by more than 0.1",
    "unclear": "unclear within three trainings",
}
LEFT = {"y_left_over_tests": "answers to Y", "area_left_over_tests": "head start in learning Y again"}
# Curves of relearning that are drawn beside the recipes'.
CURVES = ("X and Y", "X only", "random init")
MOST_CURVES = 6


def headline(dataset: xr.Dataset) -> str:
    """Which recipes prevented Y, and what became of the founding document's predictions."""
    return answer(one_page(dataset))


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """What is left of Y by recipe, verdicts by pair, and curves of relearning."""
    recipes = [str(name) for name in page.recipe.values if name not in ANCHORS]
    shown = tests(page)[:MOST_CURVES] or [str(name) for name in page.pair.values[:MOST_CURVES]]
    height = 6.2 + 0.24 * len(recipes)
    figure = new_figure(12.5, height, "Was Y prevented, or only hidden?", headline(page))
    grid = figure.add_gridspec(3, 1, height_ratios=[0.24 * len(recipes) + 0.6, 0.22, 1.7])
    upper = grid[0].subgridspec(1, 2, width_ratios=[1, 1.3])
    _draw_left(figure.add_subplot(upper[0]), page, recipes)
    _draw_verdicts(figure.add_subplot(upper[1]), page, recipes)
    legend = figure.add_subplot(grid[1])
    legend.axis("off")
    marks = [Patch(color=SHADES[name], label=said) for name, said in MEANINGS.items()]
    legend.legend(handles=marks, loc="center", ncols=3, frameon=False, fontsize=6.5)
    lower = grid[2].subgridspec(1, len(shown))
    for place, name in enumerate(shown):
        _draw_curves(figure.add_subplot(lower[place]), page.sel(pair=name), place)
    return figure


def _draw_left(axes: Axes, page: xr.Dataset, recipes: list[str]) -> None:
    """Shares of X only's that are left, on average over the pairs that are tests."""
    rows = np.arange(len(recipes))
    for place, (name, label) in enumerate(LEFT.items()):
        values, low, high = (page[f"{name}{end}"].sel(recipe=recipes).values for end in ("", "_low", "_high"))
        at = rows + 0.26 * (place - 0.5)
        axes.hlines(at, low, high, color=COLOURS[place], lw=1.2)
        axes.scatter(values, at, color=COLOURS[place], marker=SHAPES[place], s=22, label=label, zorder=3)
    for place, label in ((0, "as if never learned"), (1, "X only")):
        axes.axvline(place, color=INK, lw=0.8, ls=":")
        axes.text(place, -0.75, label, ha="center", fontsize=6.5)
    axes.set_yticks(rows, recipes)
    axes.set_ylim(len(recipes) - 0.5, -1.1)
    known = [page[f"{name}{end}"].sel(recipe=recipes).values for name in LEFT for end in ("_low", "_high")]
    axes.set_xlim(max(-1.0, min(-0.2, np.nanmin(known))), min(2.0, max(1.2, np.nanmax(known))))
    axes.set_xlabel("share of what X only has that is left, mean over pairs")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=6.5)


def _draw_verdicts(axes: Axes, page: xr.Dataset, recipes: list[str]) -> None:
    """A cell for each recipe on each pair: its verdict's colour; accuracy on Y, and the area."""
    for column, pair in enumerate(page.pair.values):
        for row, recipe in enumerate(recipes):
            one = page.sel(pair=pair, recipe=recipe)
            axes.add_patch(_cell(column, row, SHADES[str(one.verdict.item())]))
            if np.isfinite(float(one.y_accuracy)):
                said = f"{float(one.y_accuracy):.2f} · {float(one.area):z.2f}"
                axes.text(column, row, said, ha="center", va="center", fontsize=6)
    for column, pair in enumerate(page.pair.values):
        if str(page.gate.sel(pair=pair).item()) == "none":
            axes.text(column, len(recipes) / 2 - 0.5, "no test", ha="center", va="center", rotation=90, color=GREY)
    axes.set_xlim(-0.5, page.sizes["pair"] - 0.5)
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    axes.set_xticks(range(page.sizes["pair"]), [fill(str(name), 11) for name in page.pair.values], fontsize=6)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("accuracy on Y · area of relearning", fontsize=7)


def _cell(column: int, row: int, colour: str) -> Patch:
    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=colour, alpha=0.55, lw=0)


def _draw_curves(axes: Axes, one: xr.Dataset, place: int) -> None:
    """Accuracy on Y while it is learned again: anchors in colour, recipes in grey."""
    for recipe in ran(one):
        if recipe not in ANCHORS:
            axes.plot(one.moment.values, one.relearning.sel(recipe=recipe).values, color=GREY, lw=0.6)
    for number, recipe in enumerate(CURVES):
        label = {"random init": "from scratch"}.get(recipe, recipe) if place == 0 else ""
        draw_curve(axes, one.sel(recipe=recipe), "relearning", "moment", number, label)
    axes.axhline(float(one.chance), color=GREY, lw=0.8, ls="--")
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(str(one.pair.item()), fontsize=7)
    axes.set_xlabel("share of relearning", fontsize=7)
    if place == 0:
        axes.set_ylabel("accuracy on Y")
        axes.plot([], [], color=GREY, lw=0.6, label="recipes")
        axes.legend(frameon=False, fontsize=6)
