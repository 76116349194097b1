"""Do activations fall off exponentially, by neuron and by latent, where random directions of the same layer don't?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from homolog.analyses.replicates import over_replicates
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.loading import load
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN, Data
from homolog.toys.few_samples import classifier_hidden, classifier_outputs, classifier_start
from homolog.toys.tails import FEWEST, accepted, falls, tail_of
from homolog.toys.training import Parameters, Progress, cross_entropies, train_members

KINDS = ("neurons", "random directions", "neurons before training", "exponential", "half-normal")
"""The last two are planted."""
TITLES = {
    "exponential": "share of units that are exponential: not rejected, and half-normal is",
    "half_normal": "share of units that are half-normal: not rejected, and exponential is",
    "neither": "share of units that are neither: both are rejected",
    "open": "share of units of which neither is rejected",
    "untested": "share of units with too few active rows",
    "exponent": "median exponent b of exp(-(y/a)^b)",
    "vuong": "share of units that Vuong's test calls exponential rather than half-normal",
    "vuong_against": "share of units that it calls half-normal rather than exponential",
    "numbers": "median number of rows in a tail",
    "accuracy": "accuracy on held-out images",
}
SHARES = ("exponential", "half_normal", "neither", "open", "untested", "vuong", "vuong_against", "accuracy")
Numbers = dict[str, float]
TASKS = {"digits": "homolog.tasks.digits:Digits", "fashion_mnist": "homolog.tasks.fashion_mnist:FashionMNIST"}
# Means of a tail at which figures draw how much of it lies above.
LEVELS = np.linspace(0, 5, 26)


def tails(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train classifiers together, and test the upper tails of what their hidden layer does on held-out images.

    Variables `TITLES` by ``kind`` (`KINDS` and every decomposition, fitted to the training images) and ``share`` (of
    the rows that a tail holds), means over networks with bounds; ``accuracy`` of each network. ``survival`` by kind and
    ``level``: log of the share of a tail above so many of its means, a mean over units (a line for an exponential).
    """
    options = spec["options"]
    data = load(TASKS[options["task"]])().data()
    trained, begun = _networks(options, data, progress)
    held_out = data.rows(TEST)[: options["rows"]]
    inputs = data.inputs[held_out].expand(options["replicates"], -1, -1)
    hidden, before = (classifier_hidden(one, inputs) for one in (trained, begun))
    seen = classifier_hidden(
        trained, data.inputs[data.rows(TRAIN)[: options["rows"]]].expand(options["replicates"], -1, -1)
    )
    kinds = _kinds(hidden, before) | _codes(spec, seen, hidden)
    shape = (len(kinds), len(options["shares"]), options["replicates"])
    found = {name: np.full(shape, np.nan) for name in TITLES if name != "accuracy"}
    survival = np.full((len(kinds), len(LEVELS), options["replicates"]), np.nan)
    for row, values in enumerate(kinds.values()):
        for replicate, own in enumerate(values):
            survival[row, :, replicate] = _survival(own, options["shares"][0])
            for column, share in enumerate(options["shares"]):
                for name, value in verdicts(own, share, options["level"]).items():
                    found[name][row, column, replicate] = value
    arrays: dict[str, Any] = {name: (("kind", "share", "replicate"), array) for name, array in found.items()}
    right = (classifier_outputs(trained, inputs).argmax(2) == data.labels[held_out]).double().mean(1)
    arrays |= {"survival": (("kind", "level", "replicate"), survival), "accuracy": (("replicate",), right.numpy())}
    coords = {"kind": list(kinds), "share": options["shares"], "level": LEVELS}
    facts = {name: options[name] for name in ("task", "units", "replicates", "steps")} | {"alpha": options["level"]}
    return over_replicates(arrays, coords, TITLES, SHARES).assign_attrs(
        experiment=spec["experiment"], test_rows=len(held_out), **facts
    )


