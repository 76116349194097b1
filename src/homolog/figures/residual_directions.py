"""Where along depth and positions does a stream hold what the task needs, in how many directions, and who reads it?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_map, one_page, said_with_bounds
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = {"kept": "{:z.1f}", "ablated": "{:z.2f}", "rest": "{:z.2f}", "patched": "{:z.2f}"}
POINTER = "pointer"


def headline(dataset: xr.Dataset) -> str:
    """How many directions each site needs, until where places matter, what those kept do, and who reads them."""
    page = one_page(dataset)
    places = page.isel(position=slice(0, -1))
    pointer = page.sel(position=POINTER)
    counts = places.kept_places.values
    needed = np.flatnonzero(counts > 0)
    last = str(page.site.values[needed[-1]]) if len(needed) else "none"
    first, end = pointer.isel(site=0), pointer.isel(site=-1)
    return (
        f"The last token points at one of {int(page.attrs['places'])} places, whose value is the answer (accuracy "
        f"{said_with_bounds(page, 'accuracy')}). Directions that can't be ablated: at a place "
        f"{said_with_bounds(places.isel(site=0), 'kept_places', '{:.1f}')} of "
        f"{float(places.varying[0].mean()):.0f} behind the embedding, none after {last}; at the pointer "
        f"{said_with_bounds(first, 'kept', '{:.1f}')} of {float(first.varying):.0f} behind the embedding, "
        f"{said_with_bounds(end, 'kept', '{:.1f}')} of {float(end.varying):.0f} at the end. Ablating only these costs "
        f"{said_with_bounds(end, 'ablated')} of what the network is worth there (as many random ones "
        f"{float(end.ablated_null):.2f}), and all others {said_with_bounds(end, 'rest')} "
        f"({float(end.rest_null):.2f}); put in from another input they carry its answer over in "
        f"{said_with_bounds(end, 'patched', '{:.0%}')} ({float(end.patched_null):.0%}). {_readers(page)}"
    )


def _readers(page: xr.Dataset) -> str:
    """What the first block's heads read of what is kept, map by map."""
    said = []
    for of in page.of.values:
        here = page.sel(of=of).isel(block=0)
        if not here.reads_block.isnull().all():
            each = ", ".join(
                f"{said_with_bounds(here.sel(read=one), 'reads_block')} by {one}" for one in page.read.values
            )
            said.append(f"of those of the {of} {each}")
    if not said:
        return ""
    return f"Heads of block 0 read, over what they read of random directions that vary there: {'; '.join(said)}."


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Maps of sites and positions: how many, what they cost, what all others cost, what they carry; who reads them."""
    figure = new_figure(11, 6.4, "How many directions of a stream can't be ablated, and where?", headline(page))
    grid = figure.add_gridspec(2, 6)
    for place, (name, form) in enumerate(PANELS.items()):
        row, column = divmod(place, 2)
        axes = figure.add_subplot(grid[row, 2 * column : 2 * column + 2])
        most = max(1.0, float(page[name].max()))
        draw_map(axes, page[name], "site", "position", (0, most), form=form)
        null = f" (random: {float(page[f'{name}_null'].mean()):.2f} on average)" if f"{name}_null" in page else ""
        axes.set_title(page[name].attrs["long_name"] + null)
        if column:
            axes.set_yticklabels([])
    axes = figure.add_subplot(grid[:, 4:])
    heads = page.reads.stack(by=("block", "head"), what=("of", "read"))
    names = [f"block {block}, head {head}" for block, head in heads.by.values]
    costs = page.head_cost.stack(by=("block", "head")).values
    names = [f"{name}\n(its output: {cost:.2f})" for name, cost in zip(names, costs, strict=True)]
    whats = [f"{read} of {of}" for of, read in heads.what.values]
    plain = xr.DataArray(heads.values.T if heads.dims[0] == "what" else heads.values, dims=("head", "what"))
    draw_map(axes, plain, "head", "what", (0, float(np.nanmax(plain.values))), form="{:z.1f}", names=(names, whats))
    axes.tick_params(axis="x", labelrotation=40)
    axes.set_title(page.reads.attrs["long_name"] + "\n(1: chance; in brackets the cost of the head)")
    return figure
