"""How does a bottleneck arrange more features than it has units, as they become sparser or differ in importance?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.analyses.replicates import over_replicates
from homolog.streams import stream
from homolog.toys.bottleneck import POLYTOPES, REPRESENTED, Bottlenecks, dimensionality, start, turned_at_random
from homolog.toys.phases import exact_losses, phase_losses, sharing_begins
from homolog.toys.training import train_members

# The small models of Elhage et al. (2022): five features in two units, with importances 0.9^i; twenty in five, with
# 0.7^i.
FEW, FEW_SPARSITIES, FEW_STARTS = 0.9 ** torch.arange(5), (0.0, 0.8, 0.9), 8
RANKED = 0.7 ** torch.arange(20)
# One start in two has both weights of one sign, and stays there: eight leave that to one in 256.
PHASE_STARTS, PHASE_STEPS = 8, 500
# From 4/7 on nothing is shared.
BELOW = torch.logspace(-2, math.log10(4 / 7), 12)
# How near to a polytope's dimensionality counts as at it.
NEAR = 0.02
BINS = np.linspace(0, 1, 26)
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Values = dict[str, tuple[tuple[str, ...], np.ndarray]]


def superposition(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train toy models over sparsities, all together, and say how many features each holds, and how.

    Variables by ``sparsity``: ``represented`` (features), ``per_dimension`` (|W|^2 / units), ``mean_dimensionality``
    (of represented features), ``at_polytope`` (share of them at a polytope's dimensionality), ``dimensionality``
    (shares, by ``bin``); their null is random weights (of the trained norms for what is said of directions). ``norm``
    by ``rank``: of features of importance 0.7^rank. ``few_...`` by ``few_sparsity``: five features in two units. By
    ``present`` and ``relative_importance``: squared norm and overlap of the second of two features in one unit, and
    whether its phase is that of the closed form, whose border is ``sharing_begins``.
    """
    options = spec["options"]
    values = _geometry(options, progress) | _ranked(options, progress) | _phases(options, progress)
    few, arrows = _few(options, progress)
    coords = {
        "sparsity": options["sparsities"],
        "bin": (BINS[:-1] + BINS[1:]) / 2,
        "rank": np.arange(len(RANKED)),
        "few_sparsity": list(FEW_SPARSITIES),
        "present": _cells(options)[0].numpy(),
        "relative_importance": _cells(options)[1].numpy(),
        "polytope": list(POLYTOPES),
        "below": BELOW.numpy(),
    }
    dataset = over_replicates(values | few, coords, TITLES)
    dataset["polytope_dimensionality"] = ("polytope", list(POLYTOPES.values()))
    dataset["sharing_begins"] = ("below", sharing_begins(BELOW).numpy())
    dataset["arrows"] = (("few_sparsity", "few", "unit"), arrows)
    facts = {name: options[name] for name in ("features", "units", "replicates", "steps")}
    return dataset.assign_attrs(experiment=spec["experiment"], **facts)


TITLES = {
    "represented": "features with a weight of their own",
    "per_dimension": "features per dimension, |W|^2 / units",
    "mean_dimensionality": "share of a dimension of each such feature",
    "at_polytope": f"share of such features within {NEAR} of a polytope's dimensionality",
    "dimensionality": "share of such features by dimensionality",
    "norm": "|W_i|^2 of the feature of importance 0.7^rank",
    "few_represented": "features of five that two units represent",
    "few_dimensionality": "their share of a dimension",
    "few_error": "largest deviation from a pentagon's 2/5",
    "second": "|W|^2 of the second feature",
    "overlap": "(W_1 . W_2 / |W_2|)^2 with the first",
    "as_derived": "phase as in closed form",
}


def _geometry(options: dict[str, Any], progress: Progress) -> Values:
    features, units, replicates = options["features"], options["units"], options["replicates"]
    weight, _ = _models(options, torch.ones(features), units, replicates, "geometry", progress)
    random = start(len(options["sparsities"]) * replicates, features, units, stream("superposition", "null"))["weight"]
    turned = turned_at_random(weight, stream("superposition", "turned"))
    null = _held(random.reshape(weight.shape)) | _arranged(turned, weight)
    found = _held(weight) | _arranged(weight, weight)
    return found | {f"{name}_null": one for name, one in null.items()}


