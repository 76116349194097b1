"""What may stand for a dictionary in `homolog.compare`: an object, arrays, or a path, and what is made of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from homolog.dictionary import Dictionary, fold_norms
from homolog.store.dictionaries import read_dictionaries
from homolog.store.dictionary_learning_reading import WEIGHTS as DICTIONARY_LEARNING
from homolog.store.dictionary_learning_reading import read_dictionary_learning
from homolog.store.files import open_hdf5
from homolog.store.foreign import unmeasured
from homolog.store.members import ARTEFACT
from homolog.store.saelens import WEIGHTS as SAELENS
from homolog.store.saelens_reading import read_saelens
from homolog.store.sparsify_reading import WEIGHTS as SPARSIFY
from homolog.store.sparsify_reading import read_sparsify

FOLDERS = {SAELENS: read_saelens, SPARSIFY: read_sparsify, DICTIONARY_LEARNING: read_dictionary_learning}
# Names that other libraries give to the arrays of a dictionary; W_enc is stored the other way round.
_ALIASES = {"decoder": "directions", "W_dec": "directions", "b_enc": "encoder_bias", "b_dec": "bias"}
_ARRAYS = ("directions", "encoder", "encoder_bias", "bias", "threshold", "importance")
_OPTIONS = ("activation", "k", "signed", "ordered", "label")
Given = Any


@dataclass(frozen=True)
class Refits:
    """Dictionaries of one run: the first one is compared latent by latent, the others show how well it is refitted.

    `projected`: directions were given alone, so codes are projections onto them. `gauge` is that in which they were
    fitted, for a file of the pipeline.
    """

    members: list[Dictionary]
    projected: bool = False
    gauge: str = "none"

    @property
    def label(self) -> str:
        return str(self.members[0].member.get("label", "dictionary"))


def read_refits(given: Given, where: str) -> Refits:
    """The dictionaries that `given` stands for; `where` names it in errors. Raises ValueError, one line each."""
    if isinstance(given, list):
        if not given:
            raise ValueError(f"{where} is an empty list: give one dictionary, or several refits of it.")
        parts = [read_refits(one, where) for one in given]
        if len({part.gauge for part in parts}) > 1:
            raise ValueError(f"{where}: its refits were fitted in different gauges: give those of one gauge.")
        found = replace(parts[0], members=[one for part in parts for one in part.members])
    elif isinstance(given, str | Path):
        found = _from_path(Path(given), where)
    else:
        found = Refits([_from_memory(given, where)], projected=_is_lone(given))
    found = replace(found, members=[one.to("cpu", torch.float32) for one in found.members])
    for member in found.members:
        _check(member, where)
    return found


def _is_lone(given: Given) -> bool:
    """Whether there are directions and no encoder."""
    if isinstance(given, Mapping):
        return not {"encoder", "W_enc"} & set(given)
    return isinstance(given, Tensor | np.ndarray)


def _from_memory(given: Given, where: str) -> Dictionary:
    if isinstance(given, Dictionary):
        return given
    if isinstance(given, Tensor | np.ndarray):
        return _from_arrays({"directions": given}, where)
    if isinstance(given, tuple) and len(given) == 2:
        return _from_arrays({"encoder": given[0], "directions": given[1]}, where)
    if isinstance(given, Mapping):
        return _from_arrays(given, where)
    raise ValueError(
        f"{where} is {type(given).__name__}; allowed: a Dictionary, an array of directions (latent, unit), a tuple "
        "(encoder, directions), a dict of arrays, a path, or a list of these, the refits of one run."
    )


def _from_arrays(given: Mapping[str, Any], where: str) -> Dictionary:
    """A dictionary from its arrays: without an encoder its codes are projections, else ReLU, top-k or with a jump."""
    named = {_ALIASES.get(name, name): value for name, value in given.items()}
    if "W_enc" in named:
        named["encoder"] = np.asarray(named.pop("W_enc")).T
    unknown = set(named) - {*_ARRAYS, *_OPTIONS}
    if unknown or "directions" not in named:
        raise ValueError(
            f"{where} holds {', '.join(map(str, given))}; it needs directions (latent, unit), and may have "
            f"{', '.join([*_ARRAYS[1:], *_OPTIONS])}."
        )
    arrays = {name: _float(named[name], f"{where}: {name}") for name in _ARRAYS if named.get(name) is not None}
    directions = arrays["directions"]
    if directions.ndim != 2 or 0 in directions.shape:
        raise ValueError(f"{where} has directions of shape {tuple(directions.shape)}, and needs (latent, unit).")
    latents, units = directions.shape
    shapes = {"encoder": (latents, units), "encoder_bias": (latents,), "bias": (units,), "importance": (latents,)}
    for name, expected in shapes.items():
        seen = tuple(arrays[name].shape) if name in arrays else expected
        if seen != expected:
            raise ValueError(f"{where}: {name} has shape {seen}, and directions (latent, unit) {(latents, units)}.")
    lone = "encoder" not in arrays
    k = int(named.get("k") or 0)
    activation = "identity" if lone else "topk" if k else "jumprelu" if "threshold" in arrays else "relu"
    made = Dictionary(
        directions=directions,
        encoder=directions if lone else arrays["encoder"],
        encoder_bias=arrays.get("encoder_bias", torch.zeros(latents)),
        bias=arrays.get("bias", torch.zeros(units)),
        firing_rate=unmeasured(latents),
        importance=arrays.get("importance", unmeasured(latents)),
        activation=str(named.get("activation", activation)),
        k=k,
        ordered=bool(named.get("ordered", False)),
        signed=bool(named.get("signed", True)),
        threshold=arrays["threshold"].expand(latents) if "threshold" in arrays else None,
        member={"label": str(named.get("label", "dictionary"))},
    )
    return made if lone else fold_norms(made)


def _float(value: Any, name: str) -> Tensor:
    array = value if isinstance(value, Tensor) else torch.from_numpy(np.ascontiguousarray(value))
    if array.is_complex():
        raise ValueError(f"{name} holds {array.dtype}, and a dictionary real numbers: convert it to float32.")
    return array.detach().to("cpu", torch.float32)


def _from_path(path: Path, where: str) -> Refits:
    if path.is_dir():
        readers = [reader for weights, reader in FOLDERS.items() if (path / weights).is_file()]
        if not readers:
            raise ValueError(
                f"{where}: {path} holds none of {', '.join(FOLDERS)}: give a folder that sae-lens, sparsify or "
                "dictionary_learning has written (of one hook point or trainer), or a file."
            )
        return Refits([readers[0](path)])
    if not path.is_file():
        raise ValueError(f"{where}: {path} isn't there: give a file, or a folder of sae-lens and the like.")
    if path.suffix in (".npy", ".npz"):
        arrays = _read_numpy(path, where)
        return Refits([_from_arrays({"label": path.stem, **arrays}, where)], _is_lone(arrays))
    return _from_pipeline(path, where)


def _read_numpy(path: Path, where: str) -> dict[str, Any]:
    try:
        loaded = np.load(path)  # Pickles, which may run code, are refused.
        if isinstance(loaded, np.ndarray):
            return {"directions": loaded}
        with loaded:
            return {name: loaded[name][()] for name in loaded.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{where}: {path} can't be read as {path.suffix}: it is truncated or {reason}.") from error


def _from_pipeline(path: Path, where: str) -> Refits:
    """A `<decomposition>.h5`: its member fitted to all rows, then its other seeds and the halves."""
    members = read_dictionaries(path)
    labels = dict.fromkeys(str(one.member["label"]) for one in members)
    if len(labels) > 1:
        raise ValueError(
            f"{where}: {path} holds the grid points {', '.join(labels)}: choose one from "
            "homolog.read_dictionaries(path)."
        )
    members.sort(key=lambda one: (one.member["rows"] != "all", one.member["seed"], one.member["rows"]))
    with open_hdf5(path, ARTEFACT) as file:
        gauge = json.loads(str(file.attrs.get("spec", "{}"))).get("gauge", "none")
    return Refits(members, gauge=str(gauge))


def _check(dictionary: Dictionary, where: str) -> None:
    if 0 in dictionary.directions.shape:
        raise ValueError(
            f"{where} is empty: its directions have shape {tuple(dictionary.directions.shape)} (latent, unit)."
        )
    for name in _ARRAYS[:-1]:  # Importances may be unknown.
        array = getattr(dictionary, name)
        count = 0 if array is None else int((~array.isfinite()).sum())
        if count:
            raise ValueError(f"{where}: {name} holds {count} values that aren't finite: look at its training.")
