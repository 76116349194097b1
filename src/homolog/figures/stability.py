"""Which latents come back, by method and view, each number on the scale between its null and its ceiling?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from homolog.figures.findings import MATCHING, PRIMARY, headline, kept
from homolog.figures.latents import draw_latents
from homolog.figures.scale import colour_and_shape, draw_legend, draw_scale, read_cell
from homolog.figures.style import (
    COLOURS,
    GREY,
    INK,
    PALE,
    VIEW_TITLES,
    in_house_style,
    mark_not_identified,
    new_figure,
)

__all__ = ["draw", "draw_pages", "headline"]


def draw_pages(page: xr.Dataset) -> list[Figure]:
    """Two pages for a hook point: methods against views, and latent by latent."""
    return [draw(page), draw_latents(page)]


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """The figure of one hook point: methods against views above; similarity by rank and the runs below."""
    by_rank = page.observed_by_rank.notnull().any([dim for dim in page.observed_by_rank.dims if dim != "decomposition"])
    ordered = [str(name) for name in page.decomposition.values[by_rank.values]]
    rows = page.sizes["decomposition"] * page.sizes["comparison"]
    columns = max(1, min(len(ordered), RANK_COLUMNS))
    bands = max(1, -(-len(ordered) // columns))
    question = f"When {page.hook_point.item()} is trained again, which latents come back?"
    figure = new_figure(13.0, 2.3 + 0.28 * rows + 2.5 * bands, question, headline(page.expand_dims("hook_point")))
    grid = figure.add_gridspec(3, 1, height_ratios=[1.0 + 0.28 * rows, 0.45, 2.5 * bands])
    _draw_views(figure, grid[0], page)
    series = [f"observed: {_say(page, i)}" for i in range(page.sizes["comparison"])]
    share = Line2D([], [], lw=0, label="bars: 95 %; %: (observed – null) / (ceiling – null); n. i.: not identified")
    draw_legend(figure, grid[1], series, across=True, kept=kept(page)[0], more=[share])
    lower = GridSpecFromSubplotSpec(bands, columns + 2, grid[2], width_ratios=[1.0] * columns + [0.62, 2.1])
    for index, method in enumerate(ordered):
        where = lower[index // columns, index % columns]
        _draw_rank(figure.add_subplot(where), page, method, first=index % columns == 0)
    if ordered:
        _draw_rank_legend(figure.add_subplot(lower[:, -2]), _say(page, 0))
    _draw_runs(figure.add_subplot(lower[:, -1]), page)
    return figure


def _draw_views(figure: Figure, where: SubplotSpec, page: xr.Dataset) -> None:
    grid = GridSpecFromSubplotSpec(1, page.sizes["view"], where, wspace=0.06)
    panels = [figure.add_subplot(grid[i]) for i in range(page.sizes["view"])]
    for axes, view in zip(panels, page.view.values, strict=True):
        axes.set_title(VIEW_TITLES.get(view, view), loc="left", fontweight="bold" if view == PRIMARY else "normal")
        if not bool(page.identified.sel(view=view).any()):
            mark_not_identified(axes)
        elif str(page.caveat.sel(view=view).item()):
            axes.text(
                0.5,
                0.99,
                str(page.caveat.sel(view=view).item()),
                transform=axes.transAxes,
                ha="center",
                va="top",
                style="italic",
                color="#555555",
            )
        _draw_view(axes, page.sel(view=view, matching=MATCHING))
        if axes is not panels[0]:
            axes.tick_params(labelleft=False)
    panels[0].set_ylabel("decomposition")


def _draw_view(axes: Axes, cells: xr.Dataset) -> None:
    """Rows of the scale from null to ceiling, with what was observed on it and its excess at the right."""
    methods, n = list(cells.decomposition.values), cells.sizes["comparison"]
    for row, method in enumerate(methods):
        axes.axhspan(row - 0.5, row + 0.5, color="white" if row % 2 else "#00000008", lw=0)
        for index in range(n):
            cell = cells.sel(decomposition=method).isel(comparison=index)
            y = row + (index - (n - 1) / 2) * 0.75 / n
            _draw_cell(axes, cell, y, *colour_and_shape(index))
    axes.set(
        ylim=(len(methods) - 0.5, -0.72), xlim=(-0.06, 1.24), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=range(len(methods))
    )
    axes.set_xticklabels(["0", "", "0.5", "", "1"])
    axes.set_yticklabels(methods)
    axes.set_xlabel("similarity")
    axes.tick_params(axis="y", length=0)


def _draw_cell(axes: Axes, cell: xr.Dataset, y: float, colour: str, shape: str) -> None:
    value, identified = read_cell(cell), bool(cell.identified)
    if np.isnan(value["observed_mean"]):
        return
    colour = colour if identified else GREY
    draw_scale(axes, value, y, colour, shape, across=True)
    share = "–" if np.isnan(value["excess"]) else f"{value['excess']:.0%}"
    label = share if identified else "n. i."
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    axes.text(1.235, y, label, ha="right", va="center", fontsize=7, color=colour, bbox=ground, zorder=8)


def _say(page: xr.Dataset, index: int) -> str:
    """A comparison as the legend says it: its kind, and its condition where there are several."""
    condition, kind = str(page.comparison_condition.values[index]), str(page.comparison_kind.values[index])
    if len(set(page.comparison_condition.values)) == 1:
        return kind.replace("-", " vs ")
    return condition if kind == "independent" else f"{condition}, {kind.replace('-', ' vs ')}"


# Panels in a row: more would leave no room for the runs.
RANK_COLUMNS = 4
# role: colour, dash, width
RANK_LINES = {
    "ceiling": (INK, "-", 1.4),
    "observed": (COLOURS[0], "-", 2.0),
    "initial": (INK, ":", 1.2),
    "conditional_null": (GREY, "--", 1.0),
    "null": (GREY, "-", 1.0),
}


def _draw_rank(axes: Axes, page: xr.Dataset, method: str, first: bool) -> None:
    chosen = page.isel(comparison=0).sel(decomposition=method, view=PRIMARY)
    for rank, near in zip(page["rank"].values, page.near_degenerate.sel(decomposition=method).values, strict=True):
        if near:
            axes.axvspan(rank - 0.5, rank + 0.5, color=PALE, lw=0, zorder=0)
    for role, (colour, dash, width) in RANK_LINES.items():
        marker = "o" if role == "observed" else ""
        axes.plot(page["rank"], chosen[f"{role}_by_rank"], color=colour, ls=dash, lw=width, marker=marker, ms=4)
    axes.set(ylim=(0, 1.03), xlim=(0.5, page.sizes["rank"] + 0.5), xlabel="rank (canonical order)")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.set_title(f"{method}, rank by rank", loc="left")
    axes.tick_params(labelleft=first)
    if first:
        axes.set_ylabel(PRIMARY)


def _draw_rank_legend(axes: Axes, title: str) -> None:
    axes.axis("off")
    marks: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=colour,
            ls=dash,
            lw=width,
            marker="o" if role == "observed" else "",
            ms=4,
            label=role.replace("_", " "),
        )
        for role, (colour, dash, width) in RANK_LINES.items()
    ]
    marks.append(Patch(color=PALE, label="near-degenerate:\ngap within its error"))
    axes.legend(handles=marks, frameon=False, loc="center left", borderpad=0, title=title, title_fontsize=7)


def _draw_runs(axes: Axes, page: xr.Dataset) -> None:
    """The first runs in their order, rejected ones before all others where there are too many to show."""
    axes.axis("off")
    most = 11
    accepted = page.accepted_run.values
    matched = (
        f"{int(accepted.sum())} of {len(accepted)} runs count: their held-out loss matches within\n"
        f"{float(page.attrs['tolerance']):.0%} of what training gained over the untrained network"
    )
    # Of what others recorded no loss is known.
    given = f"All {len(accepted)} runs count: they were recorded elsewhere,\nso that there is no loss to match"
    title = given if bool(page.test_loss.isnull().all()) else matched
    axes.set_title(title + (f"; {most} shown" if len(accepted) > most else ""), loc="left")
    shown = sorted(sorted(range(len(accepted)), key=lambda i: bool(accepted[i]))[:most])
    cells = [
        [
            str(page.run.values[i]),
            *(f"{float(page[name][i]):.3f}".replace("nan", "–") for name in ("test_loss", "reference_loss")),
            f"{float(page.test_accuracy[i]):.1%}".replace("nan%", "–"),
            "accepted" if accepted[i] else "REJECTED",
        ]
        for i in shown
    ]
    header = ["run", "loss", "to match", "accuracy", ""]
    widths = [0.46, 0.12, 0.15, 0.15, 0.16]
    grid = axes.table(
        cells, colLabels=header, loc="upper left", cellLoc="left", colLoc="left", colWidths=widths, edges=""
    )
    grid.auto_set_font_size(False)
    grid.set_fontsize(6.5)
