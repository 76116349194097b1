"""The numbers of a figure that compares no runs, as a table and as text: every variable, with its interval."""

from __future__ import annotations

from textwrap import fill

import pandas as pd
import xarray as xr

BOUNDS = ("low", "high")


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """One page, and a hook point that stands for none; one for each hook point where there are some."""
    if "hook_point" in dataset.dims:
        return [dataset.sel(hook_point=name) for name in dataset.hook_point.values]
    return [dataset.assign_coords(hook_point="none")]


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """A row for each number: the variable, where it stands (``dim=value``), the number, and its bounds."""
    rows: list[dict[str, object]] = []
    for name in _measured(dataset):
        bounds = [f"{name}_{end}" for end in BOUNDS if f"{name}_{end}" in dataset]
        frame = dataset[[name, *bounds]].reset_coords(drop=True).to_dataframe() if dataset[name].dims else None
        if frame is None:
            rows.append({"variable": name, "at": "", "value": dataset[name].item()} | _bounds_of(dataset, name))
            continue
        for place, row in zip(frame.index, frame.itertuples(index=False), strict=True):
            values = place if isinstance(place, tuple) else (place,)
            at = ", ".join(f"{dim}={value}" for dim, value in zip(frame.index.names, values, strict=True))
            found = dict(zip(("value", *BOUNDS), row, strict=False))
            if not pd.isna(found["value"]):
                rows.append({"variable": name, "at": at} | found)
    return pd.DataFrame(rows, columns=["variable", "at", "value", *BOUNDS])


def runs_table(dataset: xr.Dataset) -> pd.DataFrame:
    """No runs: what the experiment was made of, by its attributes."""
    known = {name: value for name, value in dataset.attrs.items() if isinstance(value, int | float | str)}
    return pd.DataFrame({"option": list(known), "value": list(known.values())})


def summary(dataset: xr.Dataset, headline: str) -> str:
    """The answer in words, then every number, for a reader with a terminal."""
    parts = ["\n\n".join(fill(paragraph, 100) for paragraph in headline.split("\n\n"))]
    before = ""
    for name, at, value, low, high in table(dataset).to_numpy().tolist():
        if name != before:
            title = dataset[name].attrs.get("long_name", "")
            parts.append(f"\n{name}{f': {title}' if title else ''}")
            before = name
        bounds = "" if pd.isna(low) else f" [{low:.4g}, {high:.4g}]"
        parts.append(f"  {at:60s}{f'{value:.4g}' if isinstance(value, float) else value}{bounds}")
    return "\n".join(parts) + "\n"


def _measured(dataset: xr.Dataset) -> list[str]:
    """Variables but the bounds of others."""
    names = [str(name) for name in dataset.data_vars]
    return [name for name in names if not any(name == f"{other}_{end}" for other in names for end in BOUNDS)]


def _bounds_of(dataset: xr.Dataset, name: str) -> dict[str, object]:
    return {end: dataset[f"{name}_{end}"].item() for end in BOUNDS if f"{name}_{end}" in dataset}
