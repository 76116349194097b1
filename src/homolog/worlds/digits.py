"""What does a real layer give, of which nobody knows the features: a small network's hidden activations on digits?"""

from __future__ import annotations

from typing import Any

import torch

from homolog.models.mlp import MLP
from homolog.store.saved_state import SavedState
from homolog.tasks.base import TEST, TRAIN
from homolog.tasks.digits import Digits
from homolog.training import optimise
from homolog.worlds.base import Drawn, World

LAYER = "hidden_1"


def digits(options: dict[str, Any], generator: torch.Generator) -> World:
    """Activations at the second of three hidden layers of a network that is trained here on scikit-learn's digits.

    Each unit is scaled by the norm of its outgoing weights, which fixes what ReLU leaves free. Rows are those of
    images: of the 1,297 that the network learned from to fit, of the 500 others to measure; all of them, in random
    order, where more are asked for. No feature is known.
    """
    data = Digits().data()
    network = MLP(data.inputs.shape[1], data.n_classes, [48, options["units"], 48])
    network.initialise(generator)
    names = {name for name, _ in network.named_parameters()}
    training = {"steps": options["steps"], "batch_size": 128, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2}
    run = ("digits world", int(torch.randint(2**31, (), generator=generator)))
    optimise(network, names, training | {"log_every": options["steps"]}, data, run, iter, SavedState(None, []))
    seen = _layer(network, data.inputs)

    def rows_of(split: int) -> Any:
        numbers = data.rows(split)

        def draw(rows: int, own: torch.Generator) -> Drawn:
            chosen = numbers[torch.randperm(len(numbers), generator=own)[:rows]]
            return Drawn(seen[chosen], torch.empty(len(chosen), 0))

        return draw

    return World(torch.empty(0, options["units"]), rows_of(TRAIN), 0.0, held_out=rows_of(TEST))


@torch.no_grad()
def _layer(network: MLP, inputs: torch.Tensor) -> torch.Tensor:
    hidden = inputs
    for name in network.order[: network.order.index(LAYER) + 1]:
        hidden = network.get_submodule(name)(hidden)
    write_out = network.write_out(LAYER)
    scaled: torch.Tensor = hidden if write_out is None else hidden * write_out.norm(dim=0)
    return scaled
