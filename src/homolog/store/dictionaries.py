"""`<decomposition>.h5`: every member of a fitted grid, one `latent` axis over them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from homolog.dictionary import Dictionary
from homolog.store.files import Attributes, Variables, open_hdf5, write_hdf5

ARTEFACT = "dictionary"
# What all members of a grid share stands in attributes.
SHARED = ("activation", "ordered", "signed")
_ALONG_LATENT = {"dictionary": "directions", "encoder": "encoder", "encoder_bias": "encoder_bias"}
_FACTS = {"firing_rate": "firing_rate", "importance": "importance"}


def write_dictionaries(path: str | Path, dictionaries: list[Dictionary], provenance: Attributes) -> None:
    """Write `dictionary (latent, unit)`, encoder, biases, rates; along `member` seed, rows, options, FVU, L0."""
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, field in {**_ALONG_LATENT, **_FACTS}.items():
        array = torch.cat([getattr(d, field) for d in dictionaries]).numpy()
        variables[name] = (("latent", "unit")[: array.ndim], array)
    counts = [len(d.directions) for d in dictionaries]
    variables["member_of_latent"] = (("latent",), np.repeat(np.arange(len(dictionaries)), counts))
    variables["bias"] = (("member", "unit"), torch.stack([d.bias for d in dictionaries]).numpy())
    variables["active"] = (("member",), np.asarray([d.k for d in dictionaries]))
    variables |= _members(dictionaries)
    shared = {name: _attribute(getattr(dictionaries[0], name)) for name in SHARED}
    facts = {"facts": " ".join(dictionaries[0].member)}
    write_hdf5(path, ARTEFACT, variables, {**provenance, **shared, **facts})


def _members(dictionaries: list[Dictionary]) -> Variables:
    columns = {name: [d.member[name] for d in dictionaries] for name in dictionaries[0].member}
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    return {name: (("member",), a.astype(object) if a.dtype.kind == "U" else a) for name, a in arrays.items()}


def _attribute(value: Any) -> str | int:
    return int(value) if isinstance(value, bool) else str(value)


def read_dictionaries(path: str | Path) -> list[Dictionary]:
    """Read the members back in their order; a ValueError says when the file is absent, truncated or foreign."""
    with open_hdf5(path, ARTEFACT) as file:
        owner = file["member_of_latent"][...]
        arrays = {field: torch.from_numpy(file[name][...]) for name, field in {**_ALONG_LATENT, **_FACTS}.items()}
        facts = {name: _plain(file[name][...]) for name in str(file.attrs["facts"]).split()}
        return [
            Dictionary(
                **{field: array[torch.from_numpy(owner == i)] for field, array in arrays.items()},
                bias=torch.from_numpy(file["bias"][i]),
                activation=str(file.attrs["activation"]),
                k=int(file["active"][i]),
                ordered=bool(file.attrs["ordered"]),
                signed=bool(file.attrs["signed"]),
                member={name: column[i] for name, column in facts.items()},
            )
            for i in range(len(file["bias"]))
        ]


def _plain(array: np.ndarray) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value.item() for value in array]
