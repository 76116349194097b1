"""Which measures are fooled, in which worlds, and does the stable tell the true?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from homolog.figures import traps_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import one_page
from homolog.figures.style import COLOURS, GREY, INK, PALE, in_house_style, new_figure
from homolog.figures.traps_report import MEASURES, WORLDS

__all__ = ["REPORT", "draw", "headline"]

PRIMARY = "score"
# The decisions that are reported.
REPORTED = (PRIMARY, f"workflow_{PRIMARY}")
Colour = str | tuple[float, float, float]
KINDS = {
    "report": "homolog.compare",
    "workflow": "workflow, 6 runs",
    "by latent": "usual: by latent",
    "as a whole": "usual: as a whole",
}
GROUPS = {
    "nothing": "Nothing is stable",
    "trained": "Nothing is: trained",
    "arguable": "Shared, but what?",
    "something": "Found, of what is stable",
}
# Groups in which whatever is called stable is false, whoever asks.
NOTHING = ("nothing", "trained")
# Between kinds of measures, in rows: room for the kind's name.
GAP = 1.0
FOOLED, FOUND, FINE = COLOURS[1], COLOURS[0], "#E4F1EA"
LINES = {
    "stable": ("of all latents, stable", COLOURS[0], "o", "-"),
    "true_if_stable": ("of the stable, true", COLOURS[2], "s", "-"),
    "true_if_not": ("of the others, true", GREY, "D", "--"),
}


def headline(dataset: xr.Dataset) -> str:
    """How often the reports were fooled beside the usual measures, what they find, and whether the stable is true."""
    page = one_page(dataset)
    nothing = _of(page, *NOTHING)
    others = nothing.isel(measure=np.flatnonzero(np.isin(nothing.kind.values, ("by latent", "as a whole"))))
    fooled = (others.fdr_low > float(page.attrs["level"])).any("world")
    parts = [
        f"Tested at {float(page.attrs['level']):.0%} in {nothing.sizes['world']} worlds where nothing is stable,",
        _verdict(nothing, PRIMARY, f"homolog.compare (view {PRIMARY})"),
        _verdict(nothing, f"workflow_{PRIMARY}", f"The workflow ({PRIMARY}, a base and five runs)"),
        f"Of {fooled.size} usual measures {int(fooled.sum())} are fooled somewhere.",
        _views(nothing),
        _power(page),
        _arguable(page),
        _stable_but_wrong(page),
    ]
    return " ".join(" ".join(parts).split())


def _of(page: xr.Dataset, *groups: str) -> xr.Dataset:
    """The worlds of some groups."""
    return page.isel(world=np.flatnonzero(np.isin(page.group.values, groups)))


def _verdict(nothing: xr.Dataset, measure: str, says: str) -> str:
    """Where it is fooled, and where else it is nearest to it."""
    report = nothing.sel(measure=measure)
    beyond = report.fdr_low.values > float(nothing.attrs["level"])
    fooled = [f"{WORLDS[str(cell.world.item())]} ({float(cell):.0%})" for cell in report.fdr[beyond]]
    rest = report.isel(world=~beyond)
    worst = rest.isel(world=int(rest.fdr.values.argmax()))
    verdict, where = f"is fooled by {_list(fooled)}; elsewhere" if fooled else "is not fooled;", "false discovery rate"
    return (
        f"{says} {verdict} its {where} is at most {_rate(worst, 'fdr')} ({WORLDS[str(worst.world.item())]}; "
        f"{int(worst.repetitions):,} repetitions)."
    )


def _rate(cell: xr.Dataset, name: str) -> str:
    low, value, high = (float(cell[name + end]) for end in ("_low", "", "_high"))
    return f"{value:.1%} [{low:.1%}, {high:.1%}]"


def _views(nothing: xr.Dataset) -> str:
    """Other views of the reports that are fooled."""
    kinds = nothing.kind.values
    views = [m for m, kind in zip(nothing.measure.values, kinds, strict=True) if kind in ("report", "workflow")]
    cells = [
        f"{_named(str(view))} by {WORLDS[str(world)]} ({float(nothing.fdr.sel(world=world, measure=view)):.0%})"
        for view in views
        if not view.endswith(PRIMARY)
        for world in nothing.world.values
        if float(nothing.fdr_low.sel(world=world, measure=view)) > float(nothing.attrs["level"])
    ]
    return f"Their other views can be: {_list(cells)}." if cells else ""


def _named(view: str) -> str:
    return f"{view.removeprefix('workflow_')} of the workflow" if view.startswith("workflow_") else view


def _power(page: xr.Dataset) -> str:
    shown = _of(page, "something")
    parts = [
        f"{float(cell.sel(measure=PRIMARY)):.0%} and {float(cell.sel(measure=f'workflow_{PRIMARY}')):.0%} "
        f"({WORLDS[str(cell.world.item())]})"
        for cell in shown.power
    ]
    return f"Of what is stable they find {_list(parts)}."


def _arguable(page: xr.Dataset) -> str:
    """What is shared and may or may not count."""
    shown = _of(page, "arguable").sel(measure=PRIMARY)
    parts = [f"{float(shown.called.sel(world=w)):.0%} ({WORLDS[str(w)]})" for w in ("gaussians", "shared_start")]
    warned = float(shown.warned.sel(world="shared_start"))
    return (
        f"Of two autoencoders' latents homolog.compare calls stable {_list(parts)}; that latents hardly left their "
        f"start it tells in {warned:.0%} of the latter."
    )


def _stable_but_wrong(page: xr.Dataset) -> str:
    right = page.sel(active=int(page.attrs["true_l0"]))
    below = page.isel(active=np.flatnonzero(page.active.values < int(right.active)))
    low = below.isel(active=int(below.stable.values.argmax()))
    return (
        f"What is stable needn't be true: where {int(right.active)} planted features are on, autoencoders with "
        f"{int(right.active)} active latents have {float(right.stable):.0%} stable ones, of which "
        f"{float(right.true_if_stable):.0%} are a feature; with {int(low.active)}, {float(low.stable):.0%}, of which "
        f"{float(low.true_if_stable):.0%} are."
    ).replace("nan%", "none")


def _list(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else "none"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Measures against worlds; below, how stability goes with truth."""
    question = "Which measures call something stable that isn't?"
    figure = new_figure(15.5, 12.0, question, headline(page))
    widths = [int((page.group == group).sum()) for group in GROUPS]
    grid = figure.add_gridspec(2, len(GROUPS), height_ratios=[7.4, 2.0], width_ratios=widths)
    for column, group in enumerate(GROUPS):
        axes = figure.add_subplot(grid[0, column])
        _draw_worlds(axes, _of(page, group), group, first=column == 0)
    below = grid[1, :].subgridspec(1, 3, width_ratios=[1.5, 1.5, 2.2])
    _draw_truth(figure.add_subplot(below[0]), page)
    _draw_legend(figure.add_subplot(below[1]), page)
    _draw_notes(figure.add_subplot(below[2]), page)
    return figure


