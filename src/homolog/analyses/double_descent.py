"""As data sets grow, do small models go from keeping samples to keeping features, and where do they test worst?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from homolog.analyses.replicates import over_replicates
from homolog.loading import load
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN, Data
from homolog.toys import bottleneck
from homolog.toys.few_samples import (
    batch,
    classifier_hidden,
    classifier_outputs,
    classifier_start,
    draw,
    most_dimensional,
)
from homolog.toys.training import Parameters, train_members

HELD_OUT = 1000
# A mean over at most so many samples' dimensionalities: the sum runs over all pairs of them.
SHOWN = 2000
TASKS = {"digits": "homolog.tasks.digits:Digits", "fashion_mnist": "homolog.tasks.fashion_mnist:FashionMNIST"}
BINS = np.linspace(0, 1, 26)
Progress = Callable[[Iterable[Any]], Iterable[Any]]
Found = dict[str, np.ndarray]


def double_descent(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train bottlenecks on data sets of growing size, and classifiers of digits, and hold out the rest.

    Variables by ``samples``, means over replicates with bounds: ``train_loss`` and ``test_loss`` (null: the best
    constant), ``best_feature`` and ``best_sample`` (dimensionality of the 2 x units that have most; null: random
    directions), ``feature_dimensionality`` and ``sample_dimensionality`` (shares by ``bin``), ``peak`` (the size with
    the largest test loss). The same as ``digits_...`` by ``digits_samples``, with ``digits_best_held_out`` of as many
    held-out images.
    """
    options = spec["options"]
    sizes, digit_sizes = options["samples"], options["digits_samples"]
    toys = _stacked([_toy(options, size, progress) for size in sizes])
    digits = _stacked(_digits(options, progress))
    values = {name: (("samples", "replicate") + ("bin",) * (one.ndim - 2), one) for name, one in toys.items()}
    values |= {f"digits_{name}": (("digits_samples", "replicate"), one) for name, one in digits.items()}
    values |= _peak(sizes, toys["test_loss"], options["units"])
    values |= {f"digits_{name}": one for name, one in _peak(digit_sizes, digits["test_loss"], 0).items()}
    coords = {"samples": sizes, "digits_samples": digit_sizes, "bin": (BINS[:-1] + BINS[1:]) / 2}
    dataset = over_replicates(values, coords, TITLES)
    facts = {
        name: options[name] for name in ("features", "units", "active", "replicates", "steps", "task", "digits_units")
    }
    return dataset.assign_attrs(experiment=spec["experiment"], **facts)


TITLES = {
    "train_loss": "training loss",
    "test_loss": "test loss",
    "best_feature": "dimensionality of the 2 x units features that have most",
    "best_sample": "dimensionality of the 2 x units samples that have most",
    "feature_dimensionality": "share of features by dimensionality",
    "sample_dimensionality": "share of samples by dimensionality",
    "peak": "samples at the largest test loss, of sizes above 2 x units",
    "rise": "its rise above the least before",
    "fall": "its fall to the largest size",
    "digits_train_loss": "training loss, digits",
    "digits_test_loss": "test loss, digits",
    "digits_test_accuracy": "test accuracy, digits",
    "digits_best_sample": "the same of images in training",
    "digits_best_held_out": "the same of as many held-out images",
    "digits_peak": "images at the largest test loss",
}


