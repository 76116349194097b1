"""Which method finds the features of which world, are its codes right, and is what returns true?"""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import capital, draw_map, one_page, said_with_bounds, with_chance
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("f1", "codes", "true_if_stable")


def headline(dataset: xr.Dataset) -> str:
    """The best method in the first world, what hurts it most, a wrong guess, and how much of what returns is true."""
    page = one_page(dataset)
    first = page.isel(world=0)
    best = str(first.f1.idxmax("decomposition").item())
    own, told = page.sel(decomposition=best), (page.guess_features == 1) & (page.guess_active == 1)
    right = own.isel(world=told.values)
    worst = right.isel(world=int(right.f1.argmin("world")))
    text = (
        f"{capital(str(first.world.item()))}, {best} finds most: F1 "
        f"{said_with_bounds(first.sel(decomposition=best), 'f1')} (chance {float(page.f1_null.max()):.2f} at most, the "
        f"ceiling {float(page.f1_ceiling.min()):.2f} at least, in all worlds). Told the right numbers, it is worst in "
        f"{worst.world.item()!r}: {said_with_bounds(worst, 'f1')}. "
    )
    return text + _told_wrongly(own, told) + _by_world(page, told) + _of_what_returns(page)


def _told_wrongly(own: xr.Dataset, told: xr.DataArray) -> str:
    wrong = own.isel(world=~told.values)
    said = [f"{said_with_bounds(wrong.sel(world=name), 'f1')} ({name})" for name in wrong.world.values]
    return f"Told a wrong multiple: {', '.join(said)}. " if said else ""


def _by_world(page: xr.Dataset, told: xr.DataArray) -> str:
    """Where another method is better than the best of the first world."""
    best = page.f1.idxmax("decomposition")
    usual, right = best.isel(world=0).item(), best.isel(world=told.values)
    others = [f"{one.world.item()} ({one.item()})" for one in right if one != usual]
    return f"Others find more in: {', '.join(others)}. " if others else "No other method is better elsewhere. "


def _of_what_returns(page: xr.Dataset) -> str:
    """The least share of true ones among latents that return, of methods of which at least 3 in 10 do."""
    least = page.true_if_stable.where(page.stable >= 0.3).stack(place=("world", "decomposition")).dropna("place")
    if not len(least):
        return ""
    where = least.isel(place=int(least.argmin("place")))
    at = page.sel(world=where.world.item(), decomposition=where.decomposition.item())
    return (
        f"What returns from another start isn't true for that: in {where.world.item()!r} "
        f"{float(at.stable):.0%} of the latents of {where.decomposition.item()} return, and "
        f"{said_with_bounds(at, 'true_if_stable')} of these are a feature's."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Maps of worlds and methods: F1, correlation of codes, and the share of true latents among those that return."""
    height = 2.1 + 0.24 * page.sizes["world"]
    figure = new_figure(11.5, height, "Which methods find planted features?", headline(page))
    grid = figure.add_gridspec(1, len(PANELS))
    for place, name in enumerate(PANELS):
        axes = figure.add_subplot(grid[place])
        shown = page[name].dropna("decomposition", how="all")
        draw_map(axes, _with_ceiling(page, name, shown), "world", "decomposition")
        axes.set_title(with_chance(page, name))
        axes.tick_params(axis="x", labelrotation=35)
        if place:
            axes.set_yticklabels([])
    return figure


def _with_ceiling(page: xr.Dataset, name: str, shown: xr.DataArray) -> xr.DataArray:
    """The ceiling as a column of its own behind the methods, where there is one."""
    if f"{name}_ceiling" not in page:
        return shown
    ceiling = page[f"{name}_ceiling"].expand_dims(decomposition=["ceiling"])
    return xr.concat([shown, ceiling], "decomposition")