def verdicts(values: Float[Tensor, "rows columns"], share: float, level: float) -> Numbers:
    """What the tests say of the columns together; false discoveries are controlled over them, test by test."""
    fitted = falls(*tail_of(values, share))
    known = ~np.isnan(fitted.exponent.numpy())
    exponential, half = (accepted(p.numpy(), level) for p in (fitted.p_exponential, fitted.p_half_normal))
    vuong = fitted.vuong.numpy()
    clear = ~accepted(2 * stats.norm.sf(np.abs(vuong)), level) & known
    some = max(1, int(known.sum()))
    return {
        "exponential": float((exponential & ~half & known).sum()) / some,
        "half_normal": float((half & ~exponential & known).sum()) / some,
        "neither": float((~exponential & ~half & known).sum()) / some,
        "open": float((exponential & half).sum()) / some,
        "untested": float((~known).mean()),
        "exponent": float(fitted.exponent[torch.from_numpy(known)].median()) if known.any() else float("nan"),
        "vuong": float((clear & (vuong > 0)).sum()) / some,
        "vuong_against": float((clear & (vuong < 0)).sum()) / some,
        "numbers": float(fitted.number.median()),
    }


def _networks(options: dict[str, Any], data: Data, progress: Progress) -> tuple[Parameters, Parameters]:
    """Classifiers of all replicates, as they are after training and before."""
    train, replicates = data.rows(TRAIN), options["replicates"]
    key = ("tails", options["task"])
    begun = classifier_start(replicates, data.inputs.shape[1], options["units"], data.n_classes, stream(*key, "start"))
    batches = stream(*key, "batches")

    def losses(parameters: Parameters, step: int) -> Tensor:
        chosen = train[torch.randint(len(train), (replicates, options["batch_size"]), generator=batches)]
        said = classifier_outputs(parameters, data.inputs[chosen])
        return cross_entropies(said, data.labels[chosen])

    return train_members(begun, losses, options["steps"], options["lr"], warm_up=0.05, progress=progress), begun


def _kinds(hidden: Float[Tensor, "networks rows units"], before: Tensor) -> dict[str, list[Tensor]]:
    """Columns by kind, network by network; planted ones have as many rows and units."""
    replicates, rows, units = hidden.shape
    own = stream("tails", "planted", rows, units)
    turned = torch.randn(replicates, units, units, generator=own)
    centred = hidden - hidden.mean(1, keepdim=True)
    planted = torch.empty(replicates, rows, units).exponential_(generator=own)
    found = (hidden, centred @ turned, before, planted, torch.randn(replicates, rows, units, generator=own).abs())
    return {kind: list(values) for kind, values in zip(KINDS, found, strict=True)}


def _codes(spec: dict[str, Any], seen: Float[Tensor, "networks rows units"], hidden: Tensor) -> dict[str, list[Tensor]]:
    """Codes on held-out images, of dictionaries that were fitted to others; of each the first seed."""
    found: dict[str, list[Tensor]] = {}
    for one in spec["decompositions"]:
        places = [(label, point, i) for label, point in zip(one["labels"], one["grid"], strict=True)
                  for i in range(len(hidden))]  # fmt: skip
        members = [
            Member(point, one["seeds"][0], "all", InMemory(seen[i]), None, ("tails", i, one["name"]))
            for _, point, i in places
        ]
        fitted = fit_members(one["method"], members)
        for (label, _, i), dictionary in zip(places, fitted, strict=True):
            found.setdefault(label, []).append(dictionary.codes(hidden[i].to(dictionary.encoder)))
    return found


def _survival(values: Float[Tensor, "rows columns"], share: float) -> Float[np.ndarray, " levels"]:
    """Log of the share of a tail that lies above each of `LEVELS`, in means of the tail: a mean over columns.

    NaN where fewer than half of the columns have anything there.
    """
    above, there = tail_of(values, share)
    number = there.sum(0).double()
    mean = torch.where(there, above, 0.0).sum(0) / number
    higher = torch.stack([(above > level * mean).sum(0) / number for level in LEVELS])
    logs = torch.where((higher > 0) & (number >= FEWEST), higher.log(), torch.nan).numpy()
    known = np.isfinite(logs)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, logs, 0).sum(1) / known.sum(1)
    return np.where(known.sum(1) >= 0.5 * max(1, int((number >= FEWEST).sum())), means, np.nan)
