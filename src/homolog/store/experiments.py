"""`<analysis>.nc`: every number of an experiment's figures, labelled."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import xarray as xr

from homolog.store.files import Attributes, atomic, content_hash, header, open_hdf5

ARTEFACT = "experiment"


def write_experiment(path: str | Path, dataset: xr.Dataset, provenance: Attributes) -> None:
    """Write a dataset as netCDF-4, whole or not at all."""
    content = content_hash((str(name), variable.values) for name, variable in dataset.variables.items())
    labelled = dataset.assign_attrs({**dataset.attrs, **header(ARTEFACT, content, provenance)})
    with atomic(path) as temporary:
        temporary.write_bytes(bytes(labelled.to_netcdf(engine="h5netcdf")))


def read_experiment(path: str | Path) -> xr.Dataset:
    """Read it back into memory; a ValueError says when the file is absent, truncated or foreign."""
    with open_hdf5(path, ARTEFACT):
        content = Path(path).read_bytes()
    return xr.load_dataset(BytesIO(content), engine="h5netcdf")
