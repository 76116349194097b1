"""Did a job run the code that it was planned with? (Files may be edited while jobs wait and while they run.)"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from homolog.provenance.code import MACHINERY, PACKAGE, VARIABLE, Code

SOURCE_ROOT = Path(__file__).parents[2]


class Running:
    """What a job has loaded of the package since this was made, to be held against what was planned."""

    def __init__(self, script: Path, spec: Any, planned: str) -> None:
        self._script, self._spec, self._planned = script, spec, planned
        self._loaded: dict[str, bytes] = {}
        self._kept = Code.load(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else None
        for name, module in list(sys.modules.items()):
            self._note(name, getattr(module, "__file__", None))
        # Asked first for every import.
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python would; of the package's own, keep the file that is about to be loaded."""
        if name.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        self._note(name, spec.origin if spec else None)
        return spec

    def _note(self, name: str, file: str | None) -> None:
        if file and name.partition(".")[0] == PACKAGE and Path(file).is_file():
            self._loaded[name] = Path(file).read_bytes()

    def check(self) -> str:
        """The fingerprint of what is loaded, and of what else may be as it lies there now; ValueError unless planned.

        Only the code is held against the plan: versions of libraries are those of the environment that the job runs in.
        """
        now = Code.read(SOURCE_ROOT, [self._script], known=self._kept, loaded=self._loaded)
        reach, found = now.reach(self._script.name, self._spec), now.fingerprint(self._script.name, self._spec)
        machinery = f"{PACKAGE}.{MACHINERY}."
        beyond = [name for name in self._loaded if not f"{name}.".startswith(machinery) and name not in reach.imported]
        if found.partition(" ")[0] != self._planned.partition(" ")[0]:
            raise ValueError(
                f"the code has changed since this job was planned{self._where(now, reach.imported)}: nothing of it was "
                "kept; run the same command again."
            )
        if beyond:
            raise ValueError(
                f"this job has loaded {', '.join(sorted(beyond))}, which its fingerprint doesn't cover: nothing of it "
                "was kept; import it by its name, or name it in the spec."
            )
        return found

    def _where(self, now: Code, imported: dict[str, None]) -> str:
        if self._kept is None:
            return ""
        old = {name: module.digest for name, module in self._kept.modules.items()}
        names = [self._script.name, *imported]
        changed = [name for name in names if name in now.modules and now.modules[name].digest != old.get(name)]
        return f" ({', '.join(changed)})" if changed else ""
