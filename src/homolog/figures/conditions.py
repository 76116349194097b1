"""How does similarity change along the conditions of an experiment (widths, depths), on its scale at each of them?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from homolog.figures.findings import kept
from homolog.figures.scale import colour_and_shape, draw_legend, draw_scale, read_cell
from homolog.figures.style import INK, PALE

KIND = "base-retrained"
BASE = "base"
ROLES = ("null", "conditional_null", "initial", "ceiling")
NO_TRACKS = "no tracks:\nfewer than three runs count"


def conditions(page: xr.Dataset) -> list[str]:
    """Labels of the conditions, in the config's order."""
    return list(dict.fromkeys(str(name) for name in page.comparison_condition.values))


def first_of_each(page: xr.Dataset) -> xr.Dataset:
    """One comparison for each condition: base against retrained, or independent runs with each other."""
    labels = list(page.comparison_condition.values)
    return page.isel(comparison=[labels.index(name) for name in conditions(page)])


def draw_along(axes: Axes, page: xr.Dataset, view: str, matching: str) -> None:
    """Observed with its interval and its scale at each condition; grey where not identified."""
    names = conditions(page)
    for place in range(len(names)):
        if not bool(first_of_each(page).identified.isel(comparison=place).sel(view=view)):
            axes.axvspan(place - 0.5, place + 0.5, color=PALE, lw=0, zorder=0)
            label = "not\nidentified"
            axes.text(place, -0.02, label, ha="center", va="bottom", style="italic", fontsize=6.5, color="#555555")
    methods = list(page.decomposition.values)
    for index, method in enumerate(methods):
        shift = (index - (len(methods) - 1) / 2) * 0.6 / len(methods)
        colour, shape = colour_and_shape(index)
        cells = page.sel(decomposition=method, view=view, matching=matching)
        for place in range(len(names)):
            cell = read_cell(first_of_each(cells).isel(comparison=place))
            draw_scale(axes, cell, place + shift, colour, shape, across=False)
        # Not every condition has pairs of retrainings: a mark stands where its own condition does.
        again = cells.isel(comparison=np.flatnonzero(cells.comparison_kind.values == "retrained-retrained"))
        for condition, value in zip(again.comparison_condition.values, again.observed_mean.values, strict=True):
            x = names.index(str(condition)) + shift + 0.07
            axes.plot(x, float(value), marker=shape, mfc="white", mec=colour, ms=4.5, zorder=4)
    if not bool(first_of_each(page).observed_mean.sel(view=view, matching=matching).notnull().any()):
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center", style="italic", color="#555555")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.03, 1.05), xticks=range(len(names)))
    axes.set_xticklabels(names)
    axes.tick_params(axis="x", length=0)


def has_tracks(page: xr.Dataset) -> bool:
    """Whether there are tracks from a base to the conditions; none where fewer than three runs count."""
    return "coverage" in page and BASE in page.source.values


def draw_coverage_along(axes: Axes, page: xr.Dataset, found_in_runs: bool) -> None:
    """Share of the base's latents with a track into each condition's runs, or the other way round, on its scale."""
    names, methods = conditions(page), list(page.decomposition.values)
    for index, method in enumerate(methods if has_tracks(page) else []):
        shift = (index - (len(methods) - 1) / 2) * 0.6 / len(methods)
        for place, name in enumerate(names):
            cell = page.sel(decomposition=method).sel(_ends(name, found_in_runs))
            value = {"observed_mean": float(cell.coverage)}
            value |= {f"observed_{end}": float(cell[f"coverage_{end}"]) for end in ("low", "high")}
            value |= {role: float(cell[f"{role}_coverage"]) for role in ROLES}
            colour, shape = colour_and_shape(index)
            draw_scale(axes, value, place + shift, colour, shape, across=False)
            again = float(page.sel(decomposition=method, source=name, target=name).coverage)
            axes.plot(place + shift + 0.07, again, marker=shape, mfc="white", mec=colour, ms=4.5, zorder=4)
    if not has_tracks(page):
        axes.text(0.5, 0.5, NO_TRACKS, transform=axes.transAxes, ha="center", style="italic", color="#555555")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.03, 1.05), xticks=range(len(names)))
    axes.set_xticklabels(names)
    axes.tick_params(axis="x", length=0)


def _ends(condition: str, found_in_runs: bool) -> dict[str, str]:
    ends = (BASE, condition) if found_in_runs else (condition, BASE)
    return dict(zip(("source", "target"), ends, strict=True))


def say_coverage(page: xr.Dataset, found_in_runs: bool) -> str:
    """Share with a track along the conditions, and in a refit of the same run: ``pca 87%, 85% (refit 95%)``."""
    parts = []
    for method in page.decomposition.values:
        mine = page.sel(decomposition=method)
        cells = [mine.sel(_ends(name, found_in_runs)) for name in conditions(page)]
        said = ", ".join("–" if np.isnan(cell.coverage) else f"{float(cell.coverage):.0%}" for cell in cells)
        known = [float(cell.ceiling_coverage) for cell in cells if not np.isnan(cell.ceiling_coverage)]
        parts.append(f"{method} {said}" + (f" (refit {np.mean(known):.0%})" if known else ""))
    return "; ".join(parts)


def draw_legend_along(figure: Figure, where: SubplotSpec, page: xr.Dataset) -> None:
    """The marks of `draw_along`."""
    kinds = [
        Line2D([], [], color=INK, marker="o", ms=6, lw=0, label="base vs retrained (95 % interval)"),
        Line2D([], [], color=INK, marker="o", mfc="white", ms=5, lw=0, label="retrained vs retrained"),
    ]
    draw_legend(figure, where, map(str, page.decomposition.values), across=False, kept=kept(page)[0], more=kinds)


def say_excess(page: xr.Dataset, view: str, matching: str) -> str:
    """Excess of each method along the conditions, and what of it was there untrained: ``pca 87% (55%), 85% (60%)``."""
    chosen = first_of_each(page).sel(view=view, matching=matching)
    before = (chosen.initial - chosen.null) / chosen.reliability
    parts = []
    for method in page.decomposition.values:
        shares = zip(
            chosen.excess.sel(decomposition=method).values, before.sel(decomposition=method).values, strict=True
        )
        said = ["–" if np.isnan(share) else f"{share:.0%} ({start:.0%})" for share, start in shares]
        parts.append(f"{method} {', '.join(said)}")
    return "; ".join(parts)
