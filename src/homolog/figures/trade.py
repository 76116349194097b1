"""What do decompositions trade? FVU against L0, loss recovered against FVU, of every member; and how it is marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from homolog.figures.style import COLOURS, GREY, INK, SHAPES

# What explains less than its rows' mean does, or next to all (linear methods of full rank), is drawn at these FVUs.
BEST, WORST = 1e-3, 1.2
# Loss recovered is drawn within these: a member that is far worse than the mean would hide all others.
LEAST, MOST = -0.25, 1.25
# Grid points that a legend names; of more, so many evenly spaced ones.
NAMED = 30


@dataclass(frozen=True)
class Kind:
    """How members of one kind are marked; `shape` and `colour` where they aren't those of what is compared."""

    says: str
    alpha: float
    width: float
    size: float
    dash: str = "-"
    shape: str | None = None
    colour: str | None = None


@dataclass(frozen=True)
class Measure:
    """What an axis shows of each member, and between which values marks are drawn."""

    name: str
    says: str
    low: float = -np.inf
    high: float = np.inf

    def of(self, members: xr.Dataset) -> np.ndarray:
        values: np.ndarray = members[self.name].values
        return values.clip(self.low, self.high)

    def label(self, members: xr.Dataset) -> str:
        """What the axis says: that marks beyond its ends stand at them, too, where there are any."""
        values = members[self.name].values
        beyond = [
            f"{word} {end:g}"
            for word, end, out in (
                ("below", self.low, (values < self.low).any()),
                ("above", self.high, (values > self.high).any()),
            )
            if out
        ]
        return self.says + (f"\n({' or '.join(beyond)}: drawn there)" if beyond else "")


L0 = Measure("l0", "L0 (latents in use per sample)")
FVU = Measure("fvu", "FVU on the fitted rows", BEST, WORST)
RECOVERED = Measure("loss_recovered", "loss recovered (1: nothing is lost)", LEAST, MOST)

# From the back to the front.
KINDS = {
    "untrained": Kind("untrained network", 0.55, 0.5, 3.5, ":", "x", GREY),
    "half": Kind("fitted to half of the rows", 0.25, 0.5, 3.0),
    "all": Kind("fitted to all rows", 0.75, 0.7, 5.0),
}


def where(members: xr.Dataset, **values: Any) -> xr.Dataset:
    """The members whose facts have these values."""
    chosen = [members[name].values == value for name, value in values.items()]
    return members.isel(member=np.logical_and.reduce(chosen))


def names_in(members: xr.Dataset, fact: str) -> list[str]:
    """The values of a fact, in the order in which they come up."""
    return list(dict.fromkeys(map(str, members[fact].values)))


def kind_of(members: xr.Dataset) -> np.ndarray:
    """The key in `KINDS` of each member."""
    return np.where(members.untrained, "untrained", np.where(members["rows"] == "all", "all", "half"))


def colours_of(names: list[str]) -> dict[str, str]:
    """A colour for each name: those of all figures for a few, from dark to light along a grid of many."""
    if len(names) <= len(COLOURS):
        return dict(zip(names, COLOURS, strict=False))
    shades = colormaps["viridis"](np.linspace(0, 0.93, len(names)))
    return {name: to_hex(shade) for name, shade in zip(names, shades, strict=True)}


def draw_trade(
    axes: Axes, here: xr.Dataset, focus: str | None = None, x: Measure = L0, y: Measure = FVU
) -> list[Line2D]:
    """A mark for each member, coloured by decomposition, or in one of them by grid point; what the legend is to say.

    With `focus`, that decomposition's members stand before those of the others, of which only the ones that are
    fitted to all rows of trained networks are drawn, in grey.
    """
    shapes = {name: SHAPES[i % len(SHAPES)] for i, name in enumerate(names_in(here, "decomposition"))}
    others = [] if focus is None else _draw_beside(axes, here, {n: s for n, s in shapes.items() if n != focus}, x, y)
    members, by = (here, "decomposition") if focus is None else (where(here, decomposition=focus), "label")
    kinds, points = kind_of(members), []
    for name, colour in colours_of(names_in(members, by)).items():
        shape = shapes[focus or name]
        points.append(Line2D([], [], color=colour, marker=shape, ms=5, lw=2 if focus else 0, label=_short(name)))
        for zorder, (kind, looks) in enumerate(KINDS.items(), start=2):
            drawn = members.isel(member=(members[by].values == name) & (kinds == kind))
            _mark(axes, drawn, x, y, zorder=zorder, **_looks(looks, shape, colour))
    shown = here.isel(member=np.isfinite(here[y.name].values))
    scale_axis(axes, "x", x.of(shown))
    scale_axis(axes, "y", y.of(shown), around=1.0 if y is RECOVERED else None)
    axes.set(xlabel=x.label(shown), ylabel=y.label(shown))
    return [*_some(points), *others, *_kinds(kinds, line=focus is not None)]


