"""How do batches that come one after the other become whole arrays: each like the first, kept in temporary files?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from homolog.corpora.spool import Spool


def gathered(batches: Iterable[Any], name: str) -> dict[str, np.ndarray]:
    """Dicts of arrays or tensors as one dict of arrays, which lie in temporary files.

    Raises ValueError, which names the batch, where one isn't like the first: other keys, shapes, or numbers of inputs.
    """
    spools: dict[str, Spool] = {}
    for number, batch in enumerate(batches):
        arrays = _arrays(batch, f"{name}: batch {number}")
        spools = spools or {key: Spool(array.dtype, array.shape[1:]) for key, array in arrays.items()}
        seen, wanted = {key: array.shape[1:] for key, array in arrays.items()}, _shapes(spools)
        if seen != wanted:
            raise ValueError(
                f"{name}: batch {number} is ragged: of each input it has {_told(seen)}, but batch 0 has "
                f"{_told(wanted)}: pad or cut all to one shape; `attention_mask` or `keep` leave padding out."
            )
        for key, array in arrays.items():
            spools[key].append(array)
    if not spools:
        raise ValueError(f"{name}: no batch came: give at least one.")
    return {key: spool.array() for key, spool in spools.items()}


def _arrays(batch: Any, what: str) -> dict[str, np.ndarray]:
    if not isinstance(batch, Mapping) or not batch:
        raise ValueError(f"{what} is {type(batch).__name__}, but a dict of arrays or tensors by keyword is needed.")
    arrays = {str(key): _array(values, f"{what}: {key}") for key, values in batch.items()}
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} of {key}" for key, size in sizes.items())
        raise ValueError(f"{what} is ragged: it has {told}: give as many inputs of each.")
    return arrays


def _array(values: Any, what: str) -> np.ndarray:
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except ValueError as error:  # numpy's word for lists of several lengths
        raise ValueError(f"{what} is ragged: its inputs differ in shape: pad or cut them to one.") from error
    if array.dtype.kind not in "biuf" or not array.ndim:
        raise ValueError(f"{what} is {array.dtype} of shape {array.shape}, but numbers, by input, are needed.")
    return array


def _shapes(spools: Mapping[str, Spool]) -> dict[str, tuple[int, ...]]:
    return {key: spool.shape for key, spool in spools.items()}


def _told(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items())
