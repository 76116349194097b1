"""`<decomposition>.h5`: every member of a fitted grid, one `latent` axis over them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homolog.dictionary import Dictionary
from homolog.store.files import Attributes, Variables, open_hdf5, write_hdf5
from homolog.store.members import ARTEFACT, CURVE, plain, read_curves

# What all members of a grid share stands in attributes.
SHARED = ("activation", "ordered", "signed")
_ALONG_LATENT = {"dictionary": "directions", "encoder": "encoder", "encoder_bias": "encoder_bias"}
_FACTS = {"firing_rate": "firing_rate", "importance": "importance"}
# Not every method has these; where one member has a gain, those without have one of 1.
_OPTIONAL = {"threshold": "threshold", "gain": "gain", "moved": "moved"}


def write_dictionaries(path: str | Path, dictionaries: list[Dictionary], provenance: Attributes) -> None:
    """Write `dictionary (latent, unit)`, encoder, biases, rates; along `member` its facts and training curves.

    A curve is ``curve_<name> (member, point)``. Raises ValueError when members differ in what they must share, or a
    fact has the name of another variable.
    """
    _check_shared(dictionaries)
    variables = _by_latent(dictionaries)
    counts = [len(d.directions) for d in dictionaries]
    variables["member_of_latent"] = (("latent",), np.repeat(np.arange(len(dictionaries)), counts))
    variables["bias"] = (("member", "unit"), torch.stack([d.bias for d in dictionaries]).numpy())
    variables["active"] = (("member",), np.asarray([d.k for d in dictionaries]))
    variables["dense_latents"] = (("member",), np.asarray([d.dense for d in dictionaries]))
    variables |= _curves([d.curves for d in dictionaries])
    facts = _members(dictionaries)
    _check_names(facts, variables)
    shared = {name: _attribute(getattr(dictionaries[0], name)) for name in SHARED}
    write_hdf5(path, ARTEFACT, {**variables, **facts}, {**provenance, **shared, "facts": " ".join(facts)})


def _by_latent(dictionaries: list[Dictionary]) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    if any(d.gain is not None for d in dictionaries):
        ones = [torch.ones_like(d.encoder_bias) if d.gain is None else d.gain for d in dictionaries]
        dictionaries = [replace(d, gain=gain) for d, gain in zip(dictionaries, ones, strict=True)]
    for name, field in {**_ALONG_LATENT, **_FACTS, **_OPTIONAL}.items():
        if getattr(dictionaries[0], field) is not None:
            array = torch.cat([getattr(d, field) for d in dictionaries]).numpy()
            variables[name] = (("latent", "unit")[: array.ndim], array)
    return variables


def _curves(curves: list[dict[str, Tensor]]) -> Variables:
    """Each curve with NaN behind its end, or throughout where a member has none of its name."""
    names = dict.fromkeys(name for curve in curves for name in curve)
    points = max((len(values) for curve in curves for values in curve.values()), default=0)
    padded = {}
    for name in names:
        logged = {i: curve[name].numpy() for i, curve in enumerate(curves) if name in curve}
        padded[CURVE + name] = np.full((len(curves), points), np.nan, np.result_type(np.float32, *logged.values()))
        for i, values in logged.items():
            padded[CURVE + name][i, : len(values)] = values
    return {name: (("member", "point"), array) for name, array in padded.items()}


def _members(dictionaries: list[Dictionary]) -> Variables:
    columns = {name: [d.member[name] for d in dictionaries] for name in dictionaries[0].member}
    # netCDF-4 has no booleans, and text of any length is an object.
    kinds = {"U": object, "b": np.int8}
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    return {
        name: (("member",), array.astype(kinds.get(array.dtype.kind, array.dtype))) for name, array in arrays.items()
    }


def _check_shared(dictionaries: list[Dictionary]) -> None:
    for name in (*SHARED, "threshold", "moved"):
        seen = [getattr(d, name) for d in dictionaries]
        kinds = seen if name in SHARED else ["absent" if value is None else "present" for value in seen]
        if len(set(kinds)) > 1:
            raise ValueError(
                f"{name} is {kinds[0]} for the first member and not for all {len(kinds)}, but the members of one file "
                "share it: write the others to a file of their own."
            )


def _check_names(facts: Variables, variables: Variables) -> None:
    for name in facts.keys() & variables.keys():
        raise ValueError(
            f"{name} is a variable of every such dictionary file, and can't be a fact of its members too: rename the "
            f"option or fact; taken are {', '.join(sorted(variables))}."
        )


def _attribute(value: Any) -> str | int:
    return int(value) if isinstance(value, bool) else str(value)


def read_dictionaries(path: str | Path) -> list[Dictionary]:
    """Read the members back in their order; a ValueError says when the file is absent, truncated or foreign."""
    with open_hdf5(path, ARTEFACT) as file:
        owner = file["member_of_latent"][...]
        facts = {name: plain(file[name]) for name in str(file.attrs["facts"]).split()}
        optional = {name: field for name, field in _OPTIONAL.items() if name in file and name not in facts}
        names = {**_ALONG_LATENT, **_FACTS, **optional}
        arrays = {field: torch.from_numpy(file[name][...]) for name, field in names.items()}
        curves = read_curves(file)
        # A curve ends where its steps do: its values may be NaN before, where a member diverged.
        points = (~np.isnan(curves["step"])).sum(1) if curves else []
        return [
            Dictionary(
                **{field: array[torch.from_numpy(owner == i)] for field, array in arrays.items()},
                bias=torch.from_numpy(file["bias"][i]),
                activation=str(file.attrs["activation"]),
                k=int(file["active"][i]),
                dense=int(file["dense_latents"][i]) if "dense_latents" in file else 0,
                ordered=bool(file.attrs["ordered"]),
                signed=bool(file.attrs["signed"]),
                curves={name: torch.from_numpy(array[i, : points[i]]) for name, array in curves.items()},
                member={name: column[i] for name, column in facts.items()},
            )
            for i in range(len(file["bias"]))
        ]
