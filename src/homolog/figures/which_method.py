"""Which method recovers which sources: one map of "use this when"?"""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_map, one_page, said_with_bounds
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("f1", "mmcs", "codes")
# A method recovers a world's sources from this F1 on.
RECOVERED = 0.9


def headline(dataset: xr.Dataset) -> str:
    """Which sources each method recovers, with the least sure of these numbers, and which none does."""
    page = one_page(dataset)
    able, likely = page.f1_low >= RECOVERED, page.f1 >= RECOVERED
    said = [_of_method(page.sel(decomposition=one), able.sel(decomposition=one)) for one in page.decomposition.values]
    maybe = [
        f"{name} in {world} ({said_with_bounds(page.sel(decomposition=name, world=world), 'f1')})"
        for name in page.decomposition.values
        for world in page.world.values[(likely & ~able).sel(decomposition=name).values]
    ]
    unsure = f"By the mean, not for sure: {'; '.join(maybe)}. " if maybe else ""
    none = page.world.values[~likely.any("decomposition").values]
    lost = f"No method: {'; '.join(none)}. " if len(none) else ""
    told = "All are told the number of sources, and TopK how many are active. " if page.attrs["told"] else ""
    return (
        f"F1 of {RECOVERED} or more, with its whole interval: {' '.join(said)} {unsure}{lost}{told}Chance: "
        f"{float(page.f1_null.max()):.2f} at most."
    )


def _of_method(own: xr.Dataset, able: xr.DataArray) -> str:
    name, worlds = own.decomposition.item(), own.world.values[able.values]
    if not len(worlds):
        return f"{name} nowhere."
    found = own.sel(world=worlds)
    least = said_with_bounds(found.isel(world=int(found.f1.argmin("world"))), "f1")
    rest = own.world.values[~able.values]
    where = f"everywhere but in {'; '.join(rest)}" if len(rest) < len(worlds) else f"in {'; '.join(worlds)}"
    return f"{name} {where} (least {least})."


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Maps of worlds and methods."""
    figure = new_figure(11.5, 2.9 + 0.24 * page.sizes["world"], "Which method recovers which sources?", headline(page))
    grid = figure.add_gridspec(1, len(PANELS))
    for place, name in enumerate(PANELS):
        axes = figure.add_subplot(grid[place])
        ceiling = page[f"{name}_ceiling"].expand_dims(decomposition=["ceiling"])
        chance = page[f"{name}_null"].max("decomposition").expand_dims(decomposition=["chance"])
        draw_map(axes, xr.concat([page[name], chance, ceiling], "decomposition"), "world", "decomposition")
        axes.set_title(page[name].attrs["long_name"])
        axes.tick_params(axis="x", labelrotation=35)
        if place:
            axes.set_yticklabels([])
    return figure
