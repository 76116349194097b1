"""What do the trials of worlds give, put together by world, decomposition and replicate?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from homolog.worlds.trials import Spec, Trial

Values = dict[str, tuple[tuple[str, ...], np.ndarray]]


@dataclass
class ByTrial:
    """Numbers, and arrays of them, filled in trial by trial; NaN where there are none.

    `labels` are those of the columns: every decomposition at each of its grid points, and what stands beside these.
    `by_column` holds arrays (world, column, replicate, ...), `whole` those (world, replicate, ...) of whole trials.
    """

    spec: Spec
    labels: list[str]
    by_column: dict[str, np.ndarray] = field(default_factory=dict)
    whole: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: Spec, beside: Sequence[str] = ()) -> ByTrial:
        """For the decompositions of an analysis, then what is `beside` them."""
        return cls(spec, [*(label for one in spec["decompositions"] for label in one["labels"]), *beside])

    def put(self, trial: Trial, numbers: Mapping[str, Any], column: int | None = None) -> None:
        """What is found of one trial: of one column, or of it as a whole."""
        worlds, replicates = len(self.spec["worlds"]), self.spec["options"]["replicates"]
        place: tuple[int, ...] = (self.spec["worlds"].index(trial.spec), trial.replicate)
        shape: tuple[int, ...] = (worlds, replicates)
        if column is not None:
            place, shape = (place[0], column, place[1]), (worlds, len(self.labels), replicates)
        arrays = self.whole if column is None else self.by_column
        for name, value in numbers.items():
            arrays.setdefault(name, np.full((*shape, *np.shape(value)), np.nan))[place] = value

    def values(self, along: Mapping[str, Sequence[str]] | None = None, column: str = "decomposition") -> Values:
        """All arrays with the names of their dims; `along` names the further ones of a variable."""
        dims: dict[str, tuple[str, ...]] = dict.fromkeys(self.whole, ("world", "replicate"))
        dims |= dict.fromkeys(self.by_column, ("world", column, "replicate"))
        rest = along or {}
        return {name: ((*dims[name], *rest.get(name, ())), one) for name, one in (self.by_column | self.whole).items()}


def with_first_column(decompositions: Sequence[Spec]) -> Iterator[tuple[int, Spec]]:
    """Decompositions, each with the number of the column of its first grid point."""
    first = 0
    for one in decompositions:
        yield first, one
        first += len(one["grid"])
