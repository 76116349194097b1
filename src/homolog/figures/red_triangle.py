"""Factors or combinations: which of the two do dictionaries hold, and does a new combination get a latent?"""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_map, one_page, said_with_bounds, with_chance
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("factors", "combinations", "own_shown", "own_held_out", "both_on", "fvu_held_out")


def headline(dataset: xr.Dataset) -> str:
    """The first world; where combinations take the place of factors; held-out combinations; where they are real."""
    page = one_page(dataset)
    first, unreal = page.isel(world=0), page.sel(world=page.own == 0)
    best = str(first.factors.idxmax("decomposition").item())
    own = _at(page, page.own_held_out)
    text = (
        f"Rows of {str(first.world.item())!r}: {best} finds most factors, "
        f"{said_with_bounds(first.sel(decomposition=best), 'factors')} "
        f"(chance {float(page.factors_null.max()):.2f} at most, known codes {float(page.factors_ceiling.min()):.2f} at "
        f"least). Where nothing but factors is there, combinations have latents at most for {_by_method(unreal)} of "
        f"those shown (chance {float(page.combinations_null.max()):.2f} at most). "
        f"A held-out combination gets a latent of its own at most in {said_with_bounds(own, 'own_held_out')} of cases "
        f"({own.decomposition.item()}, {str(own.world.item())!r}; turned dictionaries "
        f"{float(page.own_held_out_null.max()):.2f}). "
    )
    return text + _generalises(first.sel(decomposition=best)) + _real(page)


def _by_method(page: xr.Dataset) -> str:
    """Of every method that has some, the largest share of combinations, and in which world."""
    most = [
        _at(page.sel(decomposition=[name]), page.combinations.sel(decomposition=[name]))
        for name in page.decomposition.values
    ]
    most = sorted((one for one in most if float(one.combinations) >= 0.05), key=lambda one: -float(one.combinations))
    return (
        ", ".join(
            f"{said_with_bounds(one, 'combinations')} ({one.decomposition.item()}, {str(one.world.item())!r})"
            for one in most
        )
        or "none"
    )


def _at(page: xr.Dataset, values: xr.DataArray) -> xr.Dataset:
    """Where a number is largest."""
    places = values.stack(place=("world", "decomposition")).dropna("place")
    where = places.isel(place=int(places.argmax("place")))
    return page.sel(world=where.world.item(), decomposition=where.decomposition.item())


def _generalises(own: xr.Dataset) -> str:
    return (
        f"On rows of held-out combinations {own.decomposition.item()} there has both factors' latents on in "
        f"{said_with_bounds(own, 'both_on')}, and an FVU of {said_with_bounds(own, 'fvu_held_out')} (shown ones "
        f"{said_with_bounds(own, 'fvu_shown')}). "
    )


def _real(page: xr.Dataset) -> str:
    real = page.sel(world=page.own > 0)
    if not real.sizes["world"]:
        return ""
    most = _at(real, real.combinations)
    return (
        f"Where combinations do have a direction of their own, {most.decomposition.item()} finds "
        f"{said_with_bounds(most, 'combinations')} of them in {str(most.world.item())!r}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Maps of worlds and methods."""
    height = 2.6 + 0.5 * page.sizes["world"]
    figure = new_figure(11.5, height, "Red and triangle, or red triangle?", headline(page))
    grid = figure.add_gridspec(2, 3)
    for place, name in enumerate(PANELS):
        axes = figure.add_subplot(grid[divmod(place, 3)])
        draw_map(axes, page[name], "world", "decomposition")
        axes.set_title(with_chance(page, name), fontsize=7)
        axes.tick_params(axis="x", labelrotation=35)
        if place % 3:
            axes.set_yticklabels([])
        if place < 3:
            axes.set_xticklabels([])
    return figure
