"""What do readers of folders that other libraries wrote have in common: files that are there, JSON, arrays that fit?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_config(folder: Path, config: str, weights: str, writer: str) -> dict[str, Any]:
    """The mapping in `config`, once both files are known to be there; a ValueError says what is wrong."""
    for name in (config, weights):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: give a folder that {writer} has written.")
    try:
        found = json.loads((folder / config).read_text())
    except (ValueError, OSError) as error:
        raise ValueError(f"{folder / config} can't be read as JSON ({error}).") from error
    if not isinstance(found, dict):
        raise ValueError(f"{folder / config} holds {type(found).__name__}, but a mapping is needed.")
    return found


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All arrays of a file; a ValueError when it isn't whole."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} can't be read as safetensors: it is truncated or something else ({error})."
        ) from error


def take(path: Path, found: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], kind: str) -> dict[str, Tensor]:
    """The arrays named in `shapes`, in float32; a ValueError names one that is absent, misshapen or not finite."""
    taken = {}
    for name, expected in shapes.items():
        array = found.get(name)
        seen = tuple(array.shape) if isinstance(array, Tensor) else "absent"
        if seen != expected or not isinstance(array, Tensor):
            raise ValueError(f"{path}: {name} is {seen}, but {kind} needs the shape {expected}.")
        taken[name] = array.detach().float()
        if not bool(taken[name].isfinite().all()):
            raise ValueError(f"{path}: {name} holds values that aren't finite: look at its training.")
    return taken


def check_k(path: Path, k: Any, latents: int) -> int:
    """The `k` of a top-k; a ValueError unless it is a whole number from 1 to `latents`."""
    if isinstance(k, bool) or k not in range(1, latents + 1):
        raise ValueError(f"{path}: k is {k!r}, but a top-k needs a whole number from 1 to {latents}, its latents.")
    return int(k)


def unmeasured(latents: int) -> Float[Tensor, " latents"]:
    """Firing rates or importances of a dictionary whose file says nothing of them."""
    return torch.full((latents,), torch.nan)
