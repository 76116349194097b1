"""Which latents come back in how many runs, beside chance and the same run's refits, and what became of the others?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.findings import kept
from homolog.figures.scale import colour_and_shape
from homolog.figures.style import COLOURS, GREY, INK, draw_row_of_marks, in_house_style, new_figure

COLUMNS = 4
ALPHA = 0.05
# role: what it is called, colour, dash, width, place in the stack: each is seen where several lie on one another
LINES = {
    "survival": ("these runs", COLOURS[0], "-", 1.6, 4),
    "ceiling_survival": ("ceiling: as many refits of one run", INK, "-", 3.0, 3),
    "conditional_null_survival": ("conditional null: inputs shuffled within {}", GREY, "--", 1.6, 5),
    "null_survival": ("null: inputs shuffled", GREY, "-", 1.6, 2),
}
NO_REFERENCE = (
    " There is no untrained reference, since nobody knows what these runs were before training: what the inputs force "
    "on any network isn't told from what was learned."
)
FATES = ("kept", "split", "gone", "merged", "born")
SAID = {
    "retrained": "base to retrained",
    "trained": "before to after training",
    "wider dictionary": "dictionary to the next larger one",
}


@in_house_style
def draw(dataset: xr.Dataset) -> list[Figure]:
    """A page for each hook point; one that says why, where there are no tracks."""
    if "survival" not in dataset:
        return [new_figure(11.0, 1.4, "Which latents come back in how many runs?", headline(dataset))]
    return [_draw_page(dataset, str(name)) for name in dataset.hook_point.values]


def headline(dataset: xr.Dataset, hook_point: str = "") -> str:
    """For each method: consensus latents, how many of them are beyond chance, and the share of latents in all runs."""
    runs, counted = dataset.sizes["run"], int(dataset.accepted_run.sum())
    if "survival" not in dataset:
        return f"No tracks: of {runs} runs only {counted} count, since the others' held-out loss doesn't match."
    page, parts = dataset.sel(hook_point=hook_point), []
    for method in page.decomposition.values:
        tracks = _tracks_of(dataset, hook_point, str(method))
        beyond = int((tracks.adjusted_p_value <= ALPHA).sum())
        beyond_class = int((tracks.conditional_adjusted_p_value <= ALPHA).sum())
        share = page.sel(decomposition=method)
        known = not _is_unknown(share.conditional_null_survival)
        by_class = f", {beyond_class} beyond what {kept(dataset)[1]} explain" if known else ""
        parts.append(
            f"{method} {tracks.sizes['track']} ({beyond} beyond chance{by_class}), "
            f"{float(share.survival.isel(r=-1)):.0%} of a run's live latents are in all {counted} runs"
        )
    return (
        f"Consensus latents of {counted} runs (a track needs {int(dataset.attrs['least_runs'])}, each member links "
        f"to {float(dataset.attrs['quorum']):.0%} of the others): {'. '.join(parts)}."
        + (NO_REFERENCE if _is_unknown(page.initial_coverage) else "")
    )


def _is_unknown(curve: xr.DataArray) -> bool:
    """Whether there is no such null or ceiling: without classes, say, or with too few refits."""
    return bool(curve.isnull().all())


def _tracks_of(dataset: xr.Dataset, hook_point: str, method: str) -> xr.Dataset:
    here = (dataset.hook_point_of_track == hook_point) & (dataset.decomposition_of_track == method)
    return dataset.isel(track=np.flatnonzero(here))


def _draw_page(dataset: xr.Dataset, hook_point: str) -> Figure:
    page = dataset.sel(hook_point=hook_point)
    methods = [str(name) for name in page.decomposition.values]
    panels = _changes(dataset, hook_point)
    bands, lower = -(-len(methods) // COLUMNS), -(-len(panels) // COLUMNS)
    question = f"Which latents of {hook_point} come back in how many runs?"
    heights = [2.2 * bands, 0.25, *([2.0 * lower, 0.25] if panels else [])]
    figure = new_figure(12.0, 1.3 + 2.4 * (bands + lower), question, headline(dataset, hook_point))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    upper = GridSpecFromSubplotSpec(bands, min(COLUMNS, max(len(methods), 3)), grid[0])
    for index, method in enumerate(methods):
        axes = figure.add_subplot(upper[index // COLUMNS, index % COLUMNS])
        draw_survival(axes, page.sel(decomposition=method))
        axes.set_title(f"{method}: {_tracks_of(dataset, hook_point, method).sizes['track']} tracks", loc="left")
        axes.set_ylabel("" if index % COLUMNS else "share of a run's live latents")
    draw_row_of_marks(figure, grid[1], curves_of(page), 8, 1.4)
    if panels:
        below = GridSpecFromSubplotSpec(lower, min(COLUMNS, len(panels)), grid[2])
        for index, (title, rows) in enumerate(panels):
            axes = figure.add_subplot(below[index // COLUMNS, index % COLUMNS])
            _draw_fates(axes, rows, methods)
            axes.set_title(title, loc="left")
            axes.set_ylabel("" if index % COLUMNS else "share of live latents")
        draw_row_of_marks(figure, grid[3], _marks(methods), 8, 1.4)
    return figure


def curves_of(page: xr.Dataset) -> list[Line2D]:
    """The curves of survival that there are, for a legend."""
    shown = [look for name, look in LINES.items() if not _is_unknown(page[name])]
    within = kept(page)[0]
    return [
        Line2D([], [], color=colour, ls=dash, lw=width, label=label.format(within))
        for label, colour, dash, width, _ in shown
    ]


def draw_survival(axes: Axes, cell: xr.Dataset) -> None:
    """Share of latents in a track of at least r of R runs, against r / R; of refits likewise."""
    for name, (_, colour, dash, width, above) in LINES.items():
        dim = "fit" if name == "ceiling_survival" else "r"
        many = int(cell.n_fits) if dim == "fit" else cell.sizes["r"] - 1
        if many:
            x, share = np.arange(many + 1) / many, cell[name].values[: many + 1]
            axes.step(x, share, where="pre", color=colour, ls=dash, lw=width, zorder=above, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="at least this share of the runs", yticks=[0, 0.25, 0.5, 0.75, 1])


def _changes(dataset: xr.Dataset, hook_point: str) -> list[tuple[str, xr.Dataset]]:
    """The changes of one hook point by kind, retrainings by condition too."""
    if "change" not in dataset.dims:
        return []
    rows = dataset[[name for name in dataset.data_vars if dataset[name].dims == ("change",)]]
    rows = rows.isel(change=np.flatnonzero(rows.change_hook_point.values == hook_point))
    found = []
    for kind, title in SAID.items():
        of_kind = rows.isel(change=np.flatnonzero(rows.change_kind.values == kind))
        groups = dict.fromkeys(map(str, of_kind.change_group.values)) if kind == "retrained" else {"": None}
        for group in groups:
            chosen = of_kind.isel(change=np.flatnonzero(of_kind.change_group.values == group)) if group else of_kind
            if chosen.sizes["change"]:
                found.append((f"{title}, {group}" if len(groups) > 1 else title, chosen))
    return found


def _draw_fates(axes: Axes, rows: xr.Dataset, methods: list[str]) -> None:
    """A mark for the mean over runs, a line from the least to the most, and what the null gives."""
    for index, method in enumerate(methods):
        mine = rows.isel(change=np.flatnonzero(rows.change_decomposition_after.values == method))
        if not mine.sizes["change"]:
            continue
        colour, shape = colour_and_shape(index)
        for place, fate in enumerate(FATES):
            x, values = place + (index - (len(methods) - 1) / 2) * 0.7 / len(methods), mine[fate].values
            axes.plot(x, float(mine[f"null_{fate}"].mean()), color=GREY, marker="_", ms=7, mew=1.6, zorder=1)
            axes.plot([x, x], [values.min(), values.max()], color=colour, lw=2.0, alpha=0.5, zorder=2)
            axes.plot(x, values.mean(), marker=shape, mfc=colour, mec="white", mew=0.5, ms=6, zorder=3)
    axes.set(
        xlim=(-0.5, len(FATES) - 0.5), ylim=(-0.03, 1.03), xticks=range(len(FATES)), yticks=[0, 0.25, 0.5, 0.75, 1]
    )
    axes.set_xticklabels(FATES)
    axes.axvline(2.5, color=GREY, lw=0.6, ls=":")
    axes.text(2.45, 0.6, "of before ", ha="right", va="top", fontsize=6.5, color=GREY)
    axes.text(2.55, 0.6, " of after", ha="left", va="top", fontsize=6.5, color=GREY)


def _marks(methods: list[str]) -> list[Line2D]:
    marks = []
    for index, method in enumerate(methods):
        colour, shape = colour_and_shape(index)
        marks.append(Line2D([], [], color=colour, marker=shape, mec="white", ms=6, lw=2, label=method))
    null = Line2D([], [], color=GREY, marker="_", ms=7, mew=1.6, lw=0, label="null: inputs shuffled")
    return [*marks, Line2D([], [], lw=0, label="mark: mean over runs; line: least to most"), null]