def draw_recovered(axes: Axes, here: xr.Dataset, focus: str | None = None) -> None:
    """The same members by loss recovered, against FVU; those of which it isn't known have no mark."""
    axes.axhline(1, color=INK, lw=0.6, ls=":", zorder=0)
    draw_trade(axes, here, focus, FVU, RECOVERED)


def knows_recovered(here: xr.Dataset) -> bool:
    """Whether there is a member whose loss recovered is known."""
    return RECOVERED.name in here and bool(np.isfinite(here[RECOVERED.name]).any())


def _draw_beside(axes: Axes, here: xr.Dataset, shapes: dict[str, str], x: Measure, y: Measure) -> list[Line2D]:
    legend = []
    for name, shape in shapes.items():
        style: dict[str, Any] = {"marker": shape, "color": GREY, "mec": "white", "mew": 0.4, "ms": 5.0}
        _mark(axes, where(here, decomposition=name, rows="all", untrained=False), x, y, **style, zorder=1)
        legend.append(Line2D([], [], lw=0, **style, label=name))
    return legend


def _mark(axes: Axes, members: xr.Dataset, x: Measure, y: Measure, **style: Any) -> None:
    axes.plot(x.of(members), y.of(members), lw=0, **style)


def _looks(kind: Kind, shape: str, colour: str) -> dict[str, Any]:
    """A mark of one kind in the shape and colour of what is compared."""
    marker = kind.shape or shape
    edge = {"mew": 0.6} if marker == "x" else {"mec": "white" if kind is KINDS["all"] else "none", "mew": 0.4}
    return {"marker": marker, "color": kind.colour or colour, "ms": kind.size, "alpha": kind.alpha, **edge}


def _short(label: str) -> str:
    """What tells a grid point from its neighbours: ``topk[k=4,lr=0.1]`` says no more than ``k=4, lr=0.1``."""
    return label.partition("[")[2].removesuffix("]").replace(",", ", ") or label


def _some(points: list[Line2D]) -> list[Line2D]:
    """Evenly spaced ones of too many, with a line that says so."""
    if len(points) <= NAMED:
        return points
    chosen = [points[i] for i in np.linspace(0, len(points) - 1, NAMED - 1).round().astype(int)]
    return [*chosen, Line2D([], [], lw=0, label=f"({len(points)} grid points in all)")]


def _kinds(kinds: np.ndarray, line: bool) -> list[Line2D]:
    """Legend of the kinds of members that are there, and of the median of curves."""
    marks = [
        Line2D([], [], ls=kind.dash, lw=kind.width if line else 0, label=kind.says, **_looks(kind, "o", INK))
        for name, kind in reversed(KINDS.items())
        if name in kinds
    ]
    return marks + ([Line2D([], [], color=INK, lw=1.6, label="median of those on all rows")] if line else [])


def scale_axis(axes: Axes, which: str, values: np.ndarray, around: float | None = None) -> None:
    """Limits around `values`: from zero, or logarithmic where they stretch over more than a factor of ten.

    With `around`, as near to the values and to that one as they lie.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    axis = axes.xaxis if which == "x" else axes.yaxis
    if around is not None:
        low, high = min(low, around), max(high, around)
        margin = max(0.06 * (high - low), 0.005)
        axes.set(**{f"{which}lim": (low - margin, high + margin)})
    elif low > 0 and high > 10 * low:
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low / 1.2, high * 1.2)})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    else:
        axes.set(**{f"{which}lim": (min(0.0, 1.08 * low), 1.08 * high if high > 0 else 1.0)})
