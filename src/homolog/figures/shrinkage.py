"""By how much are codes of found features too small, beside what a closed form of the penalty says?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import capital, draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure
from homolog.figures.sweep import AXES

__all__ = ["REPORT", "draw", "headline"]

QUESTION = "By how much does a penalty shrink codes?"


def headline(dataset: xr.Dataset) -> str:
    """World by world: shortfalls at a middle weight, measured and derived, and how far off what is derived lies."""
    page = one_page(dataset)
    said = [_of_world(_in(page, world), f"{world} directions" if world else "Codes") for world in _worlds(page)]
    return (
        f"Features have a mean size of 1; by how much their codes fall short. {' '.join(said)} Closed form: of the "
        "dictionaries as they are; alone: (weight / 2) / (1 - p), of a feature that is on with probability p."
    )


def _of_world(page: xr.Dataset, name: str) -> str:
    shrunk = _penalised(page)
    lines = [_of_line(page.sel(line=line), bool(one)) for line, one in zip(page.line.values, shrunk, strict=True)]
    own = page.sel(line=page.line[shrunk])
    off = [float(np.abs(own.short - own[f"short_{kind}"]).max()) for kind in ("predicted", "alone")]
    return (
        f"{capital(name)}: {'; '.join(lines)}; over all weights the closed form is off by {off[0]:.3f} at most, that "
        f"of a feature alone by {off[1]:.3f}."
    )


def _penalised(page: xr.Dataset) -> np.ndarray:
    return np.asarray((page.short_alone > 0).any(page.attrs["along"]).values)


def _of_line(own: xr.Dataset, penalised: bool) -> str:
    """At the middle of the weights at which it finds features."""
    along, name = own.attrs["along"], _short_name(str(own.line.item()))
    known = own.dropna(along, subset=["short"])
    if not known.sizes[along]:
        return f"{name} finds none"
    at = known.isel({along: known.sizes[along] // 2})
    said = f"{name} {said_with_bounds(at, 'short', '{:.3f}')}"
    if not penalised:
        return said
    derived = f"closed form {float(at.short_predicted):.3f}, alone {float(at.short_alone):.3f}"
    return f"{said} at weight {float(at[along]):.2g} ({derived})"


def _worlds(page: xr.Dataset) -> list[str | None]:
    return list(dict.fromkeys(page.directions.values.tolist())) if "directions" in page.coords else [None]


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Measured and derived shrinkage by the weight, world by world; and F1."""
    figure = new_figure(11.5, 5.2, QUESTION, headline(page))
    worlds = _worlds(page)
    panels = figure.subplots(1, len(worlds) + 1)
    for axes, world in zip(panels, worlds, strict=False):
        _draw_short(axes, _in(page, world), f"{world} directions" if world else "")
    _draw_f1(panels[-1], _in(page, worlds[-1]))
    weights = page[page.attrs["along"]].values
    for axes in panels:
        axes.set(xscale="log", xlabel=AXES.get(page.attrs["along"], page.attrs["along"]))
        axes.set_xticks(weights, [f"{value:g}" for value in weights])
        axes.minorticks_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _in(page: xr.Dataset, world: str | None) -> xr.Dataset:
    return page if world is None else page.sel(line=page.line[page.directions.values == world])


def _draw_short(axes: Axes, page: xr.Dataset, said: str) -> None:
    along = page.attrs["along"]
    shrunk = _penalised(page)
    for place, line in enumerate(page.line.values):
        own = page.sel(line=line).dropna(along, subset=["short"])
        draw_curve(axes, own, "short", along, place, _short_name(str(line)))
        axes.plot(own[along], own.short_predicted, color=COLOURS[place % len(COLOURS)], ls="--", lw=1)
        if shrunk[place]:
            axes.plot(own[along], own.short_alone, color=INK, ls=":", lw=1)
    axes.axhline(0, color=GREY, lw=0.8)
    for style, colour, label in (("--", GREY, "closed form"), (":", INK, "of a feature alone")):
        axes.plot([], [], color=colour, ls=style, lw=1, label=label)
    axes.set_title(f"{page.short.attrs['long_name']}\n{said}")


def _draw_f1(axes: Axes, page: xr.Dataset) -> None:
    along = page.attrs["along"]
    for place, line in enumerate(page.line.values):
        draw_curve(axes, page.sel(line=line).dropna(along, subset=["f1"]), "f1", along, place)
    axes.plot(page[along], page.f1_null.max("line"), color=GREY, ls="--", lw=1)
    axes.plot(page[along], page.f1_ceiling.min("line"), color=INK, ls=":", lw=1)
    axes.set(ylim=(0, 1.05))
    axes.set_title(f"{page.f1.attrs['long_name']}\nlast world (dashed: chance, dotted: ceiling)")


def _short_name(line: str) -> str:
    """The line without its world, whose panel it is in."""
    return line.partition(", directions")[0]
