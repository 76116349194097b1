"""`tracks.nc`: consensus latents of many runs, their member in each run, and what chance has to say about them."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import xarray as xr

from homolog.store.files import Attributes, atomic, content_hash, header, open_hdf5

ARTEFACT = "tracks"
NEEDED = ("latent", "similarity", "member_p_value")


def write_tracks(path: str | Path, tracks: xr.Dataset, provenance: Attributes) -> None:
    """Write what `analyses.tracking.track` gives as netCDF-4, whole or not at all.

    Raises ValueError for a dataset without a latent, a similarity and a p-value for each track and run.
    """
    missing = [name for name in NEEDED if name not in tracks or tracks[name].dims != ("track", "run")]
    if missing:
        raise ValueError(
            f"{path} can't be written: the dataset has no {', '.join(missing)} with dims (track, run); "
            f"make it with `homolog.analyses.tracking.track`."
        )
    content = content_hash((str(name), variable.values) for name, variable in tracks.variables.items())
    labelled = tracks.assign_attrs({**tracks.attrs, **header(ARTEFACT, content, provenance)})
    with atomic(path) as temporary:
        temporary.write_bytes(bytes(labelled.to_netcdf(engine="h5netcdf")))


def with_tracks(dataset: xr.Dataset, paths: Iterable[str | Path]) -> xr.Dataset:
    """An experiment's dataset and, if a path is given, what its tracks say between groups of runs, and of survival."""
    for path in paths:
        tracks = read_tracks(path)
        shares = [
            name for name in tracks.data_vars if {"target", "r", "fit"} & set(tracks[name].dims) or name == "n_fits"
        ]
        dataset = dataset.merge(tracks[shares], join="left", compat="no_conflicts", combine_attrs="override")
    return dataset


def read_rivals(paths: Iterable[str | Path]) -> xr.Dataset:
    """What the tracks of an experiment say of its joint decompositions; an empty dataset without a path."""
    found = [read_tracks(path) for path in paths]
    return xr.merge([one[[name for name in one.data_vars if "rival" in one[name].dims]] for one in found])


def read_tracks(path: str | Path) -> xr.Dataset:
    """Read it back into memory; a ValueError says when the file is absent, truncated or foreign."""
    with open_hdf5(path, ARTEFACT):
        content = Path(path).read_bytes()
    return xr.load_dataset(BytesIO(content), engine="h5netcdf")
