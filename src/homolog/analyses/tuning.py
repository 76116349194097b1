"""Are there curve-like units in a small convolutional network, and do the same tuning curves return in others?"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from homolog.alignment.matching import match
from homolog.analyses.replicates import over_replicates
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN, Data
from homolog.tasks.digits import Digits
from homolog.toys.convnets import FIELD, outputs, start, units
from homolog.toys.curves import ANGLES, best_turned, curves, largest_gap, turned, width_of
from homolog.toys.training import Parameters, Progress, cross_entropies, train_members

SIDE = 8
# Widths of strokes, in pixels: matchings are chosen on the first and scored on the second.
STROKES = (1.2, 1.8)
# Units of which no stimulus turns anything on say nothing.
SILENT = 1e-6
KINDS = ("trained", "before training")
TITLES = {
    "live": "share of units that some curve turns on",
    "selective": "depth of tuning: (largest - least) / largest",
    "width": "width of tuning at half of its depth, degrees",
    "curve_like": "how much more the best curve gives than the best line",
    "gap": "widest stretch of angles that no unit prefers, degrees",
    "width_examples": "width of tuning to turned dataset examples, degrees",
    "examples": "tuning to turned examples against that to curves (correlation)",
    "family": "likeness of tuning of units matched between networks",
    "returning": "share of units whose tuning returns, above chance",
    "accuracy": "accuracy on held-out images",
}
Numbers = dict[str, float]


def tuning(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Train networks on digits together, and show their second layer curves of every angle, and turned images.

    Variables `TITLES` by ``kind`` (`KINDS`), means over networks with bounds. ``gap_null``: as many angles at random;
    ``examples_null``: another unit's tuning to curves; ``family_null``: the same units, each turned by an angle of its
    own. ``profile`` by kind and ``angle``: tuning curves about their peak, a mean over units. ``preferred`` by kind and
    ``angle``: the share of units that prefer it.
    """
    options = spec["options"]
    data = Digits().data()
    begun = start(options["replicates"], tuple(options["channels"]), data.n_classes, stream("tuning", "start"))
    trained = _trained(options, data, begun, progress)
    images = data.inputs[data.rows(TEST)].reshape(-1, SIDE, SIDE)
    found: dict[str, np.ndarray] = {}
    for row, parameters in enumerate((trained, begun)):
        for name, value in _measured(options, parameters, images, KINDS[row]).items():
            found.setdefault(name, np.full((len(KINDS), *value.shape), np.nan))[row] = value
    right = (outputs(trained, _for_all(images, options)).argmax(2) == data.labels[data.rows(TEST)]).double().mean(1)
    values: dict[str, Any] = {
        name: (("kind", "replicate") if one.ndim == 2 else ("kind", "replicate", "angle"), one)
        for name, one in found.items()
    }
    values |= {"accuracy": (("replicate",), right.numpy())}
    coords = {"kind": list(KINDS), "angle": np.arange(ANGLES) * 360 / ANGLES}
    facts = {"replicates": options["replicates"], "steps": options["steps"], "units": options["channels"][1]}
    return over_replicates(values, coords, TITLES).assign_attrs(experiment=spec["experiment"], **facts)


def _for_all(images: Float[Tensor, "rows height width"], options: dict[str, Any]) -> Tensor:
    return images.expand(options["replicates"], -1, -1, -1)


def _trained(options: dict[str, Any], data: Data, begun: Parameters, progress: Progress) -> Parameters:
    train, batches = data.rows(TRAIN), stream("tuning", "batches")
    replicates = options["replicates"]

    def losses(parameters: Parameters, step: int) -> Tensor:
        chosen = train[torch.randint(len(train), (replicates, options["batch_size"]), generator=batches)]
        said = outputs(parameters, data.inputs[chosen].reshape(*chosen.shape, SIDE, SIDE))
        return cross_entropies(said, data.labels[chosen])

    return train_members(begun, losses, options["steps"], options["lr"], warm_up=0.05, progress=progress)


def _measured(
    options: dict[str, Any], parameters: Parameters, images: Float[Tensor, "rows height width"], kind: str
) -> dict[str, np.ndarray]:
    """Arrays (replicate,) and (replicate, angle) of networks of one kind."""
    answers = [_answers(options, parameters, width) for width in STROKES]
    likeness, null = _families(answers, kind)
    each = []
    for network, own in enumerate(answers[0]):
        one = {name: value[network : network + 1] for name, value in parameters.items()}
        each.append(_of_network(own, one, images, (kind, network)))
    names = each[0]
    found = {name: np.stack([one[name] for one in each]) for name in names}
    bar = np.nanquantile(null, 0.95, axis=1)
    return found | {
        "family": np.nanmean(likeness, 1),
        "family_null": np.nanmean(null, 1),
        "returning": np.nanmean(np.where(np.isnan(likeness), np.nan, likeness > bar[:, None]), 1),
    }


