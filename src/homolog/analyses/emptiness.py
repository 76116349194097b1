"""How much of a layer can be ablated in vain, beyond what holds little variance, and is it left for later layers?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.alignment.nulls import haar_rotation
from homolog.alignment.views.base import OF_STREAMS
from homolog.streams import stream
from homolog.toys.arrangement import is_empty

TITLES = {
    "dimensions": "dimensions with any variance",
    "empty": "directions that can be ablated one by one",
    "together": "cost of ablating all these at once, of the layer's worth",
    "cheaper": "that cost, less than of random subspaces of equal variance",
    "variance": "their share of the variance",
    "written": "their share of the variance that is written later",
    "more_written": "that share, more than of random subspaces of equal variance",
}
# Powers of the eigenvalues between which a subspace of a given variance is looked for; beyond, weights underflow.
STEEPEST, HALVINGS = 30.0, 50


def with_variance(layer: Layer) -> tuple[Float[Tensor, " dims"], Float[Tensor, "units dims"]]:
    """Eigenvalues and eigenvectors of the layer's covariance, where there is any variance."""
    values, vectors = layer.spectrum.values.cpu(), layer.spectrum.vectors.cpu()
    kept = values > 1e-10 * values[0]
    return values[kept], vectors[:, kept]


def emptiness(layer: Layer, last: Layer, draws: int) -> dict[str, float]:
    """`TITLES` of one run's layer: principal directions are chosen one by one, and told of other inputs.

    Beside ``together``, ``variance`` and ``written``: as many random orthonormal directions (`_null`), principal ones
    of least variance (`_least`), random ones that hold the same variance at once (`_equal`). ``written`` and
    ``more_written`` are known in streams alone, which all sites share, and not at the last.
    """
    values, vectors = with_variance(layer)
    axes = vectors.T.to(layer.covariance)
    rows, loss = _of_fold(layer, "match")
    free = axes[is_empty(rows, axes, loss).to(axes.device)]
    told, _ = _of_fold(layer, "score")
    inside = (told - told.mean(0)) @ axes.T
    found = {"dimensions": float(len(axes)), "empty": float(len(free)), **_together(layer, last, free)}
    drawn: dict[str, list[dict[str, float]]] = {"null": [], "equal": []}
    for draw in range(draws):
        generator = stream("arrangement", "empty", layer.run, layer.hook_point, draw)
        turned = haar_rotation(len(axes), generator).to(axes)[: len(free)]
        drawn["null"].append(_together(layer, last, turned @ axes))
        covariance = inside.T @ inside / len(inside)
        equal = of_equal_variance(values, covariance.cpu(), len(free), found["variance"], generator).to(axes)
        drawn["equal"].append(_together(layer, last, equal @ axes))
    drawn["least"] = [_together(layer, last, axes[len(axes) - len(free) :])]
    for kind, numbers in drawn.items():
        found |= {f"{name}_{kind}": float(np.mean([row[name] for row in numbers])) for name in numbers[0]}
    found["cheaper"] = found["together_equal"] - found["together"]
    if "written" in found:
        found["more_written"] = found["written"] - found["written_equal"]
    return found


def of_equal_variance(
    values: Float[Tensor, " dims"],
    covariance: Float[Tensor, "dims dims"],
    count: int,
    share: float,
    generator: torch.Generator,
) -> Float[Tensor, "count dims"]:
    """So many random orthonormal directions that hold a share of the variance together.

    The others span a Gaussian matrix whose rows are weighted by a power of `values`, the eigenvalues of the principal
    axes in which `covariance` stands; the power that gives the share is found by halving. As near as it gets, where a
    share is out of reach.
    """
    dims = len(values)
    if not 0 < count < dims:
        return torch.eye(dims, dtype=covariance.dtype)[:count]
    gaussian = torch.randn(dims, dims, generator=generator, dtype=covariance.dtype)
    logs, low, high = values.log(), -STEEPEST, STEEPEST
    for _ in range(HALVINGS):
        power = (low + high) / 2
        weights = (power * logs - (power * logs).max()).exp()
        basis = torch.linalg.qr(torch.cat([weights[:, None] * gaussian[:, : dims - count], gaussian[:, :count]], 1)).Q
        kept = basis[:, dims - count :]
        held = float((kept.T @ covariance @ kept).trace() / covariance.trace())
        low, high = (power, high) if held > share else (low, power)
    found: Tensor = kept.T
    return found


def _of_fold(layer: Layer, fold: str) -> tuple[Tensor, Callable[[Tensor], float]]:
    """The rows of a fold that the network has around, and their mean loss when other activations take their place."""
    rest = layer.rest[fold]

    def loss(rows: Tensor) -> float:
        return float(rest.losses(rest.replaced(rows)[None]).mean())

    return layer.activations[fold][: rest.rows], loss


def _together(layer: Layer, last: Layer, axes: Float[Tensor, "axes units"]) -> dict[str, float]:
    """What orthonormal axes cost when all are put at their mean, over what the layer is worth, and what they hold."""
    rows, loss = _of_fold(layer, "score")
    centred = rows - rows.mean(0)
    own, without = loss(rows), loss(rows.mean(0).expand_as(rows))
    cost = (loss(rows - centred @ axes.T @ axes) - own) / (without - own)
    found = {"together": cost, "variance": _share(centred, axes)}
    if layer.symmetry in OF_STREAMS and layer.hook_point != last.hook_point:
        # Both layers' gauges are taken back: the stream has one basis.
        after = last.gauge.undo(last.activations["score"]) - layer.gauge.undo(layer.activations["score"])
        found["written"] = _share(after - after.mean(0), layer.gauge.undo(axes))
    return found


def _share(rows: Float[Tensor, "rows units"], axes: Float[Tensor, "axes units"]) -> float:
    return float((rows @ axes.T).square().sum() / rows.square().sum())
