"""How deep can a network be drawn anew before its latents no longer come back?"""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from homolog.figures.conditions import conditions, draw_along, draw_legend_along, first_of_each, say_excess
from homolog.figures.style import VIEW_TITLES, in_house_style, new_figure

PRIMARY = "score"
MATCHING = "hungarian"


def headline(dataset: xr.Dataset) -> str:
    """Excess along the depths, and where each view of directions stops being identified."""
    page = dataset.isel(hook_point=0)
    limits = []
    for view in (name for name in ("write_out", "read_in") if name in page.view.values):
        identified = first_of_each(page).identified.sel(view=view).values
        named = [name for name, yes in zip(conditions(page), identified, strict=True) if yes]
        limits.append(f"in {view} after {', '.join(named) or 'none of these'}")
    directions = f" Directions can be compared only {' and '.join(limits)}: beyond, their basis is scrambled."
    return (
        f"Re-initialising {', '.join(conditions(page))}, this share of what a refit finds comes back "
        f"(in brackets: before they are trained; {PRIMARY}, one to one): "
        f"{say_excess(page, PRIMARY, MATCHING)}." + (directions if limits else "")
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Similarity by depth, a panel for each view."""
    views = [str(view) for view in page.view.values]
    columns = min(3, len(views))
    rows = -(-len(views) // columns)
    question = f"How much can be drawn anew before the latents of {page.hook_point.item()} no longer come back?"
    figure = new_figure(11.0, 1.7 + 2.7 * rows, question, headline(page.expand_dims("hook_point")))
    grid = figure.add_gridspec(2, 1, height_ratios=[2.5 * rows, 0.5])
    upper = GridSpecFromSubplotSpec(rows, columns, grid[0], wspace=0.05)
    for index, view in enumerate(views):
        axes = figure.add_subplot(upper[index // columns, index % columns])
        draw_along(axes, page, view, MATCHING)
        caveat = str(page.caveat.sel(view=view).item())
        title = VIEW_TITLES.get(view, view) + (f" ({caveat})" if caveat else "")
        axes.set_title(title, loc="left", fontweight="bold" if view == PRIMARY else "normal")
        axes.tick_params(labelleft=index % columns == 0)
        axes.set_ylabel("" if index % columns else "similarity")
    draw_legend_along(figure, grid[1], page)
    return figure
