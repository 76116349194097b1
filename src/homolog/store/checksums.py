"""Is a file, byte by byte, what was written?"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

ATTRIBUTE = "checksum"
_MARK = b"homolog-sha256-"
# What the attribute is until its file is complete, and what is hashed in its place.
UNSEALED = _MARK.decode() + "0" * 32
_BLANK = UNSEALED.encode()
_BLOCK = 2**22


def seal(path: str | Path) -> None:
    """Write the hash of a whole file where it says `UNSEALED`, or carries an older hash; elsewhere change nothing."""
    with open(path, "r+b") as stream:
        digest, seals = _read(stream)
        for offset in seals:
            stream.seek(offset)
            stream.write(digest)
        stream.flush()
        # A machine that loses its power must not keep the new name and lose what stands in the file.
        os.fsync(stream.fileno())


def is_intact(path: str | Path) -> bool | None:
    """Whether a file's bytes are those that were sealed; None where it carries no checksum."""
    with open(path, "rb") as stream:
        digest, seals = _read(stream)
    return all(found == digest for found in seals.values()) if seals else None


def check_intact(path: str | Path) -> None:
    """Raise ValueError when a file isn't what was sealed; one that carries no checksum is left to whoever reads it."""
    if is_intact(path) is False:
        raise ValueError(
            f"{path} isn't what was written: a part of it is missing or has changed; delete it and build it again with "
            f"`snakemake {path}`, or, if you changed it on purpose, say so by `python -m homolog seal {path}`."
        )


def _read(stream: BinaryIO) -> tuple[bytes, dict[int, bytes]]:
    """The hash of all bytes, with every checksum in them left blank; and the checksums that stand there, by offset."""
    hashed, seals, offset, kept = hashlib.sha256(), dict[int, bytes](), 0, 0
    block = min(_BLOCK, os.fstat(stream.fileno()).st_size)
    room = bytearray(block + len(_BLANK))
    view = memoryview(room)
    # In the place of `kept` bytes from before, in which a checksum may have begun, a block comes behind them.
    while got := stream.readinto(view[kept : kept + block]):  # type: ignore[attr-defined]
        done, end = 0, kept + got
        while 0 <= (at := room.find(_MARK, done, end)) <= end - len(_BLANK):
            done = at + len(_BLANK)
            seals[offset + at] = bytes(view[at:done])
            view[at:done] = _BLANK
        done = max(done, end - len(_BLANK) + 1)
        hashed.update(view[:done])
        kept, offset = end - done, offset + done
        view[:kept] = bytes(view[done:end])
    hashed.update(view[:kept])
    return _MARK + hashed.hexdigest()[:32].encode(), seals
