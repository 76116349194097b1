"""Batches from a function of the user's: ``package.module:function`` gives dicts of tensors by keyword."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from homolog.corpora.arrays import Arrays
from homolog.corpora.gathered import gathered
from homolog.loading import load_from_outside


@dataclass(frozen=True, kw_only=True)
class PythonBatches:
    """`function(**arguments)` is called once; its batches are kept in temporary files rather than in memory."""

    name: ClassVar[str] = "python"
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    positions: int | None = None
    test_fraction: float = 0.2

    def corpus(self) -> Arrays:
        """Raises ValueError for a function that isn't there, or gives batches that don't fit together."""
        name = f"python ({self.function})"
        return Arrays(gathered(self._batches(name), name), name, self.test_fraction, self.positions)

    def _batches(self, name: str) -> Iterator[Any]:
        function = load_from_outside(self.function)
        try:
            batches = function(**self.arguments)
            if not isinstance(batches, Iterable):
                raise TypeError(f"it gave {type(batches).__name__}, but an iterable of dicts of tensors is needed")
            yield from batches
        except Exception as error:  # whatever a user's function may raise
            raise ValueError(
                f"{name} failed: {type(error).__name__}: {error}: correct the function, or give all of its arguments."
            ) from error
