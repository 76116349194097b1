"""Do features share dimensions in orthogonal groups or all together, and are dimensions left empty?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.analyses.replicates import over_replicates
from homolog.streams import stream
from homolog.toys.arrangement import arranged, is_empty, welch_bound
from homolog.toys.bottleneck import REPRESENTED, Bottlenecks, sample, turned_at_random
from homolog.toys.training import Parameters

HELD_OUT = 1024
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Found = dict[str, float]


def arrangement(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train toy models of several numbers of features and sparsities, and say how each arranges its features.

    Variables by ``features`` and ``sparsity``, means over replicates with bounds: ``represented``, ``groups``
    (components of the Gram graph), ``in_factors`` (share of features in groups that pass the integer test), ``rms``,
    ``largest_positive`` and ``largest`` (cosines), ``empty`` (directions that can be ablated). Their null is the same
    norms in random directions; ``welch`` is the least rms.
    """
    options = spec["options"]
    keys = ("features", "sparsity", "replicate")
    cells = [_models(options, count, progress) for count in options["features"]]
    names = cells[0][0][0]
    values = {
        name: (keys, np.array([[[one[name] for one in row] for row in cell] for cell in cells])) for name in names
    }
    dataset = over_replicates(values, {"features": options["features"], "sparsity": options["sparsities"]}, TITLES)
    facts = {name: options[name] for name in ("units", "replicates", "steps")}
    return dataset.assign_attrs(experiment=spec["experiment"], **facts)


TITLES = {
    "represented": "features with a weight of their own",
    "groups": "groups orthogonal to each other",
    "in_factors": "share of features in tegum factors",
    "rms": "root mean square of cosines",
    "largest_positive": "largest positive cosine",
    "largest": "largest absolute cosine",
    "empty": "directions that can be ablated",
    "welch": "Welch bound of the root mean square",
}


def _models(options: dict[str, Any], features: int, progress: Progress) -> list[list[Found]]:
    """Numbers of each model: by sparsity, then replicate."""
    training = {name: options[name] for name in ("units", "steps", "lr", "batch_size")}
    models = Bottlenecks(options["sparsities"], options["replicates"], torch.ones(features), **training)
    trained, _ = models.train("arrangement", str(features), progress=progress)
    turned = turned_at_random(trained["weight"], stream("arrangement", features, "null"))
    draws = stream("arrangement", features, "held out")
    found = []
    for place, sparsity in enumerate(options["sparsities"]):
        inputs = sample(torch.tensor([sparsity]), HELD_OUT, features, draws)[0]
        own = [{name: one[place, i] for name, one in trained.items()} for i in range(options["replicates"])]
        found.append([_told(one, turned[place, i], inputs) for i, one in enumerate(own)])
    return found


def _told(model: Parameters, turned: Float[Tensor, "features units"], inputs: Float[Tensor, "rows features"]) -> Found:
    weight = model["weight"]
    held = (weight**2).sum(1) > REPRESENTED
    null = arranged(turned[held])
    return {
        "represented": float(held.sum()),
        **arranged(weight[held]),
        **{f"{name}_null": value for name, value in null.items()},
        "empty": empty_directions(model, inputs),
        "welch": welch_bound(int(held.sum()), weight.shape[1]),
    }


def empty_directions(model: Parameters, inputs: Float[Tensor, "rows features"]) -> float:
    """How many principal directions of the hidden layer can be set to their mean, one by one, at almost no cost.

    Cost is told over what the model is worth: the loss with the whole layer at its mean, less its own.
    """
    hidden = inputs @ model["weight"]
    axes = torch.linalg.svd(hidden - hidden.mean(0), full_matrices=True).Vh

    def loss(kept: Float[Tensor, "rows units"]) -> float:
        given = (kept @ model["weight"].mT + model["bias"]).relu()
        return float(((given - inputs) ** 2).sum(1).mean())

    return float(is_empty(hidden, axes, loss).sum())
