"""Did the runs of an experiment train: their losses by step, beside what their parents reach?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

QUESTION = "Did the runs train, and do they reach what they must?"
# More models than these in a sentence are no sentence.
MOST_TOLD = 4


@in_house_style
def draw_runs(curves: xr.Dataset) -> list[Figure]:
    """Held-out loss of every run by step, and accuracy where there is one; no page where nothing was trained.

    `curves` is what `homolog.store.curves.read_runs_curves` gives: dims (run, point, split).
    """
    trained = (
        curves.isel(run=np.flatnonzero(np.isfinite(curves.step.values).sum(1) > 1)) if curves.sizes["run"] else curves
    )
    if not trained.sizes["run"]:
        return []
    named = [name for name in ("loss", "accuracy") if bool(np.isfinite(trained[name]).any())]
    figure = new_figure(3.0 + 4.6 * len(named), 4.2, QUESTION, headline(trained))
    panels = figure.subplots(1, len(named), squeeze=False)[0]
    colours = {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(_models(trained))}
    for axes, name in zip(panels, named, strict=True):
        _draw_panel(axes, trained, name, colours)
    marks = [Line2D([], [], color=colour, label=model) for model, colour in colours.items()]
    marks += [
        Line2D([], [], color=INK, lw=0.8, ls=":", label="training inputs"),
        Line2D([], [], color=GREY, lw=1.2, ls="--", label="loss of a parent"),
    ]
    figure.legend(handles=marks, loc="outside right upper", frameon=False)
    return [figure]


def headline(curves: xr.Dataset) -> str:
    """Where each model's runs begin and end on held-out inputs."""
    parts = []
    for model in _models(curves)[:MOST_TOLD]:
        mine = curves.isel(run=np.flatnonzero(curves.model.values == model))
        first, last = (_ends(mine, "loss", end) for end in (0, -1))
        right = _ends(mine, "accuracy", -1)
        known = "" if np.isnan(right).all() else f", {np.nanmean(right):.0%} right"
        parts.append(f"{model} {first.mean():.3g} to {last.mean():.3g} ({last.min():.3g} to {last.max():.3g}{known})")
    more = len(_models(curves)) - MOST_TOLD
    told = "; ".join(parts) + (f"; {more} more" if more > 0 else "")
    return f"Held-out loss before and after training, mean over runs (least to most): {told}."


def _models(curves: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(map(str, curves.model.values)))


def _ends(curves: xr.Dataset, name: str, end: int) -> np.ndarray:
    """The first or last held-out value of each run."""
    values = curves[name].sel(split="test").values
    known = [row[np.isfinite(row)] for row in values]
    return np.array([row[end] if len(row) else np.nan for row in known])


def _draw_panel(axes: Axes, curves: xr.Dataset, name: str, colours: dict[str, str]) -> None:
    for run in range(curves.sizes["run"]):
        one = curves.isel(run=run)
        colour = colours[str(one.model.item())]
        axes.plot(one.step, one[name].sel(split="train"), color=colour, lw=0.8, ls=":")
        axes.plot(one.step, one[name].sel(split="test"), color=colour, lw=1.3, alpha=0.85)
        if name == "loss" and np.isfinite(one.parent_loss.sel(split="test")):
            axes.axhline(float(one.parent_loss.sel(split="test")), color=GREY, lw=1.2, ls="--", zorder=0)
    loss = curves.loss.values[np.isfinite(curves.loss.values)]
    if name == "loss" and loss.min() > 0 and loss.max() > 20 * loss.min():
        axes.set_yscale("log")
    axes.set(xlabel="step of training", ylabel="loss" if name == "loss" else "share of right answers")
