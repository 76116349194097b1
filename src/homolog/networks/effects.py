"""By how much do the logits of a network from outside change when something is added at one place of one input?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.networks.learning import logits_of, on_device
from homolog.networks.places import as_places, laid_out_as
from homolog.networks.replacing import Replacement, Replacing
from homolog.networks.splicing import Opened


class Changes:
    """A network's logits under changes at single places of its inputs: each in a copy of the input of its own.

    `positions` are the places of an input, `classes` the logits of each.

    Rows are named by their `input_id`, as in activation files. The whole network runs on each copy, beside the input as
    it is, so that whatever passes the hook point by, or is read by other places, is as it would be.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.positions = 0

        def count(value: Tensor) -> Tensor:
            # The network makes them where an input is one row to the corpus: patches, or places of a map.
            self.positions = as_places(value, 1, opened.corpus.positions, opened.point).shape[1]
            return value

        self.classes = self._run(torch.zeros(1, dtype=torch.int64), count).shape[-1]
        self.inputs_at_once = max(1, opened.positions_at_once // self.positions)

    @torch.no_grad()
    def of(
        self, input_id: Int[Tensor, " rows"], steps: Float[Tensor, "rows kinds units"]
    ) -> Float[Tensor, "rows kinds classes"]:
        """Centred logits (float64, on the CPU) with each of several `steps` added at a row's place, less those without.

        `steps` are in the network's own units. Logits of an output (input, position, class) are those at the row's
        place, of an output (input, class) those of its input. About ``inputs_at_once`` copies run together. Raises
        ValueError for an output of another shape, and without logits.
        """
        kinds = steps.shape[1]
        at_once = max(1, self.inputs_at_once // (1 + kinds))
        parts = zip(torch.split(input_id, at_once), torch.split(steps, at_once), strict=True)
        return torch.cat([self._of_part(*part) for part in parts])

    def _of_part(self, input_id: Tensor, steps: Tensor) -> Tensor:
        (rows, kinds, _), inputs = steps.shape, input_id // self.positions
        plain, which = inputs.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        copies = torch.cat([plain, inputs.repeat_interleave(kinds)])
        copy = len(plain) + torch.arange(rows * kinds)
        place = input_id % self.positions

        def add(value: Tensor) -> Tensor:
            places = as_places(value, len(copies), self._opened.corpus.positions, self._opened.point).clone()
            places[copy, place.repeat_interleave(kinds)] += steps.flatten(0, 1).to(places)
            return laid_out_as(value, places, self._opened.corpus.positions)

        logits = self._run(copies, add)
        if logits.dim() == 3 and logits.shape[:2] == (len(copies), self.positions):
            before, after = logits[which, place], logits[copy, place.repeat_interleave(kinds)]
        elif logits.dim() == 2 and len(logits) == len(copies):
            before, after = logits[which], logits[copy]
        else:
            raise ValueError(
                f"{self._opened.network.name} gave logits of shape {tuple(logits.shape)} of {len(copies)} inputs; "
                f"allowed: (inputs, classes), or (inputs, {self.positions}, classes): let it return such."
            )
        change = _centred(after).reshape(rows, kinds, -1) - _centred(before)[:, None]
        return change.cpu()

    @torch.no_grad()
    def _run(self, inputs: Int[Tensor, " inputs"], replacement: Replacement) -> Tensor:
        opened = self._opened
        batch = on_device(opened.corpus.batches(inputs), opened.device)
        with Replacing(opened.network.module, opened.point) as replacing:
            return logits_of(replacing.run(lambda: opened.network(batch), replacement))


def _centred(logits: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows classes"]:
    return logits.double() - logits.double().mean(-1, keepdim=True)
