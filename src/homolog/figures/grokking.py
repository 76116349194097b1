"""When is a group's operation found, after its pairs are fitted, and which irreps carry it?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

ENERGIES = ("embedding_energy", "logit_energy")


def headline(dataset: xr.Dataset) -> str:
    """For each group when pairs are fitted and the operation is found, and what a table without a rule gives."""
    page = one_page(dataset)
    return " ".join(_said(page, str(group)) for group in page.group.values)


def _said(page: xr.Dataset, group: str) -> str:
    at = page.sel(group=group)
    own, null = at.sel(table="operation"), at.sel(table="no rule")
    start, end, random = own.isel(step=0), own.isel(step=-1), null.isel(step=-1)
    found = float(own.found_at)
    # Bounds need three replicates that find it.
    some = "" if np.isfinite(float(own.found_at_low)) else " (where they get there, which not all do)"
    when = (
        f"99 % of the pairs trained on are right from step {said_with_bounds(own, 'fitted_at', '{:.0f}')} on, of those "
        f"held out from step {said_with_bounds(own, 'found_at', '{:.0f}')} on{some}"
        if np.isfinite(found)
        else f"99 % of the held-out pairs are not reached in {int(page.step[-1])} steps"
    )
    return (
        f"{group}: {when}; at the end {said_with_bounds(end, 'test_accuracy', '{:.3f}')} of the held-out pairs, at the "
        f"start {float(start.test_accuracy):.3f} (chance {float(at.test_accuracy_null):.3f}), on tables without a rule "
        f"{said_with_bounds(random, 'test_accuracy', '{:.3f}')}. {_carried(page, group)}"
    )


def _carried(page: xr.Dataset, group: str) -> str:
    """Which irreps the logits are made of: by name, or how many frequencies stand above a table without a rule."""
    dim = f"irrep_{group}"
    embedding, logits = (page[f"{name}_{group}"].isel(step=-1) for name in ENERGIES)
    own = logits.sel(table="operation")
    if f"embedding_energy_{group}_null" not in page:
        spread = page.irreps_in_use.sel(group=group).isel(step=-1)
        return (
            f"The {page.sizes[dim]} largest frequencies hold {float(own.sum()):.0%} of the logits' variance, and the "
            f"embeddings are spread over {float(spread.sel(table='operation')):.0f} frequencies (without a rule "
            f"{float(spread.sel(table='no rule')):.0f})."
        )
    largest = str(own[dim].values[np.argmax(own.values)])
    gained = embedding.sel(table="operation") - page[f"embedding_energy_{group}_null"]
    most = str(gained[dim].values[np.argmax(gained.values)])
    return (
        f"Of the logits' variance {float(own.max()):.0%} go along the character of irrep {largest}, "
        f"{float(own.sum()):.0%} along any; embeddings gain most in irrep {most}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each group: accuracies, losses, and energies by irrep of embeddings and logits, over training."""
    rows = page.sizes["group"]
    figure = new_figure(
        11.0, 1.5 + 2.4 * rows, "When is a group's operation found, and what carries it?", headline(page)
    )
    axes = figure.subplots(rows, 4, squeeze=False, sharex=True)
    for row, group in enumerate(page.group.values):
        at = page.sel(group=group)
        _draw_learning(axes[row, 0], at, "accuracy")
        axes[row, 0].axhline(float(at.test_accuracy_null), color=GREY, lw=1, ls="--")
        _draw_learning(axes[row, 1], at, "loss")
        axes[row, 1].set_yscale("log")
        for column, name in enumerate(ENERGIES, 2):
            _draw_energies(axes[row, column], page, f"{name}_{group}", f"irrep_{group}")
        axes[row, 0].set_ylabel(str(group), fontsize=10, fontweight="bold")
        axes[row, 3].legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    titles = ("accuracy", "loss (nats)", "energy of embeddings", "variance of logits along characters")
    for column, title in enumerate(titles):
        axes[0, column].set_title(title)
        axes[-1, column].set_xlabel("step")
    axes[0, 0].legend(frameon=False, fontsize=6.5)
    return figure


def _draw_learning(axes: Axes, at: xr.Dataset, kind: str) -> None:
    for place, (part, said) in enumerate((("train", "trained on"), ("test", "held out"))):
        draw_curve(axes, at.sel(table="operation"), f"{part}_{kind}", "step", place, said)
    without = at.sel(table="no rule")
    axes.plot(at.step, without[f"test_{kind}"], color=GREY, lw=1, label="held out, no rule")


def _draw_energies(axes: Axes, page: xr.Dataset, name: str, dim: str) -> None:
    own = page[name].sel(table="operation")
    for place, irrep in enumerate(page[dim].values):
        colour = COLOURS[place] if place < len(COLOURS) else (INK, GREY)[place % 2]
        axes.plot(page.step, own.sel({dim: irrep}), color=colour, lw=1.3, label=str(irrep))
        low, high = (page[f"{name}_{end}"].sel({"table": "operation", dim: irrep}) for end in ("low", "high"))
        axes.fill_between(page.step, low, high, color=colour, alpha=0.12, lw=0)
        if f"{name}_null" in page:
            axes.axhline(float(page[f"{name}_null"].sel({dim: irrep})), color=colour, lw=0.7, ls=":")
    axes.set_ylim(bottom=0)
