"""Are fixed latents with false directions switched off by their biases, and can true ones be told from them?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, capital, draw_marks, one_page, said_range, said_with_bounds
from homolog.figures.style import INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

# The evidence that panels and caption tell of; all of it stands in the table.
SHOWN = "mass"
# From which area on true directions count as told apart.
TOLD_APART = 0.9


def headline(dataset: xr.Dataset) -> str:
    """By world and method: how many random and true directions are off, and how well use tells them apart."""
    page = one_page(dataset)
    return " ".join([*(_of_world(page.sel(world=name)) for name in page.world.values), _verdict(page)])


def _of_world(own: xr.Dataset) -> str:
    name = str(own.world.item())
    parts = []
    for method in own.decomposition.values:
        random, true = (
            own.sel(decomposition=method, kind=kind, other="random", by=SHOWN) for kind in ("random", "true")
        )
        parts.append(
            f"{method} switches off {said_with_bounds(random, 'off')} of the random directions and "
            f"{said_with_bounds(true, 'off')} of the true ones (after one step {float(random.off_initial):.2f} and "
            f"{float(true.off_initial):.2f} are off; AUC of code mass {said_with_bounds(random, 'auc')}, after one "
            f"step {float(random.auc_initial):.2f})"
        )
    found = "" if float(own.known) else " (true: latents of the same rows that other seeds find)"
    return f"{capital(name)}{found}: {'; '.join(parts)}."


def _verdict(page: xr.Dataset) -> str:
    """Whether false ones are switched off, whether only they are, and what frozen dictionaries reach."""
    off, bias = page.off, page.evidence.sel(by="bias")
    false, true = (off.sel(kind=kind) for kind in ("random", "true"))
    answer = "Yes, most" if float(false.min()) > 0.5 else "Only partly"
    lost = [str(one) for one in off.decomposition.values if float(true.sel(decomposition=one).max()) > 0.25]
    but = f" {', '.join(lost)} gives up true ones too (up to {float(true.max()):.0%})." if lost else ""
    frozen, free, soft = (page.fvu.sel(role=role) for role in ("frozen", "free", "soft_frozen"))
    gain = page.auc_gain_low.sel(by=SHOWN, other="random")
    others = ", ".join(f"{kind} {said_range(off.sel(kind=kind))}" for kind in ("covariance", "perturbed", "duplicate"))
    return (
        f"{answer} random directions are switched off ({said_range(false)}; {others}; random ones after one step "
        f"{said_range(page.off_initial.sel(kind='random'))}).{but} Training tells true from random ones clearly better "
        f"than one step does in {int((gain > 0).sum())} of {gain.size} cases. "
        f"Not always by a low bias: percentiles are {said_range(bias.sel(kind='random'))} for random and "
        f"{said_range(bias.sel(kind='true'))} for true ones. Frozen at random, a dictionary leaves "
        f"{_times(frozen / free)} times the FVU of a free one, soft-frozen {_times(soft / free)}."
    )


def _times(values: xr.DataArray) -> str:
    return f"{float(values.min()):.1f} to {float(values.max()):.1f}"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each world: evidence by kind, ROC-AUC against each kind, and FVU of baselines."""
    rows = page.sizes["world"]
    figure = new_figure(
        11.5, 2.6 + 2.1 * rows, "Does training switch off latents that are fixed and false?", headline(page)
    )
    axes = figure.subplots(rows, 5, squeeze=False, sharex="col")
    titles = (
        "share of code mass\nof a latent",
        "percentile of its bias",
        "share of switched-off latents",
        "ROC-AUC of code mass,\ntrue against ...",
        "FVU on other rows",
    )
    for row, name in enumerate(page.world.values):
        own = page.sel(world=name)
        draw_marks(axes[row, 0], own.sel(by=SHOWN), "evidence", "kind")
        draw_marks(axes[row, 1], own.sel(by="bias"), "evidence", "kind")
        draw_marks(axes[row, 2], own, "off", "kind")
        _draw_first(axes[row, 2], own, own.off_initial)
        draw_marks(axes[row, 3], own.sel(by=SHOWN), "auc", "other")
        _draw_first(axes[row, 3], own, own.auc_initial.sel(by=SHOWN))
        axes[row, 3].axhline(float(own.auc_null), **FLOORS["null"], label="null")
        draw_marks(axes[row, 4], own, "fvu", "role")
        axes[row, 0].set_ylabel(str(name))
        for one in axes[row, 1:4]:
            one.set_ylim(-0.05, 1.08)
    for one, title in zip(axes[0], titles, strict=True):
        one.set_title(title)
    axes[0, 3].legend(loc="lower left", frameon=False)
    return figure


def _draw_first(axes: Axes, own: xr.Dataset, values: xr.DataArray) -> None:
    """What is there after one step, beside the marks of each method."""
    for place, method in enumerate(own.decomposition.values):
        first = values.sel(decomposition=method)
        at = np.arange(len(first)) + 0.2 * (place - 0.5)
        axes.plot(at, first, ls="", marker="x", ms=4, color=INK, label=None if place else "after one step")
