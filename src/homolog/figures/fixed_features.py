"""Are fixed latents with false directions switched off by their biases, and can true ones be told from them?"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, said_with_bounds
from homolog.figures.style import COLOURS, INK, SHAPES, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

# The evidence that panels and caption tell of; all of it stands in the table.
SHOWN = "mass"
# From which area on true directions count as told apart.
TOLD_APART = 0.9


def headline(dataset: xr.Dataset) -> str:
    """By world and method: how many random and true directions are off, and how well use tells them apart."""
    page = dataset.isel(hook_point=0) if "hook_point" in dataset.dims else dataset
    return " ".join([*(_of_world(page.sel(world=name)) for name in page.world.values), _verdict(page)])


def _of_world(own: xr.Dataset) -> str:
    name = str(own.world.item())
    parts = []
    for method in own.decomposition.values:
        random, true = (
            own.sel(decomposition=method, kind=kind, other="random", by=SHOWN) for kind in ("random", "true")
        )
        parts.append(
            f"{method} switches off {float(random.off):.0%} of the random directions and {float(true.off):.0%} of the "
            f"true ones (AUC of code mass {said_with_bounds(random, 'auc')}, after one step "
            f"{float(random.auc_initial):.2f})"
        )
    return f"{name[:1].upper()}{name[1:]}: {'; '.join(parts)}."


def _verdict(page: xr.Dataset) -> str:
    """Whether false ones are switched off, whether only they are, and what frozen dictionaries reach."""
    off, bias = page.off, page.evidence.sel(by="bias")
    false, true = (off.sel(kind=kind) for kind in ("random", "true"))
    answer = "Yes, most" if float(false.min()) > 0.5 else "Only partly"
    lost = [str(one) for one in off.decomposition.values if float(true.sel(decomposition=one).max()) > 0.25]
    but = f" {', '.join(lost)} gives up true ones too (up to {float(true.max()):.0%})." if lost else ""
    frozen, free, soft = (page.fvu.sel(role=role) for role in ("frozen", "free", "soft_frozen"))
    others = ", ".join(f"{kind} {_range(off.sel(kind=kind))}" for kind in ("covariance", "perturbed", "duplicate"))
    return (
        f"{answer} random directions are switched off ({_range(false)}; {others}).{but} "
        f"Not always by a low bias: percentiles are {_range(bias.sel(kind='random'))} for random and "
        f"{_range(bias.sel(kind='true'))} for true ones. Frozen at random, a dictionary leaves {_times(frozen / free)} "
        f"times the FVU of a free one, soft-frozen {_times(soft / free)}."
    )


def _range(values: xr.DataArray) -> str:
    return f"{100 * float(values.min()):.0f} to {100 * float(values.max()):.0f} %"


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
        _marks(axes[row, 0], own.sel(by=SHOWN), "evidence", "kind")
        _marks(axes[row, 1], own.sel(by="bias"), "evidence", "kind")
        _marks(axes[row, 2], own, "off", "kind")
        _marks(axes[row, 3], own.sel(by=SHOWN), "auc", "other")
        axes[row, 3].axhline(float(own.auc_null), **FLOORS["null"], label="null")
        _marks(axes[row, 4], own, "fvu", "role")
        axes[row, 0].set_ylabel(str(name))
        for one in axes[row, 1:4]:
            one.set_ylim(-0.05, 1.08)
    for one, title in zip(axes[0], titles, strict=True):
        one.set_title(title)
    for one in axes[-1]:
        one.tick_params(axis="x", labelrotation=40)
    axes[0, 3].legend(loc="lower left", frameon=False)
    return figure


def _marks(axes: Axes, own: xr.Dataset, name: str, along: str) -> None:
    """One mark with its interval for each method and place; crosses where it stood after one step."""
    x = np.arange(own.sizes[along])
    for place, method in enumerate(own.decomposition.values):
        one = own.sel(decomposition=method).transpose(along, ...)
        y, at = one[name].values, x + 0.2 * (place - (own.sizes["decomposition"] - 1) / 2)
        bars = np.abs(np.stack([y - one[f"{name}_low"].values, one[f"{name}_high"].values - y]))
        style: dict[str, Any] = {"color": COLOURS[place], "marker": SHAPES[place]}
        axes.errorbar(at, y, bars, ls="", ms=4, lw=1, label=method, **style)
        if f"{name}_initial" in one:
            label = None if place else "after one step"
            axes.plot(at, one[f"{name}_initial"].values, ls="", marker="x", ms=4, color=INK, label=label)
    axes.set_xticks(x, [str(value).replace("_", " ") for value in own[along].values])
