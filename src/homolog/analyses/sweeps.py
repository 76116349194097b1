"""How does a measure change along one axis, line by line: where is it best, where does it rise, where is it lost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Spec = dict[str, Any]
Values = dict[str, tuple[tuple[str, ...], np.ndarray]]


@dataclass(frozen=True)
class Sweep:
    """An option as an axis, and all else that varies as lines.

    `at` says of each world and column (a decomposition at one of its grid points) its line and its place on the axis,
    None where it is the same all along. By line, `names` are the decompositions', `options` those that tell it apart.
    """

    along: str
    values: list[float]
    lines: list[str]
    names: list[str]
    options: list[Spec]
    at: list[list[tuple[int, int | None]]]

    @classmethod
    def of(cls, along: str, worlds: list[Spec], columns: list[tuple[str, Spec, list[str]]]) -> Sweep:
        """`columns`: name of the decomposition, options, and which of these vary over its grid."""
        by_column = any(along in varying for _, _, varying in columns)
        kept = [key for key in _varying([one["options"] for one in worlds]) if by_column or key != along]
        rows = _labels([one["group"] for one in worlds], [one["options"] for one in worlds], [kept] * len(worlds))
        own = [[key for key in varying if key != along] for _, _, varying in columns]
        names = _labels([name for name, _, _ in columns], [options for _, options, _ in columns], own)
        many_worlds, many_columns = len(set(rows)) > 1, len(set(names)) > 1
        lines: list[str] = []
        of: list[str] = []
        told: list[Spec] = []
        marked, at = [], []
        for row, world in zip(rows, worlds, strict=True):
            here = []
            for name, (plain, options, varying), keys in zip(names, columns, own, strict=True):
                parts = [*([name] if many_columns or not many_worlds else []), *([row] if many_worlds else [])]
                line = ", ".join(parts)
                if line not in lines:
                    lines.append(line)
                    of.append(plain)
                    told.append({key: world["options"][key] for key in kept} | {key: options[key] for key in keys})
                value = options.get(along) if by_column else world["options"][along]
                marked.append(value if not by_column or along in varying else None)
                here.append((lines.index(line), marked[-1]))
            at.append(here)
        values = sorted({value for value in marked if value is not None})
        places = [[(line, None if value is None else values.index(value)) for line, value in here] for here in at]
        return cls(along, values, lines, of, told, places)

    def unfolded(
        self, found: Float[np.ndarray, "worlds columns replicates"]
    ) -> Float[np.ndarray, "lines values replicates"]:
        """The same numbers by line and along the axis; NaN where a line has no such place."""
        whole = np.full((len(self.lines), len(self.values), found.shape[2]), np.nan)
        for row, here in zip(found, self.at, strict=True):
            for value, (line, place) in zip(row, here, strict=True):
                whole[line, slice(None) if place is None else place] = value
        return whole

    def coords(self) -> dict[str, Any]:
        """Labels of both dims, and along ``line`` its decomposition and the options that tell it apart, as text."""
        keys = dict.fromkeys(key for options in self.options for key in options)
        told = {key: ("line", [_said(options.get(key, "")) for options in self.options]) for key in keys}
        return {"line": self.lines, self.along: self.values, "decomposition": ("line", self.names)} | told

    @property
    def flat(self) -> list[bool]:
        """Of each line, whether it is the same all along."""
        places: list[set[int | None]] = [set() for _ in self.lines]
        for here in self.at:
            for line, place in here:
                places[line].add(place)
        return [one == {None} for one in places]


def summarised(name: str, whole: Float[np.ndarray, "lines values replicates"], sweep: Sweep) -> Values:
    """Of a measure of which more is better, by line and replicate (NaN for lines that are the same all along):

    `<name>_best`, where the other replicates are best, so that the choice isn't made by what is then shown;
    `<name>_over_first` and `<name>_over_last`, how much the best is above
    either end; `<name>_rises_at` and `<name>_falls_at`, where it first reaches half of its largest value, and where it
    is under it from then on (interpolated, by ratio on an axis of positive numbers; NaN where it never is);
    `<name>_falls`, 1 where it ever is.
    """
    x = np.asarray(sweep.values, float)
    lines, _, replicates = whole.shape
    ends = "best", "over_first", "over_last", "rises_at", "falls_at", "falls"
    found = {end: np.full((lines, replicates), np.nan) for end in ends}
    for line in np.flatnonzero(~np.asarray(sweep.flat)):
        for one in range(replicates):
            others, own = np.delete(whole[line], one, 1), whole[line, :, one]
            known = ~np.isnan(own) & ~np.isnan(others).all(1)
            if known.sum() < 2:
                continue
            own, at = own[known], x[known]
            chosen = int(np.nanmean(others[known], 1).argmax())
            found["best"][line, one] = own[chosen]
            found["over_first"][line, one] = own[chosen] - own[0]
            found["over_last"][line, one] = own[chosen] - own[-1]
            found["rises_at"][line, one], found["falls_at"][line, one] = half_width(at, own)
            found["falls"][line, one] = np.isfinite(found["falls_at"][line, one])
    return {f"{name}_{end}": (("line", "replicate"), array) for end, array in found.items()}


def half_width(x: Float[np.ndarray, " values"], y: Float[np.ndarray, " values"]) -> tuple[float, float]:
    """Where a curve first reaches half of its largest value, and where it goes below it for the last time.

    Between two places by the logarithm of x where all are positive, else by x. The first place where it begins above;
    NaN where it ends above.
    """
    half, scale = y.max() / 2, np.log if (x > 0).all() else np.asarray
    above = np.flatnonzero(y >= half)
    first, last = int(above[0]), int(above[-1])
    rise = float(x[0]) if first == 0 else _crossing(x, y, first - 1, half, scale)
    fall = float("nan") if last == len(y) - 1 else _crossing(x, y, last, half, scale)
    return rise, fall


def slopes(
    against: str, values: Float[np.ndarray, "lines replicates"], sweep: Sweep
) -> dict[str, Float[np.ndarray, " replicates"]]:
    """Slope of log value over log of an option that tells lines apart, for lines that differ in nothing else."""
    families: dict[str, list[int]] = {}
    for line, options in enumerate(sweep.options):
        if against in options:
            rest = ", ".join(f"{key}={value}" for key, value in options.items() if key != against)
            families.setdefault(rest or "all", []).append(line)
    found = {}
    for name, lines in families.items():
        x = np.log([sweep.options[line][against] for line in lines])
        own = np.log(values[lines])
        fitted = [np.polyfit(x, one, 1)[0] if len(x) > 1 and np.isfinite(one).all() else np.nan for one in own.T]
        found[name] = np.array(fitted)
    return found


def _crossing(x: np.ndarray, y: np.ndarray, before: int, level: float, scale: Any) -> float:
    a, b = scale(x[before]), scale(x[before + 1])
    share = (level - y[before]) / (y[before + 1] - y[before])
    place = a + share * (b - a)
    return float(np.exp(place) if scale is np.log else place)


def _varying(options: list[Spec]) -> list[str]:
    """Keys of which the values differ, where all have them."""
    shared = [key for key in options[0] if all(key in one for one in options)]
    return [key for key in shared if any(one[key] != options[0][key] for one in options)]


def _labels(names: list[str], options: list[Spec], keys: list[list[str]]) -> list[str]:
    """Each name with the options that tell it apart; the options alone where there is one name."""
    alone = len(set(names)) == 1
    labels = []
    for name, own, chosen in zip(names, options, keys, strict=True):
        said = ", ".join(f"{key} {_said(own[key])}" for key in chosen)
        labels.append((said if alone else f"{name} ({said})") if said else name)
    return labels


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
