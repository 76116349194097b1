"""Is each file what the plan asks for now, and if not, what has changed?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
from safetensors import SafetensorError, safe_open

from homolog.atlas.site import check_site, read_header
from homolog.export.header import header_of
from homolog.jobs.stage import recorded_content
from homolog.provenance.canonical import short_hash
from homolog.results.planned import PlannedJob
from homolog.store.checksums import is_intact

Attributes = dict[str, str]
# What must be known of a file's making.
SAID = ("spec", "code", "inputs")
CURRENT, STALE, UNKNOWN, CORRUPT, MISSING = "current", "stale", "unknown", "corrupt", "missing"


@dataclass(frozen=True)
class Finding:
    """What is to be said of one file: one of the words above, and why."""

    path: str
    status: str
    reason: str = ""


def verify(jobs: Iterable[PlannedJob]) -> list[list[Finding]]:
    """For each job a finding for each of its outputs, by what they say themselves; inputs are taken as they are."""
    contents: dict[str, str | None] = {}
    return [_of_job(job, contents) for job in jobs]


def with_inputs(jobs: list[PlannedJob], findings: list[list[Finding]]) -> list[Finding]:
    """All findings, of which none is current that follows from a file that isn't."""
    status = {finding.path: finding for of_job in findings for finding in of_job}
    makers = {path: job for job in jobs for path in job.outputs}
    settled: dict[str, Finding] = {}

    def settle(path: str) -> Finding:
        if path not in settled:
            found = status[path]
            late = [one for one in makers[path].inputs if one in makers and settle(one).status != CURRENT]
            if late and found.status == CURRENT:
                found = replace(found, status=STALE, reason=f"{late[0]} isn't current")
            settled[path] = found
        return settled[path]

    return [settle(path) for path in status]


def _of_job(job: PlannedJob, contents: dict[str, str | None]) -> list[Finding]:
    found = []
    for path in job.outputs:
        # Text says nothing of its making: it goes by what the first file of its job says.
        speaks = Path(path).suffix in _READERS
        found.append(_of_file(path, path if speaks else job.outputs[0], job, contents))
    return found


def _of_file(path: str, speaker: str, job: PlannedJob, contents: dict[str, str | None]) -> Finding:
    if not Path(path).is_file():
        return Finding(path, MISSING)
    if not job.ended:
        return Finding(path, UNKNOWN, "the job that made it didn't end")
    # Before anything in it is made sense of.
    intact = is_intact(path)
    if intact is False:
        return Finding(path, CORRUPT, "it isn't what was written")
    try:
        said = _read(speaker)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        return Finding(path, CORRUPT, " ".join(str(error).split()))
    if said is None:
        return Finding(path, UNKNOWN, "it doesn't say how it was made")
    changed = list(_changes(said, job, contents))
    if changed:
        return Finding(path, STALE, "; ".join(changed))
    if path == speaker and intact is None:
        return Finding(path, UNKNOWN, "it carries no checksum")
    return Finding(path, CURRENT)


def _changes(said: dict[str, str], job: PlannedJob, contents: dict[str, str | None]) -> Iterator[str]:
    yield from _changes_of_spec(said["spec"], job.spec)
    (before, *old), (now, *new) = said["code"].split(), job.code.split()
    if before != now:
        yield "code"
    if sorted(old) != sorted(new):
        gone, come = sorted(set(old) - set(new)), sorted(set(new) - set(old))
        yield f"versions: {', '.join(gone) or 'none'} -> {', '.join(come) or 'none'}"
    yield from _changes_of_inputs(said["inputs"], job, contents)


def _changes_of_spec(said: str, planned: str) -> Iterator[str]:
    if said.startswith("{"):
        before, now = _flat(_told(said)), _flat(json.loads(planned))
        keys = [key for key in {**before, **now} if before.get(key, ...) != now.get(key, ...)]
        if keys:
            yield f"spec: {', '.join(keys)}"
    elif said != short_hash(json.loads(planned)):
        yield "spec"


def _told(said: str) -> dict[str, Any]:
    """What a file says as JSON; nothing where that is broken."""
    try:
        return dict(json.loads(said))
    except ValueError:
        return {}


def _changes_of_inputs(said: str, job: PlannedJob, contents: dict[str, str | None]) -> Iterator[str]:
    now = {path: _content(path, contents) for path in job.inputs}
    if said.startswith("{"):
        before = _told(said)
        paths = [path for path in {**before, **now} if before.get(path) != now.get(path)]
        if paths:
            yield f"inputs: {', '.join(paths)}"
    elif said != short_hash(now):
        yield "inputs"


def _content(path: str, contents: dict[str, str | None]) -> str | None:
    """What a file says of its content, read once; None where it can't be read."""
    if path not in contents:
        try:
            contents[path] = recorded_content(path)
        except (OSError, SafetensorError):
            contents[path] = None
    return contents[path]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested keys as ``training.lr``; lists whole."""
    if not isinstance(value, dict):
        return {key: value}
    inner = [_flat(one, f"{key}.{name}" if key else name) for name, one in value.items()]
    return {name: one for part in inner for name, one in part.items()}


# What files say of their making, and whether they are whole.


def _of_hdf5(path: str) -> Attributes:
    with h5py.File(path, "r") as file:
        return {name: str(file.attrs[name]) for name in SAID if name in file.attrs}


def _of_safetensors(path: str) -> Attributes:
    try:
        with safe_open(path, "np") as file:
            return {name: text for name, text in (file.metadata() or {}).items() if name in SAID}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _of_pdf(path: str) -> Attributes:
    content = Path(path).read_bytes()
    if not content.rstrip().endswith(b"%%EOF"):
        raise ValueError("it is cut off")
    found = re.search(rb"/Keywords \(([^)]*)\)", content)
    parts = [part.partition(" ") for part in found[1].decode().split(", ")] if found else []
    return {name: text for name, _, text in parts if name in SAID}


def _of_atlas(path: str) -> Attributes:
    check_site(path)
    return {name: str(text) for name, text in read_header(path).items() if name in SAID}


def _of_card(path: str) -> Attributes:
    text = Path(path).read_text(encoding="utf-8")
    return {name: str(one) for name, one in header_of(text).items() if name in SAID}


_READERS: dict[str, Callable[[str], Attributes]] = {
    ".h5": _of_hdf5,
    ".nc": _of_hdf5,
    ".safetensors": _of_safetensors,
    ".pdf": _of_pdf,
    ".html": _of_atlas,
    ".md": _of_card,
}


def _read(path: str) -> Attributes | None:
    if Path(path).suffix not in _READERS:
        return None
    said = _READERS[Path(path).suffix](path)
    return said if set(said) == set(SAID) else None
