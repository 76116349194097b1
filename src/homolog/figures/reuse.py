"""Is a second task learned faster by a network that knows a first one, and by the circuit that was there?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_marks, one_page, said_with_bounds
from homolog.figures.style import GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

MARKED = ("area", "first_score", "returned", "circuit")


def headline(dataset: xr.Dataset) -> str:
    """By pair: steps from each start, the area, what returns; then what the irreps of A5 say, where any were chosen."""
    page = one_page(dataset)
    pairs = [page.sel(pair=name) for name in page.pair.values]
    helped = [str(at.pair.values) for at in pairs if float(at.area_low.sel(start="after the first")) > 0]
    chance = [str(at.pair.values) for at in pairs if float(at.found.sel(start="frozen random core")) > 0]
    back = [str(at.pair.values) for at in pairs if float(at.more_low.sel(start="after the first")) > 0]
    return (
        f"Faster than from scratch after the first task: {', '.join(helped) or 'none'} ({len(helped)} of {len(pairs)} "
        f"pairs of tasks). With a frozen random core {', '.join(chance) or 'none'} is found. "
        f"Units return more alike than in another network that knows the first task: {', '.join(back) or 'none'}. "
        f"{' '.join(_said(at) for at in pairs)}{_of_irreps(page)}"
    )


def _said(at: xr.Dataset) -> str:
    after, frozen, scratch = (at.sel(start=name) for name in ("after the first", "frozen core", "scratch"))
    circuit = (
        f"; circuit {said_with_bounds(after, 'circuit')} (scratch {float(scratch.circuit):z.2f}, "
        f"random {float(at.circuit_null):.2f})"
        if np.isfinite(float(after.circuit))
        else ""
    )
    return (
        f"{at.pair.values}: step {_step(after)} (frozen core {_step(frozen)}, scratch {_step(scratch)}), area "
        f"{said_with_bounds(after, 'area')}; units return with {float(after.returned):.2f}, "
        f"{said_with_bounds(after, 'more')} above null{circuit}."
    )


def _step(at: xr.Dataset) -> str:
    found = float(at.found)
    if found == 0:
        return f"never: {float(at.score.isel(moment=-1)):z.2f}"
    return said_with_bounds(at, "found_at", "{:.0f}") + (f" in {found:.0%} of trainings" if found < 1 else "")


def _of_irreps(page: xr.Dataset) -> str:
    """Whether a circuit of one 3-dimensional irrep of A5 extends to S5, beside one of both."""
    by_irreps = {str(one.irreps.values): one for one in (page.sel(pair=name) for name in page.pair.values)}
    one, both = (by_irreps.get(name) for name in ("3", "3 and 3'"))
    if one is None or both is None:
        return ""
    alone, together = (at.sel(start="frozen core").isel(moment=-1) for at in (one, both))
    random = float(one.score.sel(start="frozen random core").isel(moment=-1))
    less = float(alone.score_high) < float(together.score_low)
    more = float(alone.score_low) > random
    free = one.sel(start="after the first")
    return (
        f" A frozen circuit of one 3-dimensional irrep of A5 extends to S5 {'less' if less else 'no less'} than one of "
        f"both: {said_with_bounds(alone, 'score')} against {said_with_bounds(together, 'score')} at the end"
        f"{f', but further than a random core ({random:.2f})' if more else ''}. "
        f"Trained on, it is left with {said_with_bounds(free, 'circuit')} of the energy in that irrep."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Scores over training for each pair, and numbers of all pairs beside their nulls."""
    pairs = page.pair.values
    figure = new_figure(max(10.5, 2.3 * len(pairs)), 6.2, "Is what was learned used again?", headline(page))
    rows = figure.add_gridspec(2, 1, height_ratios=[1, 1.25])
    panels = rows[0].subgridspec(1, len(pairs)).subplots(sharey=True, squeeze=False)[0]
    for place, (axes, name) in enumerate(zip(panels, pairs, strict=True)):
        _draw_curves(axes, page.sel(pair=name), first=place == 0)
    shown = [name for name in MARKED if np.isfinite(page[name].values).any()]
    numbers = rows[1].subgridspec(1, len(shown)).subplots(squeeze=False)[0]
    for axes, name in zip(numbers, shown, strict=True):
        _draw_numbers(axes, page, name)
    return figure


def _draw_curves(axes: Axes, at: xr.Dataset, first: bool) -> None:
    steps = at.assign_coords(step=at.moment * int(at.steps)).swap_dims(moment="step")
    for place, start in enumerate(at.start.values):
        draw_curve(axes, steps.sel(start=start), "score", "step", place, str(start))
    axes.axhline(float(at.score_null), color=GREY, lw=1, ls="--")
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("step")
    axes.set_title(str(at.pair.values))
    if first:
        axes.set_ylabel("score, held out", fontsize=7)
        axes.legend(frameon=False, fontsize=5.5)


def _draw_numbers(axes: Axes, page: xr.Dataset, name: str) -> None:
    draw_marks(axes, page, name, "pair", series="start", apart=0.17)
    null = page.get(f"{name}_null")
    if null is not None:
        each = null.broadcast_like(page[name]).transpose("start", "pair").values
        at = np.arange(each.shape[1]) + 0.17 * (np.arange(len(each))[:, None] - (len(each) - 1) / 2)
        marks = axes.scatter(at, each, marker="_", color=INK, s=40, lw=0.9, zorder=3)
        axes.legend([marks], ["null"], frameon=False, fontsize=6)
    axes.axhline(0, color=GREY, lw=0.7)
    if name == "area":
        axes.set_ylim(-1.6, 1.05)
    axes.tick_params(axis="x", labelsize=5.5)
    axes.set_title(page[name].attrs["long_name"], fontsize=6.5)
