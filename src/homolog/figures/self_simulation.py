"""Do activations made from a fitted autoencoder foretell which latents return, and can they be told from real ones?"""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, capital, draw_marks, one_page, said_range, said_with_bounds
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = {
    "stability": "largest cosine\nof a latent in refits",
    "foretold": "rank correlation\nforetold, observed",
    "told_apart": "share of rows nearest\nto their own kind",
}


def headline(dataset: xr.Dataset) -> str:
    """By world and method: observed and foretold stability, how well latents are ranked, how unlike rows are."""
    page = one_page(dataset)
    return " ".join([*(_of_world(page.sel(world=name)) for name in page.world.values), _verdict(page)])


def _of_world(own: xr.Dataset) -> str:
    name = str(own.world.item())
    parts = []
    for method in own.decomposition.values:
        real, made, gaussian = (own.sel(decomposition=method, source=one) for one in ("real", "copula", "gaussian"))
        parts.append(
            f"{method}: latents return with {said_with_bounds(real, 'stability')}, in rows made of them with "
            f"{said_with_bounds(made, 'stability')} (Gaussian rows {said_with_bounds(gaussian, 'stability')}, "
            f"chance {float(real.stability_null):.2f}); which ones is foretold with a rank correlation of "
            f"{said_with_bounds(made, 'foretold')} (other refits: {said_with_bounds(real, 'foretold')})"
        )
    return f"{capital(name)}, {'; '.join(parts)}."


def _verdict(page: xr.Dataset) -> str:
    made, real, alone = (page.sel(source=one) for one in ("copula", "real", "independent"))
    easier = int((made.stability_low > real.stability_high).sum())
    harder = int((made.stability_high < real.stability_low).sum())
    return (
        f"Latents return more in synthetic rows for sure in {easier} of {made.stability.size} cases, less in {harder}. "
        f"A row's nearest neighbour is of its own kind in {said_range(made.told_apart)} (50 % if they were alike; real "
        f"rows of two halves {said_range(real.told_apart)}; without the correlations of codes "
        f"{said_range(alone.told_apart)})."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each world: stability, its ranking and how rows are told apart by source; observed against foretold."""
    rows, methods = page.sizes["world"], page.decomposition.values
    figure = new_figure(11.5, 2.6 + 2.2 * rows, "How unlike real activations is synthetic data?", headline(page))
    axes = figure.subplots(rows, 3 + len(methods), squeeze=False)
    for row, name in enumerate(page.world.values):
        own = page.sel(world=name)
        for column, (variable, title) in enumerate(PANELS.items()):
            draw_marks(axes[row, column], own, variable, "source")
            if f"{variable}_null" in own:
                _draw_nulls(axes[row, column], own[f"{variable}_null"])
            axes[row, column].set_title(title if row == 0 else "")
        for column, method in enumerate(methods):
            _draw_latents(axes[row, 3 + column], own.sel(decomposition=method), COLOURS[column])
            axes[row, 3 + column].set_title(f"{method}: latents\nof one replicate" if row == 0 else "")
        axes[row, 0].set_ylabel(str(name))
    axes[0, 0].legend(frameon=False)
    return figure


def _draw_nulls(axes: Axes, nulls: xr.DataArray) -> None:
    """A line for each method, or one for all."""
    for place, null in enumerate(nulls.values.reshape(-1)):
        axes.axhline(float(null), **FLOORS["null"] | ({"color": COLOURS[place]} if nulls.ndim else {}))


def _draw_latents(axes: Axes, one: xr.Dataset, colour: str) -> None:
    """Observed against foretold by the copula: points on the line are foretold."""
    observed, foretold = (one.latent_stability.sel(source=source).values for source in ("real", "copula"))
    axes.plot(foretold, observed, ls="", marker="o", ms=2.5, color=colour)
    axes.axline((1, 1), slope=1, color=GREY, lw=0.8)
    axes.set_xlabel("foretold")
    axes.set_ylabel("observed")
    axes.set_aspect("equal")
