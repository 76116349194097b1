"""What decides that a result is stale: the fingerprint of the code that can reach it, and the versions that made it."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "homolog"
_TARGET = re.compile(rf"{PACKAGE}(?:\.\w+)+(?::\w+)?")


def canonical_json(value: Any) -> str:
    """One string for one value: sorted keys, no spaces, so that equal specs are equal strings and a swap is seen."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def code_fingerprint(script: Path, source_root: Path, spec: Any = None) -> str:
    """Hash of the syntax trees of `script`, of all that it reaches by static import, and of the modules `spec` names.

    Comments, docstrings and layout don't count. `source_root` is the folder that holds the package. Modules named in
    the spec are strings such as ``"homolog.decompositions.pca:PCA"``: that is how a registry's choice enters a job.
    """
    files = {script, *closure([script, *_named_modules(spec, source_root)], source_root)}
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name if path == script else str(path.relative_to(source_root))):
        digest.update(path.name.encode() + b"\0" + normalised_source(path).encode() + b"\0")
    return digest.hexdigest()[:16]


def closure(entries: Iterable[Path], source_root: Path) -> set[Path]:
    """All files of the package that `entries` reach by import statements, wherever these stand; entries included."""
    seen: set[Path] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(imported_files(path, source_root))
    return seen


@cache
def normalised_source(path: Path) -> str:
    """The file's code with docstrings and comments dropped and the layout made uniform."""
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@cache
def imported_files(path: Path, source_root: Path) -> frozenset[Path]:
    """Files of the package that `path` imports, with the ``__init__`` of every package on the way to them."""
    found: set[Path] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute_base(node, path, source_root)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found.update(module_files(name, source_root))
    return frozenset(found)


def module_files(name: str, source_root: Path) -> Iterator[Path]:
    """Files that Python runs to import the module `name`: each parent package's ``__init__`` and the module's own."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for length in range(1, len(parts) + 1):
        base = source_root.joinpath(*parts[:length])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                yield path


def _named_modules(spec: Any, source_root: Path) -> list[Path]:
    text = canonical_json(spec)
    names = sorted({match.group().split(":")[0] for match in _TARGET.finditer(text)})
    return [path for name in names for path in module_files(name, source_root)]


def _absolute_base(node: ast.ImportFrom, path: Path, source_root: Path) -> str:
    if node.level == 0:
        return node.module or ""
    package = path.relative_to(source_root).parent.parts
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: {error.msg}, so it can't be told what depends on this file: mend the syntax."
        ) from error