def _draw_worlds(axes: Axes, page: xr.Dataset, group: str, first: bool) -> None:
    names, measures = list(page.world.values), list(page.measure.values)
    quantity = "power" if group == "something" else "fdr"
    offset = _offsets(page)
    for x, world in enumerate(names):
        for y, measure in zip(offset, measures, strict=True):
            cell = page.sel(world=world, measure=measure)
            _draw_cell(axes, x, y, cell, quantity, float(page.attrs["level"]))
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(offset[-1] + 0.55, -1.2), xticks=range(len(names)))
    axes.set_xticklabels([_wrapped(WORLDS[str(name)]) for name in names], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    # One height for all, above labels of up to four lines.
    axes.set_title(GROUPS[group], fontweight="bold", loc="left", y=1.075, pad=0)
    axes.set_yticks(offset, [MEASURES[str(m)] for m in measures] if first else [""] * len(measures), fontsize=7.5)
    for label, measure in zip(axes.get_yticklabels(), measures, strict=True):
        label.set_fontweight("bold" if measure in REPORTED else "normal")
    axes.spines[:].set_visible(False)
    if first:
        for kind, title in KINDS.items():
            y = offset[list(page.kind.values).index(kind)] - 0.85
            place = axes.get_yaxis_transform()
            axes.text(
                -0.01, y, title, ha="right", va="center", transform=place, fontsize=7.5, style="italic", color=GREY
            )


def _offsets(page: xr.Dataset) -> list[float]:
    """A place for each measure, with a gap between kinds."""
    kinds = list(page.kind.values)
    return [i + GAP * len(set(kinds[: i + 1])) - GAP for i in range(len(kinds))]


def _draw_cell(axes: Axes, x: float, y: float, cell: xr.Dataset, quantity: str, level: float) -> None:
    value, low = float(cell[quantity]), float(cell[f"{quantity}_low"])
    if np.isnan(value):
        if not np.isnan(float(cell.called)):
            axes.text(x, y, "·", ha="center", va="center", color=GREY)
        return
    colour: Colour
    if quantity == "power":
        colour, ink = _mixed(FOUND, 0.12 + 0.7 * value), "white" if value > 0.6 else INK
    elif low > level:
        colour, ink = _mixed(FOOLED, 0.25 + 0.75 * value), "white" if value > 0.7 else INK
    else:
        colour, ink = FINE, INK
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colour, lw=0))
    weight = "bold" if cell.measure.item() in REPORTED else "normal"
    axes.text(x, y, _percent(value), ha="center", va="center", fontsize=7.5, color=ink, fontweight=weight)


