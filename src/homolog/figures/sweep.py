"""How does what is recovered depend on one axis, a line for all else that varies?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "draw_panel", "headline", "lines_figure"]

# What axes are called.
AXES = {
    "coefficient": "weight of the penalty",
    "dense": "latents without a penalty",
    "steps": "steps of training",
    "rows": "data points",
    "scales": "deviation of the logarithm of features' scales",
    "n_latents": "latents",
    "noise": "noise",
}


def headline(dataset: xr.Dataset) -> str:
    """Of each line: how much it recovers at best, where, from where on half of that, and from where on no more."""
    page = one_page(dataset)
    name = page.attrs["shown"][0] if not isinstance(page.attrs["shown"], str) else page.attrs["shown"]
    said = [_of_line(page.isel(line=number), name) for number in range(page.sizes["line"])]
    floor = f"Chance is {float(page[f'{name}_null'].max()):.2f} at most, {_said_ceiling(page, name)}."
    return f"{page[name].attrs['long_name']}, at best: {'; '.join(said)}. {floor}{_of_slopes(page)}"


def _said_ceiling(page: xr.Dataset, name: str) -> str:
    """The ceiling; of F1 by number of latents, where it depends on these."""
    least, most = float(page[f"{name}_ceiling"].min()), float(page[f"{name}_ceiling"].max())
    spare = " (spare latents that are live lower it)" if name.startswith("f1") and least < 0.9 else ""
    return f"the ceiling {least:.2f}{f' to {most:.2f}, by line' if most - least > 0.05 else ' at least'}{spare}"


def _of_slopes(page: xr.Dataset) -> str:
    """As which power of another option the place grows from which on a line is lost."""
    if "falls_at_slope" not in page:
        return ""
    along, against = (AXES.get(page.attrs[name], page.attrs[name]) for name in ("along", "against"))
    powers = [
        f"{one.family.item()} {said_with_bounds(one, 'falls_at_slope')} (as a mean over these: "
        f"{said_with_bounds(one, 'falls_at_slope_of_mean')})"
        for one in _each(page, "family")
    ]
    return f" The {along} above which less than half is left goes as the {against} to the power: {'; '.join(powers)}."


def _each(page: xr.Dataset, dim: str) -> list[xr.Dataset]:
    return [page.isel({dim: place}) for place in range(page.sizes[dim])]


def _of_line(own: xr.Dataset, name: str) -> str:
    said = f"{own.line.item()} "
    if not np.isfinite(own[f"{name}_best"]):
        return said + said_with_bounds(own.isel({own.attrs["along"]: 0}), name)
    cap = float(own[f"{name}_ceiling"].max())
    of = f" of {cap:.2f}" if cap < 0.9 else ""
    said += f"{said_with_bounds(own, f'{name}_best')}{of} (at {float(own[name].idxmax(own.attrs['along'])):.3g}"
    if float(own[f"{name}_rises_at"]) > float(own[own.attrs["along"]][0]):
        said += f", half of it from {said_with_bounds(own, f'{name}_rises_at', '{:.3g}')} on"
    if np.isfinite(own[f"{name}_falls_at"]):
        said += f", less than half above {said_with_bounds(own, f'{name}_falls_at', '{:.3g}')}"
    elif float(own[f"{name}_falls"]) > 0:
        count = int(own.attrs["replicates"])
        said += f", less than half in the end in {float(own[f'{name}_falls']) * count:.0f} of {count} replicates"
    return said + ")"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A panel for each measure that is shown."""
    about = AXES.get(page.attrs["along"], page.attrs["along"])
    return lines_figure(page, f"How does recovery depend on: {about}?", headline(page))


def lines_figure(page: xr.Dataset, question: str, answer: str) -> Figure:
    """The same, with a question and an answer of one's own."""
    shown = [page.attrs["shown"]] if isinstance(page.attrs["shown"], str) else list(page.attrs["shown"])
    lines = len(answer) / (13.5 * 11.5)
    figure = new_figure(11.5, 3.8 + 0.17 * lines + 0.05 * page.sizes["line"], question, answer)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        draw_panel(axes, page, name)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure


def draw_panel(axes: Axes, page: xr.Dataset, name: str, only: list[str] | None = None) -> None:
    """All lines of a measure, or `only` some, beside the largest null and each line's ceiling, or the smallest."""
    along = page.attrs["along"]
    for place, line in enumerate(page.line.values):
        own = page.sel(line=line).dropna(along, subset=[name])
        if (only is None or line in only) and own.sizes[along]:
            draw_curve(axes, own, name, along, place, str(line))
    alike = f"{name}_ceiling" not in page or float(page[f"{name}_ceiling"].std("line").max()) < 0.02
    for place in [] if alike else range(page.sizes["line"]):
        ceiling = page[f"{name}_ceiling"].isel(line=place)
        axes.plot(page[along].values, ceiling.values, color=COLOURS[place % len(COLOURS)], ls=":", lw=1)
    if not alike:
        axes.plot([], [], color=INK, ls=":", lw=1, label="each line's ceiling")
    for kind, style, chosen in (("null", "--", "max"), ("ceiling", ":", "min")):
        if f"{name}_{kind}" in page and (alike or kind == "null"):
            edge = getattr(page[f"{name}_{kind}"], chosen)("line")
            label = {"null": "largest null", "ceiling": "smallest ceiling"}[kind]
            axes.plot(
                page[along].values, edge.values, color=GREY if kind == "null" else INK, ls=style, lw=1, label=label
            )
    values = np.asarray(page[along].values, float)
    if values.min() > 0 and values.max() / values.min() > 8:
        axes.set_xscale("log")
    elif values.min() == 0 and values.max() > 8:
        axes.set_xscale("symlog", linthresh=float(values[values > 0].min()))
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    axes.set_xlabel(AXES.get(along, along))
    axes.set_title(page[name].attrs.get("long_name", name))
