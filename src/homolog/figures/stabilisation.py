"""From which length of training on do latents agree between runs, on the scale of what they began with?"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.scale import colour_and_shape
from homolog.figures.style import (
    COLOURS,
    GREY,
    INK,
    VIEW_TITLES,
    draw_row_of_marks,
    in_house_style,
    mark_not_identified,
    new_figure,
)

PRIMARY = "score"
MATCHING = "hungarian"
# What else is drawn in each panel, with its style.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "ceiling": ("ceiling: refit of one run", {"color": INK, "lw": 1.2}),
    "spectral": ("same spectrum, turned", {"color": GREY, "lw": 1.6}),
    "null": ("null of the view", {"color": GREY, "lw": 0.7}),
    "initial": ("untrained network", {"color": INK, "lw": 0.9, "ls": ":"}),
    "step_0": ("step 0: dictionaries not yet trained", {"color": GREY, "lw": 0.9, "ls": "--"}),
}
NONE = "No decomposition here is trained for several numbers of steps, so there is no trajectory to show."


def trajectories(page: xr.Dataset) -> dict[str, xr.Dataset]:
    """Decompositions that differ in their steps alone, by what they share, shortest first; `steps` as coordinate."""
    steps = page.steps.mean("run").values
    shared = [_without_steps(str(name)) for name in page.decomposition.values]
    found = {}
    for name in dict.fromkeys(shared):
        mine = np.asarray([i for i, other in enumerate(shared) if other == name and np.isfinite(steps[i])], int)
        if len(set(steps[mine])) > 1:
            in_order = mine[np.argsort(steps[mine], kind="stable")]
            found[name] = page.isel(decomposition=in_order).assign_coords(at=("decomposition", steps[in_order]))
    return found


def _without_steps(label: str) -> str:
    """A grid point's label, ``<name>[k=4,steps=12]``, without the steps."""
    name, _, options = label.removesuffix("]").partition("[")
    others = [option for option in options.split(",") if option and not option.startswith("steps=")]
    return name + (f"[{','.join(others)}]" if others else "")


def headline(dataset: xr.Dataset) -> str:
    """Stabilisation at each length in the primary view, where it is largest, and the similarities behind it."""
    found = trajectories(dataset.isel(hook_point=0))
    said = [_say(name, page.isel(comparison=0).sel(view=PRIMARY, matching=MATCHING)) for name, page in found.items()]
    alone = [str(name) for name in dataset.decomposition.values if _without_steps(str(name)) not in found]
    rest = f" Trained for one number of steps, or for none: {', '.join(alone)}." if alone else ""
    if not said:
        return NONE + rest
    return (
        "Of the distance that dictionaries have between runs before they are trained (d_0), this share is gone when "
        f"they are trained for so many steps (1 - d_T / d_0; {PRIMARY}, one to one): {'; '.join(said)}. Each length is "
        "a training of its own, to the end of its schedule. What a refit of the same run reaches bounds it from above, "
        "and the untrained network shows what of it the network's training need not explain." + rest
    )


