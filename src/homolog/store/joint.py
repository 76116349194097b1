"""`results/experiments/<experiment>/<decomposition>.h5`: what was fitted to several runs together, by hook point."""

from __future__ import annotations

from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import pad

from homolog.decompositions.joint import COPIES, JointDictionary
from homolog.dictionary import Dictionary
from homolog.store.files import Attributes, Variables, content_hash, create_variable, header, new_hdf5, open_hdf5
from homolog.store.members import CURVE

ARTEFACT = "joint dictionary"
_BY_LATENT = ("encoder_bias", "threshold", "firing_rate", "importance", "moved")
_BY_UNIT = ("dictionary", "encoder", "bias")
_WHO = ("label", "seed", "rows", "control")


def write_joint(
    path: str | Path, runs: list[str], fitted: dict[str, list[JointDictionary]], provenance: Attributes
) -> None:
    """Write a group for each hook point: dims `latent` (of all members), `run`, `unit`, `member` and `point`.

    ``dictionary`` and ``encoder (latent, run, unit)``, ``bias (member, run, unit)`` are in each run's own order of
    units, NaN behind the last of a run that is narrower than others; in the control of copies, every run is the first.
    """
    groups = {name: _variables(runs, members) for name, members in fitted.items()}
    everything = ((f"{name}/{key}", array) for name, group in groups.items() for key, (_, array) in group.items())
    content = content_hash(everything)
    with new_hdf5(path) as file:
        for name, variables in groups.items():
            group = file.create_group(name)
            for key, (dims, array) in variables.items():
                for dim, size in zip(dims, array.shape, strict=True):
                    if dim not in group.dimensions:
                        group.dimensions[dim] = size
                create_variable(group, key, dims, array)
            group.attrs.update({"activation": fitted[name][0].dictionary.activation, "hook_point": name})
        file.attrs.update(header(ARTEFACT, content, {**provenance, "hook_points": " ".join(groups)}))


def read_joint(path: str | Path) -> list[xr.Dataset]:
    """For each hook point all but the weights: shares, rates, facts, curves; ValueError for a file that is unfit."""
    with open_hdf5(path, ARTEFACT) as file:
        hook_points = str(file.attrs["hook_points"]).split()
        content = BytesIO(Path(path).read_bytes())
    return [xr.load_dataset(content, engine="h5netcdf", group=name, drop_variables=_BY_UNIT) for name in hook_points]


def read_joint_dictionaries(path: str | Path, hook_point: str) -> list[JointDictionary]:
    """The members at one hook point with their weights, without curves; ValueError for a file that is unfit."""
    with open_hdf5(path, ARTEFACT):
        content = BytesIO(Path(path).read_bytes())
    group = xr.load_dataset(content, engine="h5netcdf", group=hook_point)
    return [_member(group, index) for index in range(group.sizes["member"])]


def _member(group: xr.Dataset, index: int) -> JointDictionary:
    of_latents = group.isel(latent=group.member_of_latent.values == index)
    facts = {name: group[name].values[index].item() for name in _WHO}
    widths = group.units.values.tolist()
    widths = [widths[0]] * len(widths) if facts["control"] == COPIES else widths

    def side_by_side(name: str) -> Tensor:
        array = of_latents[name] if "latent" in group[name].dims else group[name].isel(member=[index])
        parts = [array.isel(run=run, unit=slice(width)).values for run, width in enumerate(widths)]
        return torch.from_numpy(np.concatenate(parts, 1))

    by_latent: dict[str, Any] = {n: torch.from_numpy(of_latents[n].values) for n in _BY_LATENT if n in group}
    dictionary = Dictionary(
        side_by_side("dictionary"),
        side_by_side("encoder"),
        bias=side_by_side("bias")[0],
        **by_latent,
        activation=str(group.attrs["activation"]),
        signed=True,
        member=facts,
    )
    fvu, fvu_test = (torch.from_numpy(group[name].values[index]) for name in ("run_fvu", "run_fvu_test"))
    return JointDictionary(dictionary, widths, group.factor.values[index].tolist(), fvu, fvu_test)


def _variables(runs: list[str], members: list[JointDictionary]) -> Variables:
    dictionaries = [m.dictionary for m in members]
    width = max(unit for m in members for unit in m.widths)
    counts = [len(d.directions) for d in dictionaries]
    of_latents = {
        "dictionary": torch.cat([_by_run(m.dictionary.directions, m.widths, width) for m in members]),
        "encoder": torch.cat([_by_run(m.dictionary.encoder, m.widths, width) for m in members]),
        "share": torch.cat([m.share for m in members]),
        "effective_runs": torch.cat([m.effective_runs for m in members]),
        **{name: _by_latent(dictionaries, name) for name in _BY_LATENT if getattr(dictionaries[0], name) is not None},
        "member_of_latent": torch.arange(len(members)).repeat_interleave(torch.tensor(counts)),
    }
    of_members = {
        "bias": torch.cat([_by_run(m.dictionary.bias[None], m.widths, width) for m in members]),
        "factor": torch.tensor([m.factors for m in members], dtype=torch.float64),
        "run_fvu": torch.stack([m.fvu for m in members]),
        "run_fvu_test": torch.stack([m.fvu_test for m in members]),
        **{f"run_{name}": torch.stack([m.loss[name] for m in members]) for name in members[0].loss},
    }
    return {
        "run": (("run",), np.asarray(runs, object)),
        "units": (("run",), np.asarray(members[0].widths)),
        **{name: (("latent", "run", "unit")[: array.ndim], array.numpy()) for name, array in of_latents.items()},
        **{name: (("member", "run", "unit")[: array.ndim], array.numpy()) for name, array in of_members.items()},
        **{name: (("member",), _column([d.member[name] for d in dictionaries])) for name in dictionaries[0].member},
        **_curves([d.curves for d in dictionaries]),
    }


def _by_latent(dictionaries: list[Dictionary], name: str) -> Tensor:
    """A number of every latent; NaN in members that lack it, since they diverged."""
    found = [(getattr(d, name), torch.full_like(d.firing_rate, torch.nan)) for d in dictionaries]
    return torch.cat([absent if values is None else values for values, absent in found])


def _by_run(array: Tensor, widths: list[int], width: int) -> Tensor:
    """(rows, units side by side) as (rows, run, unit), padded with NaN."""
    parts = torch.split(array, widths, 1)
    return torch.stack([pad(part, (0, width - part.shape[1]), value=torch.nan) for part in parts], 1)


def _column(values: list[Any]) -> np.ndarray:
    """One fact of every member; netCDF-4 has no booleans, and text of any length is an object."""
    array = np.asarray(values)
    return array.astype({"U": object, "b": np.int8}.get(array.dtype.kind, array.dtype))


def _curves(curves: list[dict[str, Tensor]]) -> Variables:
    """Each curve that all members have, (member, point), with NaN behind its end."""
    names = [name for name in curves[0] if all(name in curve for curve in curves)]
    padded = {name: zip_longest(*(curve[name].tolist() for curve in curves), fillvalue=np.nan) for name in names}
    return {CURVE + name: (("member", "point"), np.asarray(list(rows)).T) for name, rows in padded.items()}