def _models(
    options: dict[str, Any], importance: Tensor, units: int, replicates: int, name: str, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Weights (sparsity, replicate, feature, unit), and losses."""
    sparsities = FEW_SPARSITIES if name == "few" else options["sparsities"]
    training = {key: options[key] for key in ("steps", "lr", "batch_size")}
    models = Bottlenecks(sparsities, replicates, importance, units, **training)
    trained, losses = models.train("superposition", name, progress=progress)
    return trained["weight"], losses


def _held(weight: Float[Tensor, "sparsities replicates features units"]) -> Values:
    norms = (weight**2).sum(3)
    dims = ("sparsity", "replicate")
    return {
        "represented": (dims, (norms > REPRESENTED).sum(2).double().numpy()),
        "per_dimension": (dims, (norms.sum(2) / weight.shape[3]).numpy()),
    }


def _arranged(weight: Tensor, of: Tensor) -> Values:
    """What `weight` says of the features that `of` represents."""
    shares = torch.where((of**2).sum(3) > REPRESENTED, dimensionality(weight), torch.nan).numpy()
    held = (~np.isnan(shares)).sum(2)
    near = np.abs(shares[..., None] - np.array(list(POLYTOPES.values()))).min(-1) <= NEAR
    counts = np.stack([((shares > low) & (shares <= high)).sum(2) for low, high in pairwise(BINS)])
    dims = ("sparsity", "replicate")
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mean_dimensionality": (dims, np.nansum(shares, 2) / held),
            "at_polytope": (dims, near.sum(2) / held),
            "dimensionality": (("bin", *dims), counts / held),
        }


def _ranked(options: dict[str, Any], progress: Progress) -> Values:
    weight, _ = _models(options, RANKED, 5, options["replicates"], "ranked", progress)
    return {"norm": (("sparsity", "replicate", "rank"), (weight**2).sum(3).numpy())}


def _few(options: dict[str, Any], progress: Progress) -> tuple[Values, np.ndarray]:
    """Five features in two units, the best of eight starts a replicate; and the weights of the first replicate."""
    starts = options["replicates"] * FEW_STARTS
    weight, losses = _models(options, FEW, 2, starts, "few", progress)
    best = losses.reshape(-1, FEW_STARTS).argmin(1)
    weight = weight.reshape(len(best), FEW_STARTS, 5, 2)[torch.arange(len(best)), best]
    weight = weight.reshape(len(FEW_SPARSITIES), -1, 5, 2)
    held = _arranged(weight, weight)
    error = (dimensionality(weight) - 2 / 5).abs().amax(2).numpy()
    dims = ("few_sparsity", "replicate")
    found: Values = {
        "few_represented": (dims, _held(weight)["represented"][1]),
        "few_dimensionality": (dims, held["mean_dimensionality"][1]),
        "few_error": (dims, error),
    }
    return found, weight[:, 0].numpy()


def _phases(options: dict[str, Any], progress: Progress) -> Values:
    """Two features in one unit, the best of eight starts for each replicate, by exact losses."""
    axes = torch.meshgrid(*_cells(options), torch.ones(options["replicates"]), indexing="ij")[:2]
    cells = [axis.flatten().repeat_interleave(PHASE_STARTS) for axis in axes]
    begun = start(len(cells[0]), 2, 1, stream("superposition", "phases"))

    def losses(parameters: dict[str, Tensor], step: int) -> Tensor:
        return exact_losses(parameters, *cells) / cells[0] / (1 + cells[1])

    trained = train_members(begun, losses, PHASE_STEPS, 2e-2, progress=progress)
    best = losses(trained, 0).reshape(-1, PHASE_STARTS).argmin(1) + PHASE_STARTS * torch.arange(axes[0].numel())
    first, second = (trained["weight"][best, i, 0].reshape(axes[0].shape) for i in (0, 1))
    # One with less than half of the other's importance is let go: 0 ignored, 1 shared, 2 alone, as in `phase_losses`.
    phase = torch.where(second**2 < REPRESENTED / 2, 0, torch.where(first**2 < REPRESENTED / 2, 2, 1))
    derived = phase_losses(*axes).argmin(0)
    dims = ("present", "relative_importance", "replicate")
    overlap = torch.where(second**2 < REPRESENTED / 2, torch.nan, first**2)
    return {
        "second": (dims, (second**2).numpy()),
        "overlap": (dims, overlap.numpy()),
        "as_derived": (dims[2:], (phase == derived).double().mean((0, 1)).numpy()),
    }


def _cells(options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """How often features are there, and the second one's importance relative to the first."""
    return torch.logspace(-2, 0, options["cells"]), torch.logspace(-1, 1, options["cells"])
