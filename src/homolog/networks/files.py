"""Of which files is a network from outside made? (Planning asks, before anything is loaded: no torch is needed.)"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from homolog.corpora.paths import BUILT_IN_TOKENIZERS, in_cache, packaged, tokenizer_file

# No safetensors file has a longer header; a file of another kind would seem to.
_LONGEST_HEADER = 100_000_000


def checkpoint_folder(name: str, revision: str | None = None) -> Path | None:
    """The folder of a model: as given, in an installed package, or of a revision in Hugging Face's cache.

    None where there is none. Raises ValueError for a package that isn't installed.
    """
    path = Path(packaged(name))
    if path.is_dir():
        return path
    config = in_cache(name, "config.json", revision)
    return config.parent if config else None


def module_file(name: str) -> Path | None:
    """The file of a Python module, installed or in the working folder; nothing is imported."""
    places: list[str] | None = None
    found = None
    for part in name.split("."):
        found = PathFinder.find_spec(part, places)
        if found is None and places is None:
            found = PathFinder.find_spec(part, [str(Path.cwd())])
        if found is None:
            return None
        places = list(found.submodule_search_locations or [])
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None


def weight_shapes(paths: Iterable[Path]) -> dict[str, list[int]]:
    """Shape of each tensor in safetensors files, of which only the headers are read.

    Raises ValueError for a file that is none.
    """
    found: dict[str, list[int]] = {}
    for path in sorted(paths):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            try:
                header = json.loads(stream.read(length)) if length <= _LONGEST_HEADER else None
            except ValueError:
                header = None
        if not isinstance(header, dict):
            raise ValueError(f"{path} is no safetensors file: give what save_pretrained writes.")
        found |= {name: one["shape"] for name, one in header.items() if name != "__metadata__"}
    return found


def other_vocabulary(reference: str, own: Path) -> str | None:
    """How the tokens of the tokenizer that is named differ from those of a model's own, a tokenizer.json; else None.

    Only the vocabularies are compared: how long texts are cut, say, is no part of what the model has learned.
    """
    way_out = f"set it to {own.parent}"
    if reference in BUILT_IN_TOKENIZERS:
        return f"{reference}, beside a model that brings {own}; allowed: that one; {way_out}"
    try:
        named = tokenizer_file(reference)
    except ValueError:  # Its absence is told where the data are looked at.
        return None
    if named.resolve() != own.resolve() and _vocabulary(named) != _vocabulary(own):
        return f"{reference} has other tokens than {own}, which the model brings; allowed: that one; {way_out}"
    return None


def _vocabulary(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    except (ValueError, KeyError, TypeError):
        return None
