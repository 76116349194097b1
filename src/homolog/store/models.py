"""`model.safetensors`: the weights of a run, with what made them in the file's metadata; never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from homolog.store.files import Attributes, atomic, check_header, content_hash, header

ARTEFACT = "model"


@dataclass(frozen=True)
class SavedModel:
    """Weights by parameter name; the network's numbers of inputs and classes, of a task's; the file's metadata."""

    state: dict[str, Tensor]
    sizes: tuple[int, int]
    attributes: dict[str, str]


def write_model(
    path: str | Path, state: dict[str, Tensor], sizes: tuple[int, int] | None, provenance: Attributes
) -> None:
    """Write weights (contiguous CPU tensors), whole or not at all; a network without a task needs no `sizes`."""
    content = content_hash((name, tensor.numpy()) for name, tensor in state.items())
    metadata = header(ARTEFACT, content, provenance) | {"sizes": json.dumps(sizes or (0, 0))}
    with atomic(path) as temporary:
        temporary.write_bytes(save(dict(state), {key: str(value) for key, value in sorted(metadata.items())}))


def read_model(path: str | Path) -> SavedModel:
    """Read weights; a ValueError says when the file is absent, truncated, foreign or of another format."""
    if not Path(path).is_file():
        raise ValueError(f"{path} isn't there: build it with `snakemake {path}`.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            check_header(path, ARTEFACT, metadata)
            state = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} can't be read as safetensors: it is truncated or something else ({error}); "
            f"delete it and build it again with `snakemake {path}`."
        ) from error
    n_inputs, n_classes = json.loads(metadata["sizes"])
    return SavedModel(state, (n_inputs, n_classes), metadata)
