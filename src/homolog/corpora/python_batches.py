"""Batches from a function of the user's: ``package.module:function`` gives dicts of tensors by keyword."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from homolog.corpora.arrays import Arrays
from homolog.corpora.gathered import gathered
from homolog.loading import load


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
        try:
            function = load(self.function)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{name} can't be imported ({error}): give package.module:function, in a folder on PYTHONPATH."
            ) from error
        batches = function(**self.arguments)
        if not isinstance(batches, Iterable):
            raise ValueError(f"{name} gave {type(batches).__name__}, but an iterable of dicts of tensors is needed.")
        return Arrays(gathered(batches, name), name, self.test_fraction, self.positions)
