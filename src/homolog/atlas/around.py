"""What are a latent's codes on the whole of an input that shows it: tokens of a sequence, places of a picture?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from homolog.atlas.activity import ActiveCodes


@dataclass(frozen=True)
class Around:
    """Codes that aren't 0 on the places of inputs, one input behind the other.

    Those of the input that the `shown`-th row of a latent belongs to stand from `start[latent, shown]` to `stop`.
    """

    start: Int[np.ndarray, "latents shown"]
    stop: Int[np.ndarray, "latents shown"]
    place: Int[np.ndarray, " codes"]
    code: Float[np.ndarray, " codes"]

    def of(self, latent: int, shown: int) -> tuple[Int[np.ndarray, " codes"], Float[np.ndarray, " codes"]]:
        """The places of one input on which a latent is active, ascending, and its codes there."""
        here = slice(self.start[latent, shown], self.stop[latent, shown])
        return self.place[here], self.code[here]


def codes_around(
    codes: ActiveCodes,
    row: Int[np.ndarray, "latents shown"],
    unit: Int[np.ndarray, " samples"],
    place: Int[np.ndarray, " samples"],
) -> Around:
    """Of the inputs to which given rows of each latent belong (-1: none), in one reading of all codes.

    `unit` says to which input each row belongs, `place` which of its places it is.
    """
    units = int(unit.max(initial=0)) + 1
    latent = np.arange(len(row))[:, None]
    # An input of a latent as one number; what isn't there gets one that no row has.
    wanted = np.where(row >= 0, latent * units + unit[row], codes.latents * units)
    known, which = np.unique(wanted, return_inverse=True)
    parts = [np.empty((2, 0), np.int64)]
    values = [np.empty(0, np.float32)]
    for block in codes:
        seen = block.latent * units + unit[block.row]
        at = np.searchsorted(known, seen)
        here = known[np.minimum(at, len(known) - 1)] == seen
        parts.append(np.stack([at[here], place[block.row[here]]]))
        values.append(block.code[here])
    at, places = np.concatenate(parts, axis=1)
    order = np.lexsort((places, at))
    ends = np.searchsorted(at[order], [np.arange(len(known)), np.arange(len(known)) + 1])
    start, stop = ends[:, which.reshape(row.shape)]
    return Around(start, stop, places[order], np.concatenate(values)[order])
