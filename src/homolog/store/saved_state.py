"""How does a training that was stopped go on, to the same bits? All that it changes is saved beside its output."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

SECONDS = 60.0
IDENTITY = "identity"

log = logging.getLogger(__name__)


class SavedState:
    """Arrays that are written every `SECONDS`, whole or not at all; nothing where `path` is None.

    They are taken up only by a training of equal `identity` (whatever JSON can say of it): code, options, data.
    """

    def __init__(self, path: Path | None, identity: Any) -> None:
        self.path, self.saved_at = path, time.monotonic()
        self.identity = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def read(self) -> dict[str, Tensor]:
        """What was saved of the same training; nothing where there is none, or the file is another one or unfit."""
        if self.path is None or not self.path.is_file():
            return {}
        from safetensors import SafetensorError, safe_open

        from homolog.store.checksums import is_intact

        try:
            with safe_open(self.path, "pt") as file:
                if (file.metadata() or {}).get(IDENTITY) != self.identity or not is_intact(self.path):
                    return {}
                found = {name: file.get_tensor(name) for name in file.offset_keys()}
        except SafetensorError:
            return {}
        log.info("goes on from a saved state")
        return found

    def between(self, steps: Iterable[int], arrays: Callable[[], dict[str, Tensor]]) -> Iterator[int]:
        """The same steps; between two of them, when it is time, `arrays` are saved.

        They are saved at once where `steps` break off, by which a job is stopped.
        """
        iterator = iter(steps)
        while True:
            try:
                step = next(iterator)
            except StopIteration:
                return
            except BaseException:
                self._write(arrays())
                raise
            yield step
            if time.monotonic() - self.saved_at >= SECONDS:
                self._write(arrays())

    def _write(self, arrays: dict[str, Tensor]) -> None:
        if self.path is None:
            return
        from safetensors.torch import save_file

        from homolog.store.checksums import ATTRIBUTE, UNSEALED
        from homolog.store.files import atomic

        whole = {name: array.detach().contiguous().cpu() for name, array in arrays.items()}
        with atomic(self.path) as temporary:
            save_file(whole, temporary, {IDENTITY: self.identity, ATTRIBUTE: UNSEALED})
        self.saved_at = time.monotonic()
        log.info("saved its state")

    def remove(self) -> None:
        """Training is done: the state is of no more use."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
