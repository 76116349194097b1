"""Panels that many figures draw: curves with their intervals, floors and ceilings; maps with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from homolog.figures.style import COLOURS, GREY, INK, SHAPES

# What stands beside a number, and how it is drawn.
FLOORS: dict[str, dict[str, Any]] = {
    "null": {"color": GREY, "ls": "--", "lw": 1.0},
    "ceiling": {"color": INK, "ls": ":", "lw": 1.0},
}


def one_page(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset without the hook point that stands for none."""
    return dataset.isel(hook_point=0) if "hook_point" in dataset.dims else dataset


def draw_curve(axes: Axes, measured: xr.Dataset, name: str, along: str, place: int = 0, label: str = "") -> None:
    """One variable along one dim, with its interval as a band; `place` chooses colour and shape."""
    x, y = np.asarray(measured[along].values, float), np.asarray(measured[name].values, float)
    colour, shape = COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)]
    axes.plot(x, y, color=colour, marker=shape, ms=3.5, lw=1.4, label=label or None)
    if f"{name}_low" in measured:
        low, high = (np.asarray(measured[f"{name}_{end}"].values, float) for end in ("low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)


def draw_floors(axes: Axes, measured: xr.Dataset, name: str, along: str, labelled: bool = False) -> None:
    """`<name>_null` and `<name>_ceiling`, where there are such: along the same dim, or one number for all."""
    for kind, style in FLOORS.items():
        key = f"{name}_{kind}"
        if key not in measured:
            continue
        said: dict[str, Any] = style | {"label": kind if labelled else None}
        if along in measured[key].dims:
            axes.plot(np.asarray(measured[along].values, float), measured[key].values, **said)
        else:
            axes.axhline(float(measured[key]), **said)


def draw_marks(
    axes: Axes,
    measured: xr.Dataset,
    name: str,
    along: str,
    label: str = "{}",
    series: str = "decomposition",
    apart: float = 0.2,
) -> None:
    """A mark with its interval for each of a series at each place of a dim without an order."""
    x, lines = np.arange(measured.sizes[along]), measured.sizes[series]
    for place, member in enumerate(measured[series].values):
        one = measured.sel({series: member})
        y, at = one[name].values, x + apart * (place - (lines - 1) / 2)
        bars = np.abs(np.stack([y - one[f"{name}_low"].values, one[f"{name}_high"].values - y]))
        style: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": SHAPES[place % len(SHAPES)]}
        axes.errorbar(at, y, bars, ls="", ms=4, lw=1, label=label.format(member), **style)
    axes.set_xticks(x, [str(value).replace("_", " ") for value in measured[along].values], rotation=35, ha="right")


def with_chance(page: xr.Dataset, name: str) -> str:
    """A title: what is shown and, where it has a null, the largest of that; of two lines in either case."""
    null = f"chance: {float(page[f'{name}_null'].max()):.2f} at most" if f"{name}_null" in page else ""
    return f"{page[name].attrs['long_name']}\n{null}"


def draw_map(
    axes: Axes,
    values: xr.DataArray,
    rows: str,
    columns: str,
    limits: tuple[float, float] = (0.0, 1.0),
    colours: str = "Blues",
    form: str = "{:z.2f}",
    names: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
) -> None:
    """A map with the number in each cell; blank where it isn't defined."""
    array = np.asarray(values.transpose(rows, columns).values, float)
    axes.imshow(array, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    middle = (limits[0] + 0.6 * (limits[1] - limits[0])) if colours == "Blues" else np.inf
    for (row, column), value in np.ndenumerate(array):
        if np.isfinite(value):
            ink = "white" if value > middle else INK
            axes.text(column, row, form.format(value), ha="center", va="center", fontsize=6.5, color=ink)
    for dim, said, ticks in ((rows, names[0], axes.set_yticks), (columns, names[1], axes.set_xticks)):
        shown = list(said) if said is not None else [_short(value) for value in values[dim].values.tolist()]
        ticks(range(len(shown)), shown)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def said_with_bounds(measured: xr.Dataset, name: str, form: str = "{:z.2f}") -> str:
    """A single number with its interval, as captions say it."""
    value = form.format(float(measured[name]))
    if f"{name}_low" not in measured or not np.isfinite(float(measured[f"{name}_low"])):
        return value
    low, high = (form.format(float(measured[f"{name}_{end}"])) for end in ("low", "high"))
    return f"{value} [{low}, {high}]"


def capital(name: str) -> str:
    """A label at the beginning of a sentence."""
    return name[:1].upper() + name[1:]


def said_range(values: xr.DataArray) -> str:
    """The least and the most of several shares, in percent, as captions say them."""
    return f"{100 * float(values.min()):z.0f} to {100 * float(values.max()):z.0f} %"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
