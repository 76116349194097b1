"""`tracks.nc`: consensus latents of many runs, their member in each run, and what chance has to say about them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import xarray as xr

from homolog.store.files import Attributes, atomic, content_hash, header, open_hdf5

ARTEFACT = "tracks"
NEEDED = ("latent", "similarity", "member_p_value")


def write_tracks(path: str | Path, tracks: xr.Dataset, provenance: Attributes) -> None:
    """Write what `alignment.track_nulls.table` gives as netCDF-4, whole or not at all.

    Raises ValueError for a dataset without a latent, a similarity and a p-value for each track and run.
    """
    missing = [name for name in NEEDED if name not in tracks or tracks[name].dims != ("track", "run")]
    if missing:
        raise ValueError(
            f"{path} can't be written: the dataset has no {', '.join(missing)} with dims (track, run); "
            f"make it with `homolog.alignment.track_nulls.table`."
        )
    content = content_hash((str(name), variable.values) for name, variable in tracks.variables.items())
    labelled = tracks.assign_attrs({**tracks.attrs, **header(ARTEFACT, content, provenance)})
    with atomic(path) as temporary:
        temporary.write_bytes(bytes(labelled.to_netcdf(engine="h5netcdf")))


def read_tracks(path: str | Path) -> xr.Dataset:
    """Read it back into memory; a ValueError says when the file is absent, truncated or foreign."""
    with open_hdf5(path, ARTEFACT):
        content = Path(path).read_bytes()
    return xr.load_dataset(BytesIO(content), engine="h5netcdf")