def _stacked(found: list[Found]) -> Found:
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def _peak(sizes: list[int], losses: np.ndarray, units: int) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Where each replicate's loss (samples, replicate) is largest, how far above the least before it, and above the
    last.

    Up to 2 x units samples can be held whatever they are, as pairs: these sizes are left out. The sizes between which a
    replicate rises and falls are those of the others' mean, so that noise isn't taken for a rise.
    """
    asked = np.array(sizes) > 2 * units
    curve, places = losses[asked], losses[asked].argmax(0)
    rises, falls = [], []
    for one, own in enumerate(curve.T):
        others = np.delete(curve, one, 1).mean(1)
        top = int(others.argmax())
        rises.append(own[top] - own[int(others[: top + 1].argmin())])
        falls.append(own[top] - own[-1])
    values = {"peak": np.array(sizes, float)[asked][places], "rise": np.array(rises), "fall": np.array(falls)}
    return {name: (("replicate",), one) for name, one in values.items()}


def _toy(options: dict[str, Any], size: int, progress: Progress) -> Found:
    """Arrays (replicate) and (replicate, bin) of bottlenecks that saw `size` samples."""
    replicates, features, units = (options[name] for name in ("replicates", "features", "units"))
    key = ("double_descent", size)
    samples = draw(replicates, size, features, options["active"], stream(*key, "rows"))
    held_out = draw(replicates, HELD_OUT, features, options["active"], stream("double_descent", "held_out"))
    order = stream(*key, "order")

    def losses(parameters: Parameters, step: int) -> Tensor:
        inputs = samples[batch(samples, options["batch_size"], order)]
        return _error(bottleneck.outputs(parameters, inputs), inputs)

    begun = bottleneck.start(replicates, features, units, stream(*key, "start"))
    own = train_members(begun, losses, options["steps"], options["lr"], warm_up=0.05, progress=progress)
    weight, hidden = own["weight"], samples[:, :SHOWN] @ own["weight"]
    turned = bottleneck.turned_at_random(weight, stream(*key, "null"))
    hidden_turned = bottleneck.turned_at_random(hidden, stream(*key, "null"))
    return {
        "train_loss": _error(bottleneck.outputs(own, samples), samples).numpy(),
        "test_loss": _error(bottleneck.outputs(own, held_out), held_out).numpy(),
        "test_loss_null": _error(held_out.mean(1, keepdim=True), held_out).numpy(),
        "best_feature": most_dimensional(weight).numpy(),
        "best_feature_null": most_dimensional(turned).numpy(),
        "best_sample": most_dimensional(hidden).numpy(),
        "best_sample_null": most_dimensional(hidden_turned).numpy(),
        "feature_dimensionality": _histogram(bottleneck.dimensionality(weight)),
        "sample_dimensionality": _histogram(bottleneck.dimensionality(hidden)),
    }


def _error(outputs: Tensor, wanted: Tensor) -> Tensor:
    return ((outputs - wanted) ** 2).sum(2).mean(1)


def _histogram(shares: Tensor) -> np.ndarray:
    """Shares of the vectors by bin, from 0 (included) to 1: (replicate, bin)."""
    values = shares.clamp(1e-9, 1).numpy()
    return np.stack([((values > low) & (values <= high)).mean(1) for low, high in pairwise(BINS)], 1)


def _digits(options: dict[str, Any], progress: Progress) -> list[Found]:
    """Classifiers of the task's images: of growing numbers of training images, drawn anew for each replicate."""
    data, replicates = load(TASKS[options["task"]])().data(), options["replicates"]
    train, test = data.rows(TRAIN), data.rows(TEST)
    orders = [torch.randperm(len(train), generator=stream("double_descent", "order", i)) for i in range(replicates)]
    chosen = train[torch.stack(orders)]
    return [_classifier(options, data, chosen[:, :size], test, progress) for size in options["digits_samples"]]


def _classifier(options: dict[str, Any], data: Data, rows: Tensor, test: Tensor, progress: Progress) -> Found:
    """Arrays (replicate) of classifiers that saw these rows (replicate, row)."""
    replicates, size = rows.shape
    key = ("double_descent", options["task"], size)
    wanted = torch.nn.functional.one_hot(data.labels, data.n_classes).float()
    # Centred, since inputs of one sign leave units dead from the start.
    inputs = data.inputs - data.inputs[data.rows(TRAIN)].mean(0)
    images, labels, held_out = inputs[rows], wanted[rows], inputs[test].expand(replicates, -1, -1)
    order = stream(*key, "order")

    def losses(parameters: Parameters, step: int) -> Tensor:
        chosen = batch(images, options["batch_size"], order)
        return _error(classifier_outputs(parameters, images[chosen]), labels[chosen])

    start = stream(*key, "start")
    begun = classifier_start(replicates, images.shape[2], options["digits_units"], data.n_classes, start)
    own = train_members(begun, losses, options["steps"], options["lr"], warm_up=0.05, progress=progress)
    given = classifier_outputs(own, held_out)
    constant = labels.mean(1, keepdim=True)
    return {
        "train_loss": _error(classifier_outputs(own, images), labels).numpy(),
        "test_loss": _error(given, wanted[test]).numpy(),
        "test_loss_null": _error(constant, wanted[test][None]).numpy(),
        "test_accuracy": (given.argmax(2) == data.labels[test]).double().mean(1).numpy(),
        "best_sample": most_dimensional(classifier_hidden(own, images[:, :SHOWN])).numpy(),
        "best_held_out": most_dimensional(classifier_hidden(own, held_out[:, : min(size, SHOWN)])).numpy(),
    }
