"""How do the directions of latents lie, site by site, beside random ones, and what of a layer is empty?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import said_with_bounds
from homolog.figures.rows import draw_rows
from homolog.figures.style import GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline", "pages"]

SHORT = {"dimensions": "all", "empty": "empty", "variance": "here", "written": "written later"}
PANELS = ("in_factors", "groups", "rms", "largest_positive", "mean_dimensionality")


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """All sites on one page."""
    return [dataset]


def headline(dataset: xr.Dataset) -> str:
    """Whether there are factors, and could be seen; how much latents interfere, and what is empty, at each site."""
    said = [_of_site(dataset.sel(hook_point=one)) for one in dataset.hook_point.values]
    return (
        f"{int(dataset.attrs['replicates'])} networks. {_factors(dataset)} Root mean square of cosines (random "
        "directions of the layer's covariance), and principal directions that can be ablated one by one, chosen on "
        "other inputs, with the cost of all these at once (as many: random; random of the same variance together; of "
        "least variance): "
        f"{' '.join(said)} {_beyond(dataset)}"
    )


def _factors(dataset: xr.Dataset) -> str:
    said = (
        f"In tegum factors stand at most {float(dataset.in_factors.max()):.0%} of the latents of a site (random "
        f"{float(dataset.in_factors_null.max()):.0%}"
    )
    if "in_factors_blurred" not in dataset:
        return f"{said})."
    power = float(dataset.in_factors_blurred.max())
    halves = dataset.halves
    return (
        f"{said}; planted factors {float(dataset.in_factors_planted.min()):.0%}). Latents of two halves of the rows "
        f"have a cosine of {float(halves.min()):.2f} to {float(halves.max()):.2f}; of planted factors with such errors "
        f"at most {power:.0%} are found{': so this test tells nothing.' if power < 0.5 else '.'}"
    )


def _beyond(dataset: xr.Dataset) -> str:
    """At which sites what is empty costs less than its variance says, and holds more of what is written later."""
    sites = [str(one) for one in dataset.hook_point.values]

    def clear(name: str) -> str:
        low = dataset[f"{name}_low"].values
        found = [site for site, bound in zip(sites, low, strict=True) if bound > 0]
        return f"at {', '.join(found)}" if found else "nowhere"

    said = f"Clearly cheaper than random subspaces of the same variance: {clear('cheaper')}."
    if "more_written" not in dataset:
        return said
    return f"{said} Clearly more of what later sites add than in these: {clear('more_written')}."


def _of_site(site: xr.Dataset) -> str:
    kinds = [_of_kind(site.sel(decomposition=one)) for one in site.decomposition.values]
    later = ""
    if "written" in site and np.isfinite(float(site.written)):
        later = (
            f", and {said_with_bounds(site, 'written')} of what is written later "
            f"({float(site.written_null):.2f}; {float(site.written_equal):.2f}; {float(site.written_least):.2f})"
        )
    beside = "; ".join(f"{float(site[f'together_{kind}']):.0%}" for kind in ("null", "equal", "least"))
    return (
        f"{site.hook_point.item()}: {', '.join(kinds)}; {said_with_bounds(site, 'empty', '{:.0f}')} of "
        f"{float(site.dimensions):.0f}, at once at {said_with_bounds(site, 'together', '{:.0%}')} of the layer's worth "
        f"({beside}), with {said_with_bounds(site, 'variance')} of the variance ({float(site.variance_null):.2f}; "
        f"{float(site.variance_equal):.2f}; {float(site.variance_least):.2f}){later}."
    )


def _of_kind(row: xr.Dataset) -> str:
    return f"{row.decomposition.item()} {said_with_bounds(row, 'rms')} ({float(row.rms_null):.2f})"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each site and dictionary, and for each site what can be ablated."""
    figure = new_figure(11, 6.8, "How do latents lie in trained layers, and what is left empty?", headline(page))
    axes = figure.subplots(2, 4)
    rows = page.stack(row=("hook_point", "decomposition"))
    labels = [f"{site}\n{kind}" for site, kind in rows.row.values]
    rows = rows.drop_vars(["row", "hook_point", "decomposition"]).assign_coords(row=labels)
    for one, name in zip(axes.flat, PANELS, strict=False):
        draw_rows(one, rows, [name], "row", ("null", "isotropic", *(["blurred"] if name == "in_factors" else [])))
        one.set_title(page[name].attrs["long_name"])
    axes[0, 0].set_xlim(-0.03, 1.03)
    axes[0, 1].set_xlim(left=0)
    _draw_welch(axes[0, 2], rows)
    for one, names, title in (
        (axes[1, 1], ["dimensions", "empty"], "dimensions, and directions that\ncan be ablated one by one"),
        (axes[1, 2], ["together"], "cost of ablating these at once,\nof the layer's worth"),
        (axes[1, 3], [name for name in ("variance", "written") if name in page], "their share of the variance"),
    ):
        draw_rows(one, page, names, "hook_point", ("null", "equal", "least"), [SHORT.get(name, name) for name in names])
        one.set_title(title)
        # Room for a legend below the rows.
        one.set_ylim(page.sizes["hook_point"] + 0.8, -0.5)
        if len(names) > 1:
            one.legend(frameon=False, loc="lower left")
    for one in (*axes[0, 1:], *axes[1, 2:]):
        one.set_yticklabels([])
    marks = [
        Line2D([], [], marker="|", ls="", color=GREY, ms=7, mew=1.4, label="random, same covariance"),
        Line2D([], [], marker="x", ls="", color=GREY, ms=6, mew=1.4, label="random, uniform"),
    ]
    blurred = Line2D([], [], marker="1", ls="", color=GREY, ms=7, mew=1.4, label="planted factors, as unsure")
    axes[0, 0].legend(handles=[*marks, blurred], frameon=False, loc="lower right")
    kinds = (("|", "as many random"), ("x", "random, same variance"), ("1", "of least variance"))
    beside = [Line2D([], [], marker=mark, ls="", color=GREY, ms=7, mew=1.4, label=label) for mark, label in kinds]
    axes[1, 2].legend(handles=beside, frameon=False, loc="lower left")
    return figure


def _draw_welch(axes: Axes, rows: xr.Dataset) -> None:
    height = np.arange(rows.sizes["row"])
    axes.plot(rows.welch.values, height, "1", color=INK, ms=8, mew=1.4, label="Welch bound")
    axes.legend(frameon=False)
