"""How deep can a network be drawn anew before its latents no longer come back?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec

from homolog.figures.conditions import (
    conditions,
    draw_along,
    draw_coverage_along,
    draw_legend_along,
    first_of_each,
    has_tracks,
    say_coverage,
    say_excess,
)
from homolog.figures.style import VIEW_TITLES, in_house_style, new_figure

PRIMARY = "score"
MATCHING = "hungarian"
# Whose latents are shown one by one: more would leave no room.
MOST_METHODS = 4


def headline(dataset: xr.Dataset) -> str:
    """Tracks and excess along the depths, and where each view of directions stops being identified."""
    page = dataset.isel(hook_point=0)
    limits = []
    for view in (name for name in ("write_out", "read_in") if name in page.view.values):
        identified = first_of_each(page).identified.sel(view=view).values
        named = [name for name, yes in zip(conditions(page), identified, strict=True) if yes]
        limits.append(f"in {view} after {', '.join(named) or 'none of these'}")
    directions = f"Directions can be compared only {' and '.join(limits)}: beyond, their basis is scrambled."
    tracks = ""
    if has_tracks(page):
        tracks = f"Share of the base's latents with a track into the runs: {say_coverage(page, True)}. "
    return (
        f"Re-initialising {', '.join(conditions(page))}, this share of what a refit finds comes back "
        f"(in brackets: before they are trained; {PRIMARY}, one to one): "
        f"{say_excess(page, PRIMARY, MATCHING)}. " + tracks + (directions if limits else "")
    ).strip()


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Similarity by depth, a panel for each view; below, tracks from the base, latent by latent."""
    views = [str(view) for view in page.view.values]
    columns = min(3, len(views))
    rows = -(-len(views) // columns)
    question = f"How much can be drawn anew before the latents of {page.hook_point.item()} no longer come back?"
    figure = new_figure(11.0, 4.5 + 2.5 * rows, question, headline(page.expand_dims("hook_point")))
    grid = figure.add_gridspec(3, 1, height_ratios=[2.4 * rows, 0.5, 2.5])
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
    _draw_tracks(figure, grid[2], page)
    return figure


def _draw_tracks(figure: Figure, where: SubplotSpec, page: xr.Dataset) -> None:
    """How many of the base's latents are found at each depth, and which: a row for each latent."""
    methods = [str(name) for name in page.decomposition.values][:MOST_METHODS] if has_tracks(page) else []
    lower = GridSpecFromSubplotSpec(1, 1 + len(methods), where, width_ratios=[1.5] + [1.0] * len(methods))
    axes = figure.add_subplot(lower[0])
    draw_coverage_along(axes, page, found_in_runs=True)
    axes.set(ylabel="share of live latents")
    axes.set_title("tracks: latents of the base found at each depth", loc="left")
    names, panels = conditions(page), []
    for index, method in enumerate(methods):
        panels.append(figure.add_subplot(lower[1 + index]))
        shares = (
            page.reference_survival.sel(decomposition=method, target=names).dropna("reference_latent", how="all").values
        )
        # Those that survive deepest first.
        order = np.lexsort(tuple(-np.nan_to_num(shares[:, k]) for k in range(shares.shape[1])))
        mesh = panels[-1].pcolormesh(shares[order], vmin=0, vmax=1, cmap="magma_r", edgecolor="white", lw=0.2)
        panels[-1].set(xticks=np.arange(len(names)) + 0.5, ylabel="" if index else "latents of the base")
        panels[-1].set_xticklabels(names)
        panels[-1].invert_yaxis()
        panels[-1].set_title(f"{method}: share of runs", loc="left")
    if panels:
        figure.colorbar(mesh, ax=panels, label="share of runs with a member", pad=0.02)
