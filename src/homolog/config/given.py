"""Which dictionaries that others trained stand beside our own, and where?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from homolog.config.base import FilePath, Grid
from homolog.config.methods import DecompositionOptions
from homolog.config.models import filled


class GivenOptions(DecompositionOptions):
    """Dictionaries of external models, read from disk: folders of sae-lens, sparsify, dictionary_learning; arrays."""

    method: Literal["given"]
    """The method."""
    path: Grid[FilePath] | None = None
    """A file or folder, in which {model}, {seed} and {hook_point} are filled in; a list of them are refits of one run,
    of which the ceiling is made."""
    by_run: dict[str, FilePath] | None = None
    """In place of `path`, a path for each run by its name, such as mine/seed_0; {hook_point} is filled in."""
    gauge: Literal["none"] = "none"
    """Activations are read as they are."""

    def paths(self, model: str, seed: int, hook_point: str) -> list[str]:
        """Where the dictionaries of a run are. Raises ValueError for a run that isn't there."""
        if self.by_run is None:
            given = self.path if isinstance(self.path, list) else [self.path or ""]
        elif f"{model}/seed_{seed}" in self.by_run:
            given = [self.by_run[f"{model}/seed_{seed}"]]
        else:
            raise ValueError(f"no path for {model}/seed_{seed}; there are paths for {', '.join(self.by_run)}.")
        return [filled(path, model=model, seed=seed, hook_point=hook_point) for path in given]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if (self.path is None) == (self.by_run is None):
            seen = "missing, and so is by_run" if self.path is None else "given, beside by_run"
            yield "path", f"{seen}; allowed: exactly one of them; {'add' if self.path is None else 'leave out'} one"

    def most_latents(self, width: Callable[[str], int], hook_point: str, samples: int) -> tuple[int, str] | None:
        return None
