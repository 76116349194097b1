"""Has a build in a queue, or in a storage, the same bits as one on this machine?"""

from __future__ import annotations

from pathlib import Path

from test_reproducible import array_files, arrays
from workspace import Workspace


def assert_equal_bits(results: Path, local: Workspace, at_least: set[str]) -> None:
    """Every array file under `results` has the bits that it has in `local`, and files named `at_least` are there."""
    found = {path.relative_to(results) for path in results.rglob("*")} & set(array_files(local))
    assert at_least <= {path.name for path in found}
    for path in sorted(found):
        ours, theirs = (dict(arrays(folder / path)) for folder in (results, local.results))
        assert theirs
        assert ours.keys() == theirs.keys(), path
        assert [name for name in theirs if ours[name] != theirs[name]] == [], path
