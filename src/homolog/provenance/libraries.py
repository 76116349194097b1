"""Which versions of which libraries can change what a job writes?"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterable
from functools import cache

# Import name -> distribution, of libraries that may be asked for by a string too, such as ``engine="h5netcdf"``.
LIBRARIES = {
    "PIL": "pillow",
    "h5netcdf": "h5netcdf",
    "h5py": "h5py",
    "itables": "itables",
    "matplotlib": "matplotlib",
    "numba": "numba",
    "numpy": "numpy",
    "pandas": "pandas",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "transformers": "transformers",
    "xarray": "xarray",
}
# They compute nothing that is stored: bars, types, numbers of threads; and Triton, whose version is torch's choice.
_NOT_STORED = {"beartype", "jaxtyping", "threadpoolctl", "tqdm", "triton"}
# What computes underneath, and has versions of its own.
_UNDERNEATH = {"scikit-learn": ["scipy"], "numba": ["llvmlite"]}


def distributions(modules: Iterable[str]) -> list[str]:
    """The libraries behind imported modules whose versions count, without the standard library, which is Python's."""
    tops = {module.partition(".")[0] for module in modules}
    found = {LIBRARIES.get(top, top) for top in tops - _NOT_STORED - sys.stdlib_module_names}
    return sorted(found.union(*(_UNDERNEATH.get(name, ()) for name in found)))


def versions(names: Iterable[str]) -> dict[str, str]:
    """The version of each library, and Python's, of which the last number is left out: it mends and changes nothing."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **{name: version(name) for name in names}}


@cache
def version(name: str) -> str:
    """A library's version, without the build (``+cpu``) behind it; ``none`` where it isn't installed."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "none"
