"""How many features does each criterion count, over dictionary sizes, and how many are there?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import FLOORS, capital, draw_curve, one_page, said_with_bounds
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

NAMES = {"live": "live latents", "mmcs": "MMCS", "bits": "description length", "stable": "stable latents"}
PANELS = {
    "live": "live latents",
    "stable": "stable latents",
    "mmcs": "largest cosine of a latent\nin the next size (MMCS)",
    "bits": "bits to describe a row",
}
CONFIDENCE = 0.95
# An estimate is near the truth within so much of it.
NEAR = 0.2


def headline(dataset: xr.Dataset) -> str:
    """By world: the truth, what could be found and what was, and each estimate; how many are near."""
    page = one_page(dataset)
    return " ".join([*(_of_world(page.sel(world=name)) for name in page.world.values), _verdict(page)])


def _of_world(own: xr.Dataset) -> str:
    world = str(own.world.item())
    known = ""
    if np.isfinite(float(own.features)):
        known = (
            f": {float(own.features):.0f} features, {said_with_bounds(own, 'detectable', '{:.0f}')} of which could be "
            f"found if codes were known, and {_most_found(own)} are"
        )
    said = []
    for method in own.decomposition.values:
        one = own.sel(decomposition=method)
        each = ", ".join(
            f"{said_with_bounds(one.sel(by=by), 'estimate', '{:.0f}')} by {NAMES[by]}{_edge(one, str(by))}"
            for by in own.by.values
        )
        said.append(f"{method} counts {each}")
    return f"{capital(world)}{known}: {'; '.join(said)}."


def _most_found(own: xr.Dataset) -> str:
    best = own.found.argmax(["decomposition", "size"])
    return said_with_bounds(own.isel(best), "found", "{:.0f}")


def _edge(one: xr.Dataset, by: str) -> str:
    """Whether the best size is the smallest or the largest that has the measure: the best may lie beyond."""
    if by not in ("mmcs", "bits"):
        return ""
    known = one[by].dropna("size")
    best = int(known.argmax("size")) if by == "mmcs" else int(known.argmin("size"))
    return {0: " (smallest size)", known.sizes["size"] - 1: " (largest size)"}.get(best, "")


def _verdict(page: xr.Dataset) -> str:
    """Which criterion is nearest to the truth, where that is known."""
    known = page.isel(world=np.isfinite(page.features.values))
    if not known.sizes["world"]:
        return "The truth isn't known of any."
    far = np.abs(known.estimate - known.features) / known.features
    near = (far <= NEAR).sum(["world", "decomposition"])
    cases = known.sizes["world"] * known.sizes["decomposition"]
    said = ", ".join(f"{NAMES[by]} in {int(near.sel(by=by))}" for by in page.by.values)
    beaten = int((page.bits.min("size") < page.bits_null).sum())
    best = float((known.bits_ceiling / known.bits_null).max())
    every = page.bits_null.size * page.sizes["decomposition"]
    sizes, others = [str(one) for one in page["size"].values], int(page.attrs["others"])
    # If it returned with probability p, all of n others would have it with p^n (Clopper & Pearson, 1934).
    least = (1 - CONFIDENCE) ** (1 / others)
    return (
        f"MMCS and description length choose the best of {', '.join(sizes)} latents, MMCS without the last: no plateau "
        f"is looked for. Stable: in at least {page.attrs['quorum']:.0%} of {others} other seeds; even all {others} say "
        f"only that a latent returns in {least:.2f} of trainings or more (95 %, one-sided). "
        f"Within {NEAR:.0%} of the truth, of {cases} cases: {said}. In {beaten} of {every} cases a dictionary "
        f"describes rows in fewer bits than a Gaussian; true features and codes need at most {best:.0%} of its bits."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each world: four criteria over sizes, and which features are found by the rank of their rates."""
    rows = page.sizes["world"]
    figure = new_figure(12.0, 2.4 + 1.9 * rows, "How many features are there?", headline(page))
    axes = figure.subplots(rows, 5, squeeze=False)
    for row, name in enumerate(page.world.values):
        own = page.sel(world=name)
        for column, (variable, title) in enumerate(PANELS.items()):
            _draw_criterion(axes[row, column], own, variable, labelled=row == 0)
            axes[row, column].set_title(title if row == 0 else "")
        _draw_ranks(axes[row, 4], own)
        axes[row, 0].set_ylabel(str(name))
    axes[0, 4].set_title("share of seeds that find\na feature, by rank of its rate")
    for one in axes[-1, :4]:
        one.set_xlabel("latents")
    axes[-1, 4].set_xlabel("rank")
    axes[0, 0].legend(frameon=False)
    return figure


def _draw_criterion(axes: Axes, own: xr.Dataset, variable: str, labelled: bool) -> None:
    for place, method in enumerate(own.decomposition.values):
        one = own.sel(decomposition=method)
        draw_curve(axes, one, variable, "size", place, str(method) if labelled else "")
        if f"{variable}_null" in one and "size" in one[f"{variable}_null"].dims:
            axes.plot(own["size"], one[f"{variable}_null"], **FLOORS["null"] | {"color": COLOURS[place]})
    if variable == "bits":
        for kind in ("null", "ceiling"):
            axes.axhline(float(own[f"bits_{kind}"]), **FLOORS[kind])
    axes.axvline(float(own.features), color=INK, lw=0.8)
    axes.axvline(float(own.detectable), color=GREY, lw=0.8, ls=":")
    if variable in ("live", "stable"):
        axes.axline((0, 0), slope=1, color=GREY, lw=0.6)
        axes.set_ylim(0, 1.05 * float(own["size"].max()))


def _draw_ranks(axes: Axes, own: xr.Dataset) -> None:
    if not np.isfinite(float(own.features)):
        axes.axis("off")
        return
    for place, method in enumerate(own.decomposition.values):
        draw_curve(axes, own.sel(decomposition=method)[["by_rank"]], "by_rank", "rank", place)
    axes.axvline(float(own.detectable), color=GREY, lw=0.8, ls=":")
    axes.set_ylim(-0.02, 1.05)
