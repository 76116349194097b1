"""What do these tests share: one undisturbed build of the cheap workflow."""

from __future__ import annotations

import pytest
from cheap import EXPERIMENT, cheap, numbers
from workspace import Workspace


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Only for reading: change a copy."""
    workspace = cheap(tmp_path_factory.mktemp("whole"))
    workspace.build("--cores", "2", EXPERIMENT)
    return workspace


@pytest.fixture(scope="session")
def expected(whole: Workspace) -> dict[str, bytes]:
    """All its numbers, which are those of every other build."""
    found = numbers(whole)
    assert len(found) > 20
    return found
