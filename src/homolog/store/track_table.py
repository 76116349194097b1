"""Tracks as a plain table, a row for each member: for spreadsheets, data frames and other languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from homolog.store.files import atomic

_OF_TRACK = (
    "found", "strength", "p_value", "adjusted_p_value", "conditional_p_value", "conditional_adjusted_p_value",
)  # fmt: skip
_OF_MEMBER = ("similarity", "support", "member_p_value")


def track_table(tracks: xr.Dataset) -> pd.DataFrame:
    """A row for each member of each track of a `tracks.nc`, in the order of tracks, then runs.

    What is of the track stands in each of its rows: hook point, decomposition, `found` of `runs`, p-values, and for
    each group `found in <group>`, of `runs in <group>`, with the exact bound `at least in <group>`. The null of
    `similarity` is `link_level`: what 95 % of the best matches of shuffled inputs stay below (`level`).
    """
    track, run = np.nonzero(tracks.latent.values >= 0)
    columns: dict[str, np.ndarray | int] = {"track": tracks.track.values[track] if len(track) else track}
    point, label = (_text(tracks, name, track) for name in ("hook_point_of_track", "decomposition_of_track"))
    columns |= {"hook_point": point, "decomposition": label, "run": tracks.run.values[run]}
    columns["latent"] = tracks.latent.values[track, run].astype(int)
    columns |= {name: tracks[name].values[track, run] for name in _OF_MEMBER if name in tracks}
    if len(track):
        columns["link_level"] = tracks.link_level.sel(hook_point=_along(point), decomposition=_along(label)).values
    columns |= {name: tracks[name].values[track] for name in _OF_TRACK if name in tracks}
    columns["runs"] = int(tracks.accepted_run.sum())
    for group in tracks.group.values if "found_in" in tracks else ():
        of_group = tracks.sel(group=group)
        columns[f"found in {group}"] = of_group.found_in.values[track].astype(int)
        columns[f"runs in {group}"] = int(of_group.runs_in)
        columns[f"at least in {group}"] = of_group.found_in_low.values[track]
    return pd.DataFrame(columns)


def write_track_table(path: str | Path, tracks: xr.Dataset) -> None:
    """Write `track_table` as CSV or, by the name's end, as Parquet; whole or not at all.

    Raises ValueError for another end, and where Parquet is asked for and pyarrow isn't installed.
    """
    table, kind = track_table(tracks), Path(path).suffix
    if kind not in (".csv", ".parquet"):
        raise ValueError(f"{path} is of no kind that is written: let the name end in .csv or .parquet.")
    with atomic(path) as temporary:
        if kind == ".csv":
            table.to_csv(temporary, index=False)
            return
        try:
            table.to_parquet(temporary, engine="pyarrow", index=False)
        except ImportError as error:
            raise ValueError(
                f"{path}: Parquet is written by pyarrow, which isn't installed: run pip install 'homolog[parquet]', or "
                "let the name end in .csv."
            ) from error


def _text(tracks: xr.Dataset, name: str, track: np.ndarray) -> np.ndarray:
    return tracks[name].values[track] if name in tracks else np.empty(0, object)


def _along(names: np.ndarray) -> xr.DataArray:
    return xr.DataArray(names, dims="member")
