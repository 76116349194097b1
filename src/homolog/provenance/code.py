"""The fingerprint of a job's code: what may it run, as its files stand now or as they stood when it was planned?"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from homolog.provenance.libraries import distributions, versions
from homolog.provenance.reach import Reach
from homolog.provenance.statements import Module, read_module, source_digest

PACKAGE = "homolog"
# It writes no array and only decides what runs: an edit of it is no reason to run anything anew.
MACHINERY = "provenance"
# Where a job finds the files as they were planned.
VARIABLE = "HOMOLOG_PLANNED"
_UNUSED_AFTER = 90 * 24 * 3600
# Files that were taken apart in another way are of no use.
_READERS = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("plain", "statements", "uses"))
_FORMAT = f"Python {sys.version_info[:2]}, {source_digest(_READERS)}"


class Code:
    """All files of a package and the scripts that start there, taken apart: `fingerprint` says what a job may run.

    A fingerprint hashes the syntax trees of all statements that a job can reach (`reach.Reach` says how names are
    followed), without comments, docstrings and layout, and ends in the versions of the libraries that these use:
    ``"0f3c… h5py==3.14.0 numpy==2.3.5 python==3.11"``.
    """

    def __init__(self, modules: Mapping[str, Module], package: str = PACKAGE) -> None:
        self.modules, self.package = modules, package
        machinery = f"{package}.{MACHINERY}."
        self._counted = {name: one for name, one in modules.items() if not f"{name}.".startswith(machinery)}
        self._target = re.compile(rf"{package}(?:\.\w+)+(?::\w+)?")
        self._reached: dict[tuple[str, frozenset[str]], Reach] = {}
        self._fingerprints: dict[tuple[str, frozenset[str]], str] = {}

    @classmethod
    def read(
        cls,
        source_root: Path,
        scripts: Iterable[Path],
        package: str = PACKAGE,
        known: Code | None = None,
        loaded: Mapping[str, bytes] | None = None,
    ) -> Code:
        """As the files stand now, or as they were `loaded`; what is as in `known` isn't taken apart again."""
        old = known.modules if known else {}
        modules = {}
        for name, path in _files(source_root, scripts, package).items():
            source = (loaded or {}).get(name) or path.read_bytes()
            before = old.get(name)
            same = before is not None and before.digest == source_digest(source)
            modules[name] = before if before and same else read_module(name, package, source, path)
        return cls(modules, package)

    def fingerprint(self, script: str, spec: Any = None) -> str:
        """Of a script (``"train.py"``) with the targets in its spec (``"homolog.tasks.digits:Digits"``)."""
        key = script, self._targets(spec)
        if key not in self._fingerprints:
            reach = self._reach(*key)
            made_by = versions(distributions(reach.libraries))
            self._fingerprints[key] = " ".join([reach.digest(), *(f"{name}=={one}" for name, one in made_by.items())])
        return self._fingerprints[key]

    @property
    def mistakes(self) -> list[str]:
        """One problem for each file that can't be read as Python; none where all can."""
        return [module.mistake for module in self.modules.values() if module.mistake]

    def reach(self, script: str, spec: Any = None) -> Reach:
        """What such a job may run."""
        return self._reach(script, self._targets(spec))

    def _reach(self, script: str, targets: frozenset[str]) -> Reach:
        key = script, targets
        if key not in self._reached:
            self._reached[key] = Reach(self._counted, self.package).run(script, targets)
        return self._reached[key]

    def _targets(self, spec: Any) -> frozenset[str]:
        text = spec if isinstance(spec, str) else json.dumps(spec)
        return frozenset(self._target.findall(text))

    # As it was planned

    @cached_property
    def digest(self) -> str:
        """Hash of all files as they lie there."""
        listed = "".join(f"{name} {module.digest}\n" for name, module in sorted(self.modules.items()))
        return source_digest(f"{_FORMAT}\n{listed}".encode())

    def save(self, folder: Path) -> Path:
        """Keep it for jobs, and for the next plan; what no plan has used for long goes."""
        path = folder / f"{self.digest}.json"
        if path.is_file():
            os.utime(path)
            return path
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self.digest}.{os.getpid()}"
        temporary.write_text(json.dumps([_FORMAT, [module.as_json() for module in self.modules.values()]]))
        os.replace(temporary, path)
        for old in folder.glob("*.json"):
            if old.stat().st_mtime < time.time() - _UNUSED_AFTER:
                old.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: Path, package: str = PACKAGE) -> Code | None:
        """What was kept; None where that can't be read."""
        try:
            kind, modules = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        found = [Module.from_json(one) for one in modules] if kind == _FORMAT else []
        return cls({module.name: module for module in found}, package) if found else None


def planned_code(source_root: Path, scripts: Path, folder: Path, is_main: bool) -> Code:
    """The code of all jobs: as the files stand now, kept in `folder`; in a job's process as its plan has kept it."""
    plan = os.environ.get(VARIABLE)
    kept = Code.load(Path(plan)) if plan and not is_main else None
    if kept:
        return kept
    latest = max(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, default=None)
    code = Code.read(source_root, sorted(scripts.glob("*.py")), known=Code.load(latest) if latest else None)
    if is_main:
        try:
            os.environ[VARIABLE] = str(code.save(folder).absolute())
        except OSError:  # It only saves time.
            os.environ.pop(VARIABLE, None)
    return code


def _files(source_root: Path, scripts: Iterable[Path], package: str) -> dict[str, Path]:
    """Every file by its dotted name; scripts by their file's name."""
    found = {}
    for path in sorted((source_root / package).rglob("*.py")):
        parts = path.relative_to(source_root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found | {path.name: path for path in scripts}
