"""Which modules has a network? Planning loads none: it is asked once, in another process, and the answer is kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from homolog.networks.seen import Seen
from homolog.provenance.canonical import canonical_json, short_hash
from homolog.provenance.libraries import versions

KEPT = Path(".snakemake/homolog/hook_points")
_SOURCES = Path(__file__).parents[2]
# Those that say which modules a network has.
_LIBRARIES = ("torch", "transformers")
# Larger files (weights) are told by their size and time: to read them would take longer than all else.
_READ_WHOLE = 1 << 20


def modules_of(
    network: dict[str, Any], corpus: dict[str, Any], files: Iterable[str], folder: Path = KEPT
) -> dict[str, Seen]:
    """The modules of a network on a batch of a corpus, both as specs have them; `files` are those it is made of.

    Asked anew when the specs, versions of libraries, one of the files, or any code that was loaded has changed. Raises
    ValueError, one line, for what can't be loaded; then nothing is kept.
    """
    question = {"network": network, "corpus": corpus}
    path = folder / f"{short_hash({**question, 'versions': versions(_LIBRARIES)})}.json"
    kept = _kept(path)
    if kept is None:
        kept = _ask(question)
        kept["files"] = {name: _stamp(name) for name in [*files, *kept["files"]]}
        _keep(path, kept)
    return {one["name"]: Seen(**one) for one in kept["modules"]}


def _ask(question: dict[str, Any]) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        place = Path(folder) / "answer.json"
        # -P: what lies in the working folder takes the place of no library.
        command = [sys.executable, "-P", "-m", "homolog.networks.answering", str(place)]
        paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            command,
            input=canonical_json(question),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not place.is_file():
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ValueError(
                f"the process that loads it ended ({said[-1]}): `python -m homolog hook-points` shows all."
            )
        found: dict[str, Any] = json.loads(place.read_text())
    if "problem" in found:
        raise ValueError(found["problem"])
    return found


def _kept(path: Path) -> dict[str, Any] | None:
    """An answer that still holds."""
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept if all(_stamp(name) == stamp for name, stamp in kept["files"].items()) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _keep(path: Path, kept: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept))
        os.replace(temporary, path)
    except OSError:  # It only saves time.
        return


def _stamp(name: str) -> str:
    """What a file is told by: small ones by what they hold."""
    try:
        size, changed = (stat := os.stat(name)).st_size, stat.st_mtime_ns
        return f"{size} {changed}" if size > _READ_WHOLE else hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return "absent"
