"""How are CPU kernels compiled once for all processes, and anew when anything changes that they are made of?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def kept(folder: Path, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: compiled by numba with `options`, and kept for other processes until a Python file of `folder`
    changes.

    Numba itself looks at the file of the function alone, and would take the old parts of others.
    """
    stamp = tuple(sorted((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in folder.glob("*.py")))

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", **options)(function)
        # Where NUMBA_DISABLE_JIT is set it is the function itself.
        if kernel is not function:
            file = kernel._cache._cache_file
            file._source_stamp = (file._source_stamp, stamp)
        return kernel

    return compiled
