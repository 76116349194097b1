"""What a comparison says: a table of latents, a summary that prints, one figure, one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from homolog.store.files import atomic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = (".nc", ".csv", ".txt")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Dictionaries compared latent by latent. `dataset` holds every number; docs/python.md lists its variables."""

    dataset: xr.Dataset

    @property
    def table(self) -> pd.DataFrame:
        """A row for each latent: what it is, its match in each other dictionary, and its similarity by view.

        Columns: `dictionary`, `latent`, `status` (live, rare, dead), `firing_rate`, `block`; `found` of `runs` other
        dictionaries with the bound `returns_at_least`; by view its mean over the others, `<view>_low`, `<view>_high`
        (jackknife over the others, where there are three), `<view>_null` and `<view>_null_95`, where labels were given
        `<view>_conditional_null`; and by other dictionary
        `match[<name>]`, `mutual[<name>]`, `p[<name>]` (adjusted) in the primary view.
        """
        import pandas as pd

        data, primary = self.dataset, self.dataset.attrs["primary"]
        columns: dict[str, Any] = {"dictionary": data.dictionary_of_row.values}
        names = ("latent", "status", "firing_rate", "block", "found", "runs", "returns_at_least")
        columns |= {name: data[name].values for name in names}
        scale = ("null", "null_quantile", "conditional_null")
        null, quantile, conditional = (data[name].mean("other") for name in scale)
        for view in data.view.values:
            ends = {
                "": data["mean"],
                "_low": data.mean_low,
                "_high": data.mean_high,
                "_null": null,
                "_null_95": quantile,
            }
            if bool(data.conditional_null_mean.sel(view=view).notnull()):
                ends["_conditional_null"] = conditional
            columns |= {f"{view}{end}": values.sel(view=view).values for end, values in ends.items()}
        several = data.sizes["other"] > 2
        for name in data.other.values:
            here = data.sel(other=name, view=primary)
            for short, variable in (("match", "match"), ("mutual", "mutual"), ("p", "adjusted_p_value")):
                if several:
                    columns[f"{short}[{name}]"] = here[variable].values
                else:  # Of two dictionaries there is one other.
                    own = columns["dictionary"] == name
                    columns[short] = np.where(own, columns.get(short, here[variable].values), here[variable].values)
        return pd.DataFrame(columns)

    def plot(self) -> Figure:
        """The figure: similarities beside their null, quality-coverage curves, and how many latents return."""
        from homolog.figures.compared import draw

        return draw(self.dataset)

    def save(self, path: str | Path) -> None:
        """Write `dataset` (.nc: ``xarray.open_dataset(path)``), `table` (.csv) or the summary (.txt), whole or not."""
        path = Path(path)
        if path.suffix not in KINDS:
            raise ValueError(f"{path} is of no kind that is written; give one of {', '.join(KINDS)}.")
        with atomic(path) as temporary:
            if path.suffix == ".nc":
                # netCDF-3 has no booleans; and it needs no h5netcdf.
                plain = self.dataset.map(lambda one: one.astype(np.int8) if one.dtype == bool else one)
                coordinates = {name: one.astype(np.int8) for name, one in plain.coords.items() if one.dtype == bool}
                plain.assign_coords(coordinates).to_netcdf(temporary, engine="scipy")
            elif path.suffix == ".csv":
                self.table.to_csv(temporary, index=False)
            else:
                temporary.write_text(f"{self}\n")

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        data = self.dataset
        facts = data.attrs
        half = facts["rows"] // 2
        parts = [
            f"{data.sizes['dictionary']} dictionaries on {facts['rows']} rows ({half} to choose pairs, the rest to "
            f"score them), {facts['units']} units",
            f"matching {facts['matching']}; null: {_NULLS[facts['null']]}, {facts['null_draws']} draws",
            "",
            _lines(_dictionaries(data)),
            "",
            _lines(_views(data)),
        ]
        directions = _directions(data)
        if directions:
            parts += ["", _lines(directions)]
        if facts["warnings"]:
            parts += ["", *(f"careful: {line}" for line in facts["warnings"].splitlines())]
        return "\n".join(parts)


_NULLS = {
    "spectrum": "turned within the data's spectrum",
    "permutation": "inputs shuffled, directions turned at random",
}


def _dictionaries(data: xr.Dataset) -> list[list[str]]:
    lines = [["dictionary", "latents", "live", "rare", "dead", "L0", "found in all others", "in none"]]
    for place, name in enumerate(data.dictionary.values):
        one = data.isel(dictionary=place)
        found = data.found.values[data.dictionary_of_row.values == name]
        others = data.sizes["dictionary"] - 1
        latents, live, dead = int(one.latents), int(one.live), int(one.dead)
        counts = [str(n) for n in (latents, live, latents - live - dead, dead)]
        shares = [_share(int((found == n).sum()), live) for n in (others, 0)]
        lines.append([str(name), *counts, f"{float(one.l0):.1f}", *shares])
    return lines


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if total else "0"


def _views(data: xr.Dataset) -> list[list[str]]:
    lines = [["view", "observed", "95 % over runs", "null", "its 95 %", "refitted", "ceiling", "excess", ""]]
    labelled = bool(data.conditional_null_mean.notnull().any())
    if labelled:
        lines[0].insert(5, "within labels")
    quantile = data.null_quantile.mean(["row", "other"])
    for view in data.view.values:
        one = data.sel(view=view)
        low, high = float(one.observed_low), float(one.observed_high)
        interval = "-" if np.isnan(low) else f"{low:.3f} to {high:.3f}"
        conditional = [one.conditional_null_mean] if labelled else []
        numbers = [one.null_mean, quantile.sel(view=view), *conditional, one.refitted, one.ceiling, one.excess]
        note = str(one.caveat.item()) if bool(one.identified) else "NOT IDENTIFIED"
        lines.append([str(view), _number(one.observed), interval, *map(_number, numbers), note])
    return lines


def _directions(data: xr.Dataset) -> list[list[str]]:
    if bool(data.mmcs_a_in_b.isnull().all()):
        return []
    lines = [["pair", "MMCS", "back", "PW-MCC", "shared (cosines > 0.7)"]]
    names = ("mmcs_a_in_b", "mmcs_b_in_a", "pw_mcc", "shared_fraction")
    shown = data.isel(pair=slice(10))
    for place in range(shown.sizes["pair"]):
        one = shown.isel(pair=place)
        lines.append([f"{one.a.item()} in {one.b.item()}", *(_number(one[name]) for name in names)])
    if data.sizes["pair"] > 10:
        means = [_number(data[name].mean()) for name in names]
        lines.append([f"mean of {data.sizes['pair']} pairs", *means])
    return lines


def _number(value: Any) -> str:
    return "-" if np.isnan(float(value)) else f"{float(value):.3f}"


def _lines(cells: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