def _say(name: str, cell: xr.Dataset) -> str:
    values = cell.stabilisation.values
    if not np.isfinite(values).any():
        return f"{name}: no pair of runs counts"
    points = [f"{round(value, 2) + 0.0:.0%} at {at:.0f}" for at, value in zip(cell["at"].values, values, strict=True)]
    first, last = cell.isel(decomposition=0), cell.isel(decomposition=-1)
    most = float(cell["at"].values[int(np.nanargmax(values))])
    return (
        f"{name} {', '.join(points)}, most at {most:.0f} (similarity {float(first.observed_mean):.2f} at first, "
        f"{float(np.nanmax(cell.observed_mean)):.2f} at most, {float(last.observed_mean):.2f} at last; FVU "
        f"{float(first.fvu.mean()):.2f} to {float(last.fvu.mean()):.2f})"
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Rows are comparisons; a panel for each view, then the share of the first distance that is gone, and FVU."""
    found, views = trajectories(page), [str(view) for view in page.view.values]
    rows, columns = page.sizes["comparison"], len(views) + 2
    question = f"How long must dictionaries of {page.hook_point.item()} be trained before they agree between runs?"
    height = 1.5 + 2.6 * rows
    figure = new_figure(2.6 * max(columns, 4), height, question, headline(page.expand_dims("hook_point")))
    grid = figure.add_gridspec(2, 1, height_ratios=[2.6 * rows, 0.4])
    panels = GridSpecFromSubplotSpec(rows, columns, grid[0])
    for row in range(rows):
        here = {name: one.isel(comparison=row).sel(matching=MATCHING) for name, one in found.items()}
        last = row == rows - 1
        for column, view in enumerate(views):
            axes = figure.add_subplot(panels[row, column])
            _draw_similarity(axes, {name: one.sel(view=view) for name, one in here.items()})
            if not bool(page.identified.isel(comparison=row).sel(view=view)):
                mark_not_identified(axes)
            axes.set_title(VIEW_TITLES.get(view, view) if row == 0 else "", loc="left")
            axes.set_ylabel("" if column else f"{page.comparison.values[row]}\nsimilarity".replace("/", ",\n"))
            axes.set_xlabel("steps of training" if last else "")
        axes = figure.add_subplot(panels[row, -2])
        _draw_stabilisation(axes, here, views)
        axes.set_xlabel("steps of training" if last else "")
        axes.set_title("stabilisation\n1 - d_T / d_0" if row == 0 else "", loc="left")
        if row == 0:
            _draw_quality(figure.add_subplot(panels[row, -1]), found)
    draw_row_of_marks(figure, grid[1], _marks(list(found)), 5)
    return figure


def _draw_similarity(axes: Axes, trajectory: dict[str, xr.Dataset]) -> None:
    for index, one in enumerate(trajectory.values()):
        colour, shape = colour_and_shape(index)
        at = one["at"].values
        for role, (_, style) in LINES.items():
            axes.plot(at, one[role].values, **style, zorder=2)
        axes.fill_between(at, one.observed_low.values, one.observed_high.values, color=colour, alpha=0.25, lw=0)
        axes.plot(at, one.observed_mean.values, color=colour, marker=shape, ms=5, mec="white", lw=1.6, zorder=3)
    _finish(axes, trajectory)


def _draw_stabilisation(axes: Axes, trajectory: dict[str, xr.Dataset], views: list[str]) -> None:
    for index, one in enumerate(trajectory.values()):
        for place, view in enumerate(views):
            values = one.stabilisation.sel(view=view).values
            _, shape = colour_and_shape(index)
            colour = COLOURS[(place + 2) % len(COLOURS)]
            axes.plot(one["at"].values, values, color=colour, marker=shape, ms=4, mec="white", lw=1.4)
            known = np.flatnonzero(np.isfinite(values))
            if len(known) and index == 0:
                x, y = one["at"].values[known[-1]], values[known[-1]]
                axes.annotate(view, (x, y), (0, 5), textcoords="offset points", color=colour, fontsize=7, ha="right")
    axes.axhline(0, color=GREY, lw=0.6)
    _finish(axes, trajectory, bottom=-0.1)


def _draw_quality(axes: Axes, found: dict[str, xr.Dataset]) -> None:
    for index, one in enumerate(found.values()):
        colour, shape = colour_and_shape(index)
        axes.plot(one["at"].values, one.fvu.mean("run").values, color=colour, marker=shape, ms=4, mec="white", lw=1.4)
    _finish(axes, found)
    axes.set_title("FVU\nwhat reconstructions leave", loc="left")


def _finish(axes: Axes, trajectory: dict[str, xr.Dataset], bottom: float = -0.03) -> None:
    axes.set_ylim(bottom, 1.05)
    if not trajectory:
        axes.text(0.5, 0.5, "one length only", transform=axes.transAxes, ha="center", style="italic", color="#555555")
        return
    ticks = sorted({float(at) for one in trajectory.values() for at in one["at"].values})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.set_xticks([], minor=True)


def _marks(names: list[str]) -> list[Line2D]:
    marks = []
    for index, name in enumerate(names):
        colour, shape = colour_and_shape(index)
        label = f"{name}: observed between runs, with its 95 % interval"
        marks.append(Line2D([], [], color=colour, marker=shape, mec="white", lw=1.6, label=label))
    return marks + [Line2D([], [], label=label, **style) for label, style in LINES.values()]
