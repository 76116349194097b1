"""Which directions destroy some inputs and leave the rest untouched, beyond chance, and do they return?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import one_page, said_with_bounds
from homolog.figures.rows import draw_rows
from homolog.figures.style import COLOURS, GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

PANELS = ("splits", "separation", "spill", "bimodality", "one_class")
OUTCOMES = {"untouched": "#DDDDDD", "between": COLOURS[4], "destroyed": COLOURS[1]}


def headline(dataset: xr.Dataset) -> str:
    """Which kinds of latents split the inputs more than chance, and whether those that do return more often."""
    page = one_page(dataset)
    rows = {str(one): page.sel(decomposition=one) for one in page.decomposition.values}
    beyond = [name for name, row in rows.items() if float(row.more_splits_low) > 0]
    within = [name for name in rows if name not in beyond]
    known = [name for name, row in rows.items() if np.isfinite(float(row.more_returns_low))]
    clear = [name for name in known if float(rows[name].more_returns_low) > 0]
    less = [name for name in known if float(rows[name].more_returns_high) < 0]
    return (
        "A latent splits the inputs if its ablation destroys the answer on some and leaves half or more untouched. "
        f"More than chance: {_listed(beyond, rows)}. Not clearly more: {_listed(within, rows)}. (Chance: turned "
        "directions of like variance, or the latent's own amounts along these, the higher one.) Of inputs that aren't "
        f"untouched, more are destroyed than by chance in {_separated(rows)}. Latents that split "
        f"return more often after retraining in {_returned(clear, rows)}, less often in {_returned(less, rows)}; no "
        f"clear difference in {_returned([one for one in known if one not in (*clear, *less)], rows)}."
    )


def _chance(row: xr.Dataset) -> float:
    return max(float(row.splits_null), float(row.splits_same_size))


def _separated(rows: dict[str, xr.Dataset]) -> str:
    found = []
    for name, row in rows.items():
        chance = max(float(row.separation_null), float(row.separation_same_size))
        if float(row.more_separation_low) > 0:
            found.append(f"{name} ({said_with_bounds(row, 'separation')}, chance {chance:.2f})")
    return ", ".join(found) or "none"


def _listed(names: list[str], rows: dict[str, xr.Dataset]) -> str:
    said = [
        f"{name} {said_with_bounds(rows[name], 'splits')} (chance {_chance(rows[name]):.2f}; "
        f"{said_with_bounds(rows[name], 'more_splits')} above it)"
        for name in names
    ]
    return "; ".join(said) or "none"


def _returned(names: list[str], rows: dict[str, xr.Dataset]) -> str:
    said = [
        f"{name} ({float(rows[name].returns_causal):.2f} against {float(rows[name].returns_other):.2f}: "
        f"{said_with_bounds(rows[name], 'more_returns')})"
        for name in names
    ]
    return ", ".join(said) or "none"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """What becomes of the inputs; four numbers beside their nulls; returns; latents one by one."""
    figure = new_figure(
        11, 7.4, "Does ablating a direction split the inputs, and do such directions return?", headline(page)
    )
    axes = figure.subplots(2, 4)
    _draw_outcomes(axes[0, 0], page)
    for one, name in zip(axes.flat[1:6], PANELS, strict=True):
        draw_rows(one, page, [name], beside=("null", "same_size"))
        one.set(title=page[name].attrs["long_name"], xlim=(-0.03, 1.03))
    returns = axes[1, 2]
    draw_rows(returns, page, ["returns_causal", "returns_other"], beside=(), labels=["latents that split", "others"])
    returns.axvline(0.05, color=GREY, lw=1, ls="--")
    returns.set(title="share of retrainings in which it returns\n(above 95 % of the null, dashed)", xlim=(-0.03, 1.03))
    returns.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="upper right")
    _draw_latents(axes[1, 3], page)
    for one in (*axes[0, 1:4], *axes[1, 1:3]):
        one.set_yticklabels([])
    marks = [
        Line2D([], [], marker="|", ls="", color=GREY, ms=7, mew=1.4, label="turned, like variance"),
        Line2D([], [], marker="x", ls="", color=GREY, ms=6, mew=1.4, label="own amounts, turned"),
    ]
    axes[0, 1].legend(handles=marks, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.2))
    return figure


def _draw_outcomes(axes: Axes, page: xr.Dataset) -> None:
    height, left = np.arange(page.sizes["decomposition"]), np.zeros(page.sizes["decomposition"])
    for name, colour in OUTCOMES.items():
        values = page[name].values
        axes.barh(height, values, 0.7, left, color=colour, label=name)
        left = left + values
    axes.set_yticks(height, page.decomposition.values.tolist())
    axes.set(ylim=(len(height) - 0.5, -0.5), xlim=(0, 1), title="inputs when a latent is ablated, mean")
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="lower left")


def _draw_latents(axes: Axes, page: xr.Dataset) -> None:
    for place, name in enumerate(page.decomposition.values):
        row = page.sel(decomposition=name)
        axes.scatter(row.latent_destroyed, row.latent_similarity, 9, COLOURS[place % len(COLOURS)], label=str(name))
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set(
        xlabel="share of inputs destroyed", title="latents of the base: similarity to\ntheir matches, mean over runs"
    )
    axes.set(xlim=(-0.002, 1.05), xticks=[0, 0.01, 0.1, 1])
    axes.legend(frameon=False, fontsize=6.5, loc="lower right", handletextpad=0.1)
