"""Is a known circuit easier to read off in the basis of features, and do circuits return more than latents?"""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import one_page, said_with_bounds
from homolog.figures.rows import draw_rows
from homolog.figures.style import in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

UNITS = "units"
# What of a network may return in another, as it is labelled.
LEVELS = {
    "codes": "units (codes)",
    "writes": "what these write",
    "terms": "rank-one terms",
    "circuits": "circuits by irrep",
    "irreps": "irreps in use",
}


def headline(dataset: xr.Dataset) -> str:
    """For each group how pure each basis is, and what of the circuit returns in another network."""
    page = one_page(dataset)
    return " ".join(_of_group(page.sel(group=group), str(group)) for group in page.group.values)


def _of_group(at: xr.Dataset, name: str) -> str:
    bases = [(str(basis), at.sel(basis=basis)) for basis in at.basis.values]
    pure = [
        f"{said_with_bounds(row, 'purity')} of {basis} (turned {float(row.purity_null):.2f})" for basis, row in bases
    ]
    few = [f"{float(row.needed):.1f} {basis} ({float(row.needed_null):.1f})" for basis, row in bases]
    return (
        f"{name} (right on {float(at.accuracy):.2f} of the held-out pairs): of what is read, one irrep has "
        f"{', '.join(pure)}; half of an irrep's circuit takes {', '.join(few)}. {_verdict(at)} {_returned(at)}"
    )


def _verdict(at: xr.Dataset) -> str:
    """Which dictionaries are purer than turned ones, and which than units, by their intervals."""
    fitted = at.sel(basis=at.basis != UNITS)
    clear = fitted.sel(basis=fitted.purer_low > 0)
    above = [f"{one} (by {float(clear.purer.sel(basis=one)):.2f})" for one in clear.basis.values]
    better = fitted.purity_low.values > float(at.purity_high.sel(basis=UNITS))
    if better.any():
        return f"Easier to read off than in units: in {', '.join(map(str, fitted.basis.values[better]))}."
    return f"Clearly purer than turned: {', '.join(above) or 'no dictionary'}; as pure as units: none."


def _returned(at: xr.Dataset) -> str:
    own = at.sel(basis=UNITS)
    more = float(own.codes_low) > float(own.codes_relabelled_high)
    verdict = "circuits return more" if float(at.more_low) > 0 else "circuits don't clearly return more"
    return (
        f"In another network units return by {_beside(own, 'codes')}, their rank-one terms by {_beside(own, 'terms')}: "
        f"{'more than' if more else 'no more than'} symmetries of the group give; sums of terms by irrep by "
        f"{_beside(at, 'circuits', 'wired at random')}: {verdict} (by {said_with_bounds(at, 'more')}). Energies of "
        f"irreps correlate by {said_with_bounds(at, 'irreps')} (renamed {float(at.irreps_relabelled):.2f})."
    )


def _beside(at: xr.Dataset, name: str, null: str = "turned") -> str:
    return (
        f"{said_with_bounds(at, name)} ({null} {float(at[f'{name}_null']):.2f}, tokens renamed "
        f"{float(at[f'{name}_relabelled']):.2f})"
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """A row for each group: purity by basis, latents a circuit needs, what returns of units and of each basis."""
    rows = page.sizes["group"]
    question = "Is a known circuit easier to read off in the basis of features, and does it return?"
    figure = new_figure(12.0, 2.2 + 2.5 * rows, question, headline(page))
    axes = figure.subplots(rows, 4, squeeze=False)
    for row, group in enumerate(page.group.values):
        at = page.sel(group=group)
        draw_rows(axes[row, 0], at, ["purity", "written"], "basis", ("null", "ceiling"), ["read", "written"])
        axes[row, 0].set(xlim=(0, 1))
        axes[row, 0].set_ylabel(str(group), fontsize=10, fontweight="bold")
        draw_rows(axes[row, 1], at, ["needed"], "basis")
        axes[row, 1].set_xscale("log")
        _draw_levels(axes[row, 2], at)
        draw_rows(
            axes[row, 3],
            at,
            ["codes", "terms"],
            "basis",
            ("null", "ceiling", "relabelled"),
            ["codes", "rank-one terms"],
        )
        for column in (1, 3):
            axes[row, column].set_yticklabels([])
    titles = (
        "share of variance in one irrep\n(grey: turned; x: best linear reading)",
        "latents for half of an irrep's circuit\n(grey: turned)",
        "what of units returns elsewhere\n(grey |: turned, wired at random; x: renamed)",
        "what returns, by basis\n(grey |: turned; x: own refit; Y: renamed)",
    )
    for column, title in enumerate(titles):
        axes[0, column].set_title(title)
    axes[-1, 0].legend(frameon=False, fontsize=6.5)
    axes[-1, 3].legend(frameon=False, fontsize=6.5)
    return figure


def _draw_levels(axes: Axes, at: xr.Dataset) -> None:
    """Units, what matched ones write, their terms, sums of terms by irrep, and which irreps are in use."""
    own = at.sel(basis=UNITS)
    ends = ("", "_low", "_high", "_null", "_relabelled")
    shown = {
        f"returns{end}": xr.concat([own[f"{name}{end}"] if f"{name}{end}" in own else own[name] * float("nan")
                                    for name in LEVELS], "level", coords="minimal", compat="override").drop_attrs()
        for end in ends
    }  # fmt: skip
    draw_rows(
        axes, xr.Dataset(shown).assign_coords(level=list(LEVELS.values())), ["returns"], "level", ("null", "relabelled")
    )
    axes.axvline(0, color="#DDDDDD", lw=0.8, zorder=0)