def _percent(value: float) -> str:
    """Whole numbers, one digit below 10, and nothing that looks like 0 or 100 and isn't."""
    share = 100 * value
    return f"{share:.0f}" if share in (0, 100) or 10 <= share < 99.5 else f"{share:.1f}"


def _mixed(colour: str, share: float) -> Colour:
    red, green, blue = (share * part + 1 - share for part in to_rgb(colour))
    return red, green, blue


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 11:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def _draw_truth(axes: Axes, page: xr.Dataset) -> None:
    for name, (says, colour, shape, dash) in LINES.items():
        y, low, high = (page[name + end].values for end in ("", "_low", "_high"))
        errors = np.stack([y - low, high - y]).clip(0)
        axes.errorbar(page.active, y, errors, color=colour, marker=shape, ls=dash, ms=5, lw=1.5, capsize=2, label=says)
    axes.axvline(int(page.attrs["true_l0"]), color=PALE, lw=6, zorder=0)
    axes.set(xticks=page.active.values, ylim=(-0.03, 1.03), xlabel="active latents (band: as many as features are on)")
    axes.set_ylabel("share of latents")
    axes.set_title("Is the stable true? Planted features by L0", loc="left", fontweight="bold")


def _draw_legend(axes: Axes, page: xr.Dataset) -> None:
    axes.axis("off")
    level = float(page.attrs["level"])
    marks: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=shape, ls=dash, label=says) for says, colour, shape, dash in LINES.values()
    ]
    marks += [
        Patch(
            color=_mixed(FOOLED, 0.8), label=f"fooled: false discovery rate above {level:.0%}\nby its lower 95 % bound"
        ),
        Patch(color=FINE, label="not fooled, as far as so many repetitions tell"),
        Patch(color=_mixed(FOUND, 0.7), label="found, of what is stable"),
    ]
    axes.legend(handles=marks, frameon=False, loc="center left", borderpad=0)


def _draw_notes(axes: Axes, page: xr.Dataset) -> None:
    axes.axis("off")
    text = (
        "Numbers: false discovery rate in % (right: share of the stable that is found). Where nothing is stable, that\n"
        "is the share of repetitions in which anything is called stable. Bold: the decision that is reported. Blank:\n"
        "not identified there, or not defined. Dot: neither right nor wrong as a whole.\n"
        f"Repetitions: {_counts(page)}.\n"
        "A dozen copies count as one latent: for homolog.compare as the block that it names; the workflow names none.\n"
        "Of a dozen Gaussians the clusters count as stable, or nothing does. A shared start can't be seen in\n"
        "dictionaries: homolog.compare warns where latents hardly left theirs, if it is known."
    )
    axes.text(0, 0.95, text, va="top", fontsize=7.5, color=INK, linespacing=1.4, transform=axes.transAxes)


def _counts(page: xr.Dataset) -> str:
    nothing = int(_of(page, *NOTHING).repetitions.sel(measure=PRIMARY).min())
    rest = int(_of(page, "something").repetitions.sel(measure=PRIMARY).min())
    return f"{nothing:,} where nothing is stable, {rest:,} elsewhere and for the workflow"
