"""What do all tests share: checked shapes, and one build of the whole workflow on the tiny configuration?"""

from __future__ import annotations

from pathlib import Path

import jaxtyping
import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from workspace import ROOT, Workspace

# One thread, as jobs have by default: on a busy machine threads wait for each other far longer than they work.
torch.set_num_threads(1)
# A busy machine is not a defect.
settings.register_profile("homolog", deadline=None, max_examples=50)
settings.load_profile("homolog")

# Before any import of the library: from here on its functions check the shapes that their signatures state.
# Not in homolog.config, whose tests hand it anything but what its signatures say, nor in kernels, which are compiled,
# nor in the fast steps, whose inner functions would be wrapped anew at every step: that takes far longer than the step;
# nor where code is followed by hundreds of thousands of small calls.
SOURCE = ROOT / "src"
CHECKED = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if not {"config", "kernels", "fast", "provenance"} & {*path.parts, path.stem} and path.stem != "__init__"
]
jaxtyping.install_import_hook(CHECKED, "shape_checks.check_types")


@pytest.fixture
def no_shape_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user meets the library: shapes are only checked by the type hints in tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workspace:
    """The tiny configuration, built whole by two jobs at a time. Only for reading: change a copy.

    The first process of a session that asks builds it, the others wait.
    """
    shared = tmp_path_factory.getbasetemp()
    root = (shared if worker_id == "master" else shared.parent) / "built"
    done = root / "done"
    with FileLock(f"{root}.lock"):
        if done.exists():
            return Workspace.of(root)
        workspace = Workspace.fresh(root)
        workspace.build("--cores", "2", "all")
        done.touch()
    return workspace


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the whole build waits for it: those tests have a target of their own."""
    for item in items:
        if "built" in getattr(item, "fixturenames", ()):
            item.add_marker("workflow")


@pytest.fixture
def copied(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the built workspace, sources and results, to change at will."""
    return built.copy(tmp_path)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny configuration's first experiment alone, built on this machine. Only for reading."""
    workspace = Workspace.fresh(tmp_path_factory.mktemp("local"))
    workspace.build("--cores", "2", "stability")
    return workspace
