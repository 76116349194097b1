"""A row for each basis or method: its number with its interval, beside what chance gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from homolog.figures.style import COLOURS, GREY, INK, SHAPES


def draw_rows(
    axes: Axes,
    measured: xr.Dataset,
    names: Sequence[str],
    along: str = "decomposition",
    beside: Sequence[str] = ("null",),
    labels: Sequence[str] | None = None,
) -> None:
    """Variables of the rows of one dim, from top to bottom, each with its interval; ticks: `<name>_<beside>`."""
    height = np.arange(measured.sizes[along])
    shift = 0.22 * (np.arange(len(names)) - (len(names) - 1) / 2)
    for place, name in enumerate(names):
        values = np.asarray(measured[name].values, float)
        at, colour = height + shift[place], COLOURS[place % len(COLOURS)]
        if f"{name}_low" in measured:
            low, high = (np.asarray(measured[f"{name}_{end}"].values, float) for end in ("low", "high"))
            axes.hlines(at, low, high, color=colour, lw=1.4)
        label = labels[place] if labels else None
        axes.plot(values, at, SHAPES[place % len(SHAPES)], color=colour, ms=4.5, label=label)
        for kind, marker in zip(beside, ("|", "x", "1"), strict=False):
            if f"{name}_{kind}" in measured:
                ink = INK if kind == "ceiling" else GREY
                axes.plot(measured[f"{name}_{kind}"].values, at, marker, color=ink, ms=7, mew=1.4)
    axes.set_yticks(height, [str(one) for one in measured[along].values.tolist()])
    axes.set_ylim(len(height) - 0.5, -0.5)
    axes.grid(axis="y", color="#EFEFEF", lw=0.6)
    axes.set_axisbelow(True)
