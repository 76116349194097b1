"""Which state of several stacks is saved, so that a training that was stopped goes on to the same bits?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.store.saved_state import SavedState


class Checkpoint:
    """The state of all stacks, in the file that the recipe names.

    It is taken up only by the same members on the same activations and with the same fingerprint of code and options.
    The order of rows needs no saving: it depends on keys and step alone.
    """

    def __init__(self, recipe: SparseAutoencoder, members: list[Member], stacks: list[Stack]) -> None:
        self._stacks = stacks
        identity = [
            recipe.fingerprint,
            torch.__version__,
            members[0].activations.device.type,
            *([*m.key, m.seed, m.rows, m.options, m.activations.samples] for m in members),
        ]
        path = recipe.checkpoint
        sums = [[m.activations.sum_of_squares, *m.activations.mean.tolist()] for m in members] if path else []
        self._state = SavedState(path, [identity, sums])
        self.remove = self._state.remove

    def between(self, chunks: Iterable[int]) -> Iterator[int]:
        """The same chunks, between which the state is saved."""
        return self._state.between(chunks, self._arrays)

    def _arrays(self) -> dict[str, Tensor]:
        return {
            f"{i}.{name}": array
            for i, stack in enumerate(self._stacks)
            for name, array in (stack.arrays() | {"step": torch.tensor(stack.step)}).items()
        }

    def restore(self) -> None:
        """Put a saved state of the same training into the stacks."""
        held = self._state.read()
        for i, stack in enumerate(self._stacks if held else []):
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
