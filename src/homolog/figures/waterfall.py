"""How much of a stable latent do chance, the data, the classes and the untrained network explain, and what is left?"""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from homolog.figures.findings import MATCHING, PRIMARY, kept
from homolog.figures.style import COLOURS, GREY, INK, PALE, VIEW_TITLES, in_house_style, new_figure

# From what keeps least to what keeps most; what each is stands in docs/science.md.
STEPS = {
    "null": "inputs shuffled",
    "isotropic": "random directions",
    "spectral": "same spectrum, turned",
    "gaussian": "trained on Gaussians",
    "conditional_null": "shuffled within {}",
    "initial": "untrained network",
    "observed_mean": "observed",
    "ceiling": "ceiling: refit of one run",
}
VIEWS = (PRIMARY, "effect", "write_out", "read_in")
# More methods than these in a row would leave no room for numbers.
MOST_COLUMNS = 5


def draw_pages(page: xr.Dataset) -> list[Figure]:
    """A figure for each comparison of one hook point."""
    return [_draw(page.isel(comparison=index)) for index in range(page.sizes["comparison"])]


@in_house_style
def _draw(cells: xr.Dataset) -> Figure:
    """Rows are views, columns are methods; bars show what each step adds to all before it."""
    views = [name for name in VIEWS if name in cells.view.values and bool(cells.identified.sel(view=name))]
    methods = [str(name) for name in cells.decomposition.values][:MOST_COLUMNS]
    title = (
        f"{cells.hook_point.item()}, {str(cells.comparison.item()).replace('/', ', ')}: what makes latents alike, and "
        "what is left of it?"
    )
    figure = new_figure(2.1 + 2.25 * max(len(methods), 3), 1.3 + 2.05 * max(len(views), 1), title, headline(cells))
    grid = figure.add_gridspec(1, 1)
    panels = GridSpecFromSubplotSpec(max(len(views), 1), len(methods), grid[0], wspace=0.04, hspace=0.06)
    for row, view in enumerate(views):
        for column, method in enumerate(methods):
            axes = figure.add_subplot(panels[row, column])
            _draw_panel(axes, cells.sel(view=view, decomposition=method, matching=MATCHING))
            if row == 0:
                axes.set_title(method, loc="left", fontweight="bold")
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(views) - 1)
            if column == 0:
                axes.set_ylabel(VIEW_TITLES.get(view, view).split("\n")[0])
            if row == len(views) - 1:
                axes.set_xlabel("similarity")
    return figure


def headline(cells: xr.Dataset) -> str:
    """What is left of the observed similarity in the primary view, method by method."""
    chosen = cells.sel(view=PRIMARY, matching=MATCHING)
    known = [name for name in chosen.decomposition.values if bool(chosen.left.sel(decomposition=name).notnull())]
    if not known:
        return "No pair of runs counts here, so nothing was observed."
    parts = [_say_left(name, chosen.sel(decomposition=name)) for name in known[:MOST_COLUMNS]]
    return (
        f"Mean similarity of matched latents ({PRIMARY}, one to one), and what of it is left above all steps before: "
        f"{'; '.join(parts)}. Bars add up what each step explains beyond those above it; dots with 95 % intervals are "
        "the steps themselves, and below them what is left: the observed less the highest that explains it. Hollow: a "
        "method that sees the covariance alone, for which Gaussian samples are no null."
    )


def _say_left(name: str, cell: xr.Dataset) -> str:
    left, low, high = (round(float(cell[key]), 2) + 0.0 for key in ("left", "left_low", "left_high"))
    known = "" if low != low else f" [{low:.2f}, {high:.2f}]"
    return f"{name} {float(cell.observed_mean):.2f} ({f'{left:.2f}' if left > 0 else 'nothing'}{known})"


def _draw_panel(axes: Axes, cell: xr.Dataset) -> None:
    steps = [name for name in STEPS if not (name == "null" and bool(cell.null_turns))]
    _draw_steps(axes, cell, steps)
    place = len(steps) + 0.3
    axes.axhline(place - 0.65, color=GREY, lw=0.5)
    if bool(cell.left.notnull()):
        axes.axvline(0, ymax=1.1 / (place + 1.05), color=GREY, lw=0.5)
        _draw_value(axes, place, float(cell.left), (float(cell.left_low), float(cell.left_high)), COLOURS[0])
    axes.set(ylim=(place + 0.5, -0.55), xlim=(-0.16, 1.18), yticks=[*range(len(steps)), place], xticks=[0, 0.5, 1])
    said = [STEPS[name].format(kept(cell)[0]) for name in steps]
    axes.set_yticklabels([*said, "left: observed above\nall that explains it"])
    axes.tick_params(axis="y", length=0)


def _draw_steps(axes: Axes, cell: xr.Dataset, steps: list[str]) -> None:
    """What each step adds to those above it, and the step itself."""
    reached = 0.0
    for place, name in enumerate(steps):
        value = float(cell[name])
        missing = value != value
        colour = {"observed_mean": COLOURS[0], "ceiling": INK}.get(name, GREY)
        role = name.removesuffix("_mean")
        if missing:
            axes.text(0.01, place, "not defined here", va="center", fontsize=6.5, style="italic", color=GREY)
            continue
        # See `left` in docs/science.md: of a method that sees two moments alone this is no null.
        counts = not (name == "gaussian" and bool(cell.ordered))
        if value > reached and counts:
            ground = {"observed_mean": COLOURS[5], "ceiling": PALE}.get(name, "#C9C9C9")
            axes.barh(place, value - reached, left=reached, height=0.72, color=ground, zorder=1)
            axes.plot([value, value], [place, len(steps) - 0.5], color=GREY, lw=0.5, ls=":", zorder=0)
            reached = value
        interval = float(cell[f"{role}_low"]), float(cell[f"{role}_high"])
        _draw_value(axes, place, value, interval, colour, hollow=not counts)


def _draw_value(
    axes: Axes, place: float, value: float, interval: tuple[float, float], colour: str, hollow: bool = False
) -> None:
    axes.plot(interval, [place, place], color=colour, lw=1.6, alpha=0.7, solid_capstyle="butt", zorder=3)
    face, edge = ("white", colour) if hollow else (colour, "white")
    axes.plot([value], [place], marker="o", ms=4, mfc=face, mec=edge, mew=0.6, zorder=4)
    axes.text(1.16, place, f"{round(value, 2) + 0.0:.2f}", ha="right", va="center", fontsize=7, color=colour, zorder=5)
