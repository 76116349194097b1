"""Does a dictionary of which some latents go unpenalised find more, and tell more, than either extreme?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, SHAPES, in_house_style, new_figure
from homolog.figures.sweep import draw_panel

__all__ = ["REPORT", "draw", "headline"]

QUESTION = "Sparse features and a dense part: what do latents without a penalty add?"
FIRST = ", PCA first"


def headline(dataset: xr.Dataset) -> str:
    """At the penalty whose codes are truest: features, the dense part, labels, and the baseline."""
    page = one_page(dataset)
    line, baseline = _chosen(page)
    own, dims = page.sel(line=line), page.attrs["world_dense"]
    exact, twice, before = own.sel(dense=dims), own.sel(dense=2 * dims), page.sel(line=baseline).sel(dense=dims)
    at_random, none = float(exact.captured_random), own.sel(dense=0)
    return (
        f"{page.attrs['world_features']} sparse features and {dims} dense dimensions in {page.attrs['world_units']}, "
        f"penalty {own.coefficient.item()}. Codes of features: correlation {_at(own, 'codes')}. "
        f"Single latents tell whether a feature is on: AUC {_at(own, 'probe_sparse')}; with signs of dense axes: "
        f"{_at(own, 'probe')}. {dims} dense latents span {said_with_bounds(exact, 'captured')} of the dense part (at "
        f"random {at_random:.2f}), its axes mixed: signs {said_with_bounds(exact, 'probe_dense')} (chance "
        f"{float(exact.probe_dense_null):.2f}); FVU {float(exact.fvu):.3f} at L0 {float(exact.l0):.1f}, none dense "
        f"{float(none.fvu):.3f} at {float(none.l0):.1f}. F1 of directions "
        f"{said_with_bounds(exact, 'f1')}, with {2 * dims} dense latents {said_with_bounds(twice, 'f1')}. "
        f"{dims} principal components first, at the same penalty: dense part {said_with_bounds(before, 'captured')}, "
        f"signs {said_with_bounds(before, 'probe_dense')}, features on {said_with_bounds(before, 'probe_sparse')}, "
        f"codes {said_with_bounds(before, 'codes')}, F1 {said_with_bounds(before, 'f1')}."
    )


def _chosen(page: xr.Dataset) -> tuple[str, str]:
    """The line without a baseline whose codes are truest, and its baseline."""
    hybrid = page.isel(line=[FIRST not in str(name) for name in page.decomposition.values])
    best = hybrid.isel(line=int(hybrid.codes_best.argmax("line")))
    same = (page.coefficient == best.coefficient.item()) & (page.line != best.line.item())
    return str(best.line.item()), str(page.line.values[same.values][0])


def _at(own: xr.Dataset, name: str) -> str:
    """The best, and whether it is clearly above both ends: none dense, and as many as dimensions."""
    ends = [said_with_bounds(own, f"{name}_over_{end}") for end in ("first", "last")]
    clear = min(float(own[f"{name}_over_{end}_low"]) for end in ("first", "last")) > 0
    verdict = "better than either extreme" if clear else "not clearly better than both extremes"
    best, where = said_with_bounds(own, f"{name}_best"), float(own[name].idxmax("dense"))
    return f"{best} ({where:.3g} dense latents), {ends[0]} above none and {ends[1]} above all dense: {verdict}"


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """FVU against L0; features, the dense part and labels by the number of dense latents."""
    figure = new_figure(11.5, 7.4, QUESTION, headline(page))
    panels = figure.subplots(2, 3)
    _draw_frontier(panels[0, 0], page)
    names = ("codes", "f1", "captured", "probe_sparse", "probe_dense")
    for axes, name in zip(panels.flat[1:], names, strict=True):
        draw_panel(axes, page, name)
        axes.axvline(page.attrs["world_dense"], color=GREY, lw=0.8, ls="-.")
    panels[1, 0].plot(
        page.dense, page.captured_random.max("line"), color=GREY, lw=1.6, alpha=0.6, label="random subspace"
    )
    handles, labels = panels[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_frontier(axes: Axes, page: xr.Dataset) -> None:
    """A curve for each number of dense latents, over penalties; dashed where principal components came first."""
    after = np.array([FIRST in str(name) for name in page.decomposition.values])
    for place, dense in enumerate(page.dense.values):
        for chosen, style in ((~after, "-"), (after, "--")):
            own = page.isel(line=chosen).sel(dense=dense).sortby("l0").dropna("line", subset=["l0"])
            label = f"{dense:g} dense" if style == "-" else None
            axes.plot(
                own.l0, own.fvu, style, marker=SHAPES[place % 6], ms=3.5, lw=1.2, color=COLOURS[place % 6], label=label
            )
    axes.axhline(float(page.fvu_ceiling.min()), color=GREY, lw=1, ls=":")
    axes.set_yscale("log")
    axes.set_xlabel("active latents on a row, dense ones too")
    axes.set_title("FVU on other rows against L0 (dashed: PCA first)")
    axes.legend(frameon=False, fontsize=6.5)