def _answers(
    options: dict[str, Any], parameters: Parameters, width: float
) -> Float[Tensor, "networks units curvatures angles"]:
    """What the unit in the middle gives for curves through the middle of all that it sees."""
    shown = curves(FIELD, options["curvatures"], width)
    seen = units(parameters, _for_all(shown.flatten(0, 1), options))[..., FIELD // 2, FIELD // 2]
    return seen.mT.reshape(*seen.mT.shape[:2], *shown.shape[:2])


def _of_network(
    own: Float[Tensor, "units curvatures angles"],
    parameters: Parameters,
    images: Float[Tensor, "rows height width"],
    key: tuple[str | int, ...],
) -> dict[str, Any]:
    """Numbers of the live units of one network: tuning to its best curvature, and to turned examples."""
    live = own.amax((1, 2)) > SILENT
    tuned = own[live]
    best = tuned.amax(2).argmax(1)
    curve = tuned[torch.arange(len(tuned)), best]
    top = curve.amax(1)
    peaks = curve.argmax(1)
    centred = torch.stack(
        [one.roll(ANGLES // 2 - int(at)) for one, at in zip(curve / top[:, None], peaks, strict=True)]
    )
    random = torch.rand(200, len(peaks), generator=stream("tuning", "gap", *key)) * 360
    straight, bent = tuned[:, 0].amax(1), tuned[:, 1:].amax((1, 2))
    return {
        "live": np.float64(live.double().mean()),
        "selective": np.float64(((top - curve.amin(1)) / top).mean()),
        "width": np.float64(width_of(curve).nanmedian()),
        "curve_like": np.float64(((bent - straight) / torch.maximum(bent, straight)).mean()),
        "gap": np.float64(largest_gap(peaks * 360.0 / ANGLES)),
        "gap_null": np.mean([largest_gap((one // (360 / ANGLES)) * (360 / ANGLES)) for one in random]),
        **_examples(curve, live, parameters, images),
        "profile": centred.mean(0).numpy(),
        "preferred": (torch.bincount(peaks, minlength=ANGLES) / max(1, len(peaks))).numpy(),
    }


def _examples(
    curve: Float[Tensor, "live angles"],
    live: Tensor,
    parameters: Parameters,
    images: Float[Tensor, "rows height width"],
) -> dict[str, Any]:
    """The place of the held-out images that drives each unit most, turned about itself: what the unit gives then.

    Where the example stands isn't known, so tuning curves are compared at their best turn: `examples_null` does the
    same with every other unit's.
    """
    seen = units(parameters, images[None])[0][:, live]
    count = seen.shape[1]
    place = seen.transpose(0, 1).reshape(count, -1).argmax(1)
    row, spot = place // SIDE**2, place % SIDE**2
    margin = FIELD // 2
    padded = torch.nn.functional.pad(images[row], (margin,) * 4)
    patches = [one[y : y + FIELD, x : x + FIELD] for one, y, x in zip(padded, spot // SIDE, spot % SIDE, strict=True)]
    views = turned(torch.stack(patches)).flatten(0, 1)[None]
    given = units(parameters, views)[0][:, live, margin, margin].reshape(count, ANGLES, count)
    own = given[torch.arange(count), :, torch.arange(count)]
    likeness = best_turned(own, curve)
    same = torch.eye(count, dtype=torch.bool)
    return {
        "width_examples": np.float64(width_of(own).nanmedian()),
        "examples": np.float64(likeness[same].mean()),
        "examples_null": np.float64(likeness[~same].mean()),
    }


def _families(
    answers: list[Float[Tensor, "networks units curvatures angles"]], kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Likeness of each unit of a network to its match in every other, and to that in the same network turned at random.

    Arrays (network, others x units), NaN of silent units. Tuning is what a unit gives over curvatures and angles, as
    correlations; units are matched one to one on thin strokes, and scored on wide ones. The null turns each unit's
    answers by an angle of its own: widths and curvatures stay, preferred angles are at random.
    """
    count = len(answers[0])
    found: list[list[Tensor]] = [[] for _ in range(count)]
    null: list[list[Tensor]] = [[] for _ in range(count)]
    for a, b in permutations(range(count), 2):
        steps = torch.randint(ANGLES, (answers[0].shape[1],), generator=stream("tuning", "null", kind, a, b))
        for turn, rows in ((torch.zeros_like(steps), found), (steps, null)):
            near = [
                _correlations(one[a], torch.stack([unit.roll(int(s), 1) for unit, s in zip(one[b], turn, strict=True)]))
                for one in answers
            ]
            matched = match(near[0], near[1], "hungarian").per_latent
            live = answers[0][a].amax((1, 2)) > SILENT
            rows[a].append(torch.where(live, matched, torch.nan))
    same, turned_at_random = (np.stack([torch.cat(one).numpy() for one in rows]) for rows in (found, null))
    return same, turned_at_random


def _correlations(one: Tensor, other: Tensor) -> Float[Tensor, "units others"]:
    flat = [item.flatten(1) - item.flatten(1).mean(1, keepdim=True) for item in (one, other)]
    a, b = (torch.nn.functional.normalize(item, dim=1) for item in flat)
    return a @ b.T
