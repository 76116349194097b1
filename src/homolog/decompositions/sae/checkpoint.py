"""How does training that was killed go on, to the same bits: all that it changes, saved at times beside its output."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.sae.base import Stack

SECONDS = 60.0


class Checkpoint:
    """Saves the state of all stacks every `SECONDS`, whole or not at all; nothing where `path` is None.

    It is taken up only by the same members on the same activations and with the same `fingerprint` of code and
    options. The order of rows needs no saving: it depends on keys and step alone.
    """

    def __init__(self, path: Path | None, fingerprint: str, members: list[Member]) -> None:
        self.path, self.saved_at = path, time.monotonic()
        device = members[0].activations.device.type
        identity = [
            fingerprint,
            torch.__version__,
            device,
            *([*m.key, m.seed, m.rows, m.options, m.activations.samples] for m in members),
        ]
        sums = [[m.activations.sum_of_squares, *m.activations.mean.tolist()] for m in members] if path else []
        self.identity = sha256(json.dumps([identity, sums], sort_keys=True).encode()).hexdigest()

    def save(self, stacks: list[Stack]) -> None:
        """Write the state if it is time."""
        if self.path is None or time.monotonic() - self.saved_at < SECONDS:
            return
        from safetensors.torch import save_file

        from homolog.store.files import atomic

        arrays: dict[str, Tensor] = {}
        for i, stack in enumerate(stacks):
            named = stack.arrays() | {"step": torch.tensor(stack.step)}
            arrays |= {f"{i}.{name}": array.detach().contiguous().cpu() for name, array in named.items()}
        with atomic(self.path) as temporary:
            save_file(arrays, temporary, {"identity": self.identity})
        self.saved_at = time.monotonic()

    def restore(self, stacks: list[Stack]) -> None:
        """Put a saved state of the same training into `stacks`; a file of another one, or unfit, is left out."""
        if self.path is None or not self.path.is_file():
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                if (file.metadata() or {}).get("identity") != self.identity:
                    return
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:
            return
        for i, stack in enumerate(stacks):
            mine = {name.partition(".")[2]: array for name, array in held.items() if name.partition(".")[0] == str(i)}
            stack.step = int(mine.pop("step"))
            for name, array in mine.items():
                if name.startswith("curve."):
                    stack.curves[name.removeprefix("curve.")] = array
                elif name.startswith("memory."):
                    key = name.removeprefix("memory.")
                    stack.memory[key] = array.to(stack.memory[key])
                else:
                    stack.arrays()[name].copy_(array)

    def remove(self) -> None:
        """Training is done: the state is of no more use."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
