"""What does a file of results hold, as labelled arrays for a notebook?"""

from __future__ import annotations

from pathlib import Path

import h5py
import xarray as xr

from homolog.store.files import check_header, plain_attributes

# What holds hook points apart, in groups.
_IN_GROUPS = ("activations", "joint dictionary")


def load(path: str | Path, hook_point: str | None = None) -> xr.Dataset:
    """Any array file of results/ as docs/files.md describes it, its attributes included; arrays are read when needed.

    `hook_point` chooses one of a file that has several apart: of activations, to which the rows' `split`, `half`,
    `input_id` and `label` come, and of joint dictionaries; it may be left out where there is only one. Close the
    dataset, or use it in a `with`, before the file is written anew. Raises ValueError for a file that is absent, not
    homolog's or of another format, and for a hook point that isn't there.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} isn't there: build it with `snakemake {path}`.")
    try:
        with h5py.File(path, "r") as file:
            said = plain_attributes(file)
            groups = [name for name, item in file.items() if isinstance(item, h5py.Group)]
    except OSError as error:
        raise ValueError(f"{path} can't be read: it holds no arrays, or is truncated ({error}).") from error
    check_header(path, str(said.get("homolog_artefact")), said)
    if said["homolog_artefact"] not in _IN_GROUPS:
        if hook_point is not None:
            raise ValueError(f"{path} doesn't hold hook points apart: leave out hook_point = {hook_point!r}.")
        return xr.open_dataset(path, engine="h5netcdf")
    if hook_point is None and len(groups) == 1:
        hook_point = groups[0]
    if hook_point not in groups:
        raise ValueError(f"{path} has no hook point {hook_point!r}; choose one of {', '.join(groups)}.")
    rows = xr.open_dataset(path, engine="h5netcdf")
    return rows.merge(xr.open_dataset(path, engine="h5netcdf", group=hook_point), combine_attrs="no_conflicts")
