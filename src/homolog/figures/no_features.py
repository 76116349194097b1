"""Where there are no features, or few, are any reported that return beyond chance?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, capital, draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

QUESTION = "Are features reported where there are none, or few?"
PANELS = {
    "excess": "latents that return in most seeds,\nbeyond chance",
    "stable": "latents that return in most seeds\n(dashed: turned within the spectrum)",
    "live": "live latents",
    "mmcs": "largest cosine of a latent\nin the next size (MMCS)",
}


def headline(dataset: xr.Dataset) -> str:
    """World by world and method by method: what returns beyond chance, what returns at all, and what is there."""
    page = one_page(dataset)
    said = [_of_world(page.sel(world=name)) for name in page.world.values]
    return (
        "Latents that return in most seeds, beyond what the same dictionaries do when turned within the spectrum of "
        f"the rows, at the size where these are most. {' '.join(said)}"
    )


def _of_world(own: xr.Dataset) -> str:
    each = "; ".join(_of_method(own.sel(decomposition=name)) for name in own.decomposition.values)
    features = float(own.features)
    if np.isfinite(features):
        return f"{capital(str(own.world.item()))} ({features:.0f} features): {each}."
    most = float(own.stable.max())
    alike = float(own.mmcs.max())
    plain = f"Without that chance taken off up to {most:.0f} would be counted, and MMCS is up to {alike:.2f}"
    return f"{capital(str(own.world.item()))} (no features): {each}. {plain}."


def _of_method(one: xr.Dataset) -> str:
    at = one.isel(size=int(one.excess.argmax("size")))
    chance = f"{'clear' if float(at.excess_low) > 0 else 'not clear'} of chance, {float(at.stable_null):.1f}"
    said = f"{at.decomposition.item()} {said_with_bounds(at, 'excess', '{:z.1f}')} of {int(at['size'])}"
    if not np.isfinite(float(at.features)):
        return f"{said} ({chance})"
    too_many = "more than there are; " if float(at.excess_low) > float(at.features) else ""
    return f"{said} ({too_many}{chance}; {said_with_bounds(at, 'found', '{:z.1f}')} features found)"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each world: what returns beyond chance and at all, live latents, and MMCS, over sizes."""
    rows = page.sizes["world"]
    figure = new_figure(11.0, 2.2 + 1.9 * rows, QUESTION, headline(page))
    axes = figure.subplots(rows, len(PANELS), squeeze=False)
    for row, name in enumerate(page.world.values):
        own = page.sel(world=name)
        for column, (variable, title) in enumerate(PANELS.items()):
            _draw(axes[row, column], own, variable, labelled=(row, column) == (0, 0))
            axes[row, column].set_title(title if row == 0 else "")
        axes[row, 0].set_ylabel(str(name))
    for one in axes[-1]:
        one.set_xlabel("latents")
    axes[0, 0].legend(frameon=False)
    return figure


def _draw(axes: Axes, own: xr.Dataset, variable: str, labelled: bool) -> None:
    for place, method in enumerate(own.decomposition.values):
        one = own.sel(decomposition=method)
        draw_curve(axes, one, variable, "size", place, str(method) if labelled else "")
        if f"{variable}_null" in one:
            axes.plot(own["size"], one[f"{variable}_null"], **FLOORS["null"] | {"color": COLOURS[place]})
    if variable == "mmcs":
        axes.set_ylim(0, 1.05)
        return
    axes.axhline(0, color=GREY, lw=0.6)
    if np.isfinite(float(own.features)):
        axes.axhline(float(own.features), color=INK, lw=0.8, ls=":")
