"""Fit one decomposition to several runs together: which latents do the runs share, and which belong to one alone?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.alignment.nulls import permute_rows, permute_within
from homolog.decompositions.base import Member, Progress, check_activations
from homolog.decompositions.fit import ROWS, choose_gauge, describe, fit_members
from homolog.decompositions.samples import Block, InMemory, Samples
from homolog.dictionary import Dictionary
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.store.activations import Activations
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN

# What is fitted: the runs as they are, and three controls. Inputs paired at random between runs say what chance lets a
# latent share; paired at random within a class, what "all runs know the classes" does; the first run beside copies of
# itself shares all that there is.
RUNS, SHUFFLED, WITHIN_CLASS, COPIES = "none", "shuffled", "shuffled_within_class", "copies"
# Controls are fitted to all train rows only.
FITTED = [(RUNS, rows) for rows in ROWS] + [(control, "all") for control in (SHUFFLED, WITHIN_CLASS, COPIES)]


class Joint(Samples):
    """Several runs' activations on the same inputs, side by side along `unit`, each multiplied by its factor.

    Raises ValueError when they differ in their number of samples.
    """

    def __init__(self, parts: list[Samples], factors: list[float]) -> None:
        lengths = [part.samples for part in parts]
        if len(set(lengths)) != 1:
            raise ValueError(f"joint samples: the runs have {lengths} samples; give every run the same inputs.")
        self.parts, self.factors = parts, factors
        self.widths = [part.units for part in parts]
        self.samples, self.units, self.device = lengths[0], sum(self.widths), parts[0].device
        self.stored = any(part.stored for part in parts)
        self.at_random = all(part.at_random for part in parts)

    def read(self, start: int, stop: int) -> Float[Tensor, "rows units"]:
        return self._join([part.read(start, stop) for part in self.parts])

    def take(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows units"]:
        return self._join([part.take(rows) for part in self.parts])

    def expect(self, blocks: list[Block]) -> None:
        for part in self.parts:
            part.expect(blocks)

    def _join(self, read: list[Tensor]) -> Float[Tensor, "rows units"]:
        return torch.cat([x * factor for x, factor in zip(read, self.factors, strict=True)], 1)


@dataclass(frozen=True)
class JointDictionary:
    """One member fitted to the units of several runs side by side, each in its own order of units.

    `dictionary` is in the gauge, and in the scale in which it was fitted: run r's activations times ``factors[r]``.
    FVUs are by run, on the rows it was fitted to and on the test rows; `loss` is what
    `joint_splicing` measured in each run's network.
    """

    dictionary: Dictionary
    widths: list[int]
    factors: list[float]
    fvu: Float[Tensor, " runs"]
    fvu_test: Float[Tensor, " runs"]
    loss: dict[str, Float[Tensor, " runs"]] = field(default_factory=dict)

    @property
    def control(self) -> str:
        """What it was fitted to: `RUNS` as they are, or one of the controls."""
        return str(self.dictionary.member["control"])

    @property
    def share(self) -> Float[Tensor, "latents runs"]:
        """Squared norm of each run's part of a direction, over the whole; NaN where the latent never fired."""
        parts = torch.split(self.dictionary.directions.double().square(), self.widths, 1)
        norms = torch.stack([part.sum(1) for part in parts], 1)
        alive = (self.dictionary.firing_rate > 0)[:, None]
        return torch.where(alive, norms / norms.sum(1, keepdim=True), torch.nan)

    @property
    def effective_runs(self) -> Float[Tensor, " latents"]:
        """In how many runs a latent writes, ``1 / sum_r share^2`` (Hill, 1973): R for equal shares, 1 for one run."""
        return 1 / self.share.square().sum(1)


def fit_jointly(
    spec: dict[str, Any],
    activations: list[Activations | StoredActivations],
    device: str | torch.device = "cpu",
    progress: Progress = iter,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> list[JointDictionary]:
    """Fit all members of `spec`: its ``grid`` (points) x ``seeds`` x `FITTED` (control and rows), in this order.

    `activations` are one hook point of every run, recorded on the same inputs. Each comes in its own gauge, units in
    canonical order, divided by the standard deviation of its train rows (the root of the variance summed over units),
    so that no run counts more than another. A member's bits depend on the order of the runs. The shuffled controls
    hold the rows in memory. Raises ValueError for fewer than two runs, for runs of different inputs, and for a run
    that can't be decomposed. Members come back on the CPU, with the facts of `fit.describe` and their control.
    """
    check_same_inputs(activations)
    own = [choose_gauge(spec["gauge"], a) for a in activations]
    gauges = {RUNS: own, SHUFFLED: own, WITHIN_CLASS: own, COPIES: [own[0]] * len(own)}
    key = key_of(spec, activations)
    samples = _samples(activations, own, key, device)
    for run, part in zip([a.run for a in activations], samples[RUNS, "all"].parts, strict=True):
        check_activations(f"{spec['name']}, {run}", part, 1)
    labelled = [
        (
            label,
            control,
            samples[control, rows],
            Member(options, seed, rows, samples[control, rows], None, (*key, control)),
        )
        for options, label in zip(spec["grid"], spec["labels"], strict=True)
        for seed in spec["seeds"]
        for control, rows in FITTED
    ]
    members = [member for *_, member in labelled]
    fitted = fit_members(spec["method"], members, progress, spec.get("threads", 1), checkpoint, fingerprint)
    return [
        _describe(dictionary, member, label, control, joint, samples[control, "test"], gauges[control])
        for dictionary, (label, control, joint, member) in zip(fitted, labelled, strict=True)
    ]


def key_of(spec: dict[str, Any], activations: list[Activations | StoredActivations]) -> tuple[str, ...]:
    """What every random stream of a joint decomposition starts with: the runs, the hook point, its own name."""
    return (*(a.run for a in activations), activations[0].hook_point, spec["name"])


def check_same_inputs(activations: list[Activations | StoredActivations]) -> None:
    """Raise ValueError unless there are two runs at least, which have read the same inputs in the same order."""
    runs = [a.run for a in activations]
    if len(runs) < 2:
        raise ValueError(f"a joint decomposition of {len(runs)} run ({', '.join(runs)}): give two runs at least.")
    seen = {a.run: str(a.attributes.get("data", "unknown")) for a in activations}
    if len(set(seen.values())) > 1 or "unknown" in seen.values():
        listed = ", ".join(f"{run}: {digest}" for run, digest in seen.items())
        raise ValueError(
            "a joint decomposition needs runs that have read the same inputs in the same order, and the digests of "
            f"their data differ or are unknown ({listed}): choose runs of one task, or build them again."
        )


def _samples(
    activations: list[Activations | StoredActivations],
    gauges: list[Gauge],
    key: tuple[str, ...],
    device: str | torch.device,
) -> dict[tuple[str, str], Joint]:
    """What is read, by control and rows (the test rows too)."""
    rows = activations[0].rows
    chosen = {name: rows.where(TRAIN, half) for name, half in ROWS.items()} | {"test": rows.where(TEST)}
    parts = {
        name: [choose_samples(a, index, gauge, device) for a, gauge in zip(activations, gauges, strict=True)]
        for name, index in chosen.items()
    }
    factors = [_unit_variance(part) for part in parts["all"]]
    joint = {(RUNS, name): Joint(each, factors) for name, each in parts.items()}
    for name in ("all", "test"):
        labels, each = rows.label[chosen[name]], parts[name]
        for control in (SHUFFLED, WITHIN_CLASS):
            orders = pairing(control, labels, (*key, control, name), len(each))
            shuffled: list[Samples] = [InMemory(x.whole()[at.to(x.device)]) for x, at in zip(each, orders, strict=True)]
            joint[control, name] = Joint(shuffled, factors)
        joint[COPIES, name] = Joint([each[0]] * len(each), [factors[0]] * len(each))
    return joint


def _unit_variance(samples: Samples) -> float:
    """The factor that makes the variance, summed over units, 1; 1 where nothing varies."""
    variance = samples.sum_of_squares / max(1, samples.samples) - float(samples.mean.square().sum())
    return variance**-0.5 if variance > 0 else 1.0


def pairing(control: str, labels: Int[Tensor, " rows"], key: tuple[str, ...], runs: int) -> list[Int[Tensor, " rows"]]:
    """Which of each run's rows stand side by side in a control: all in their order, or each run's at random."""
    streams = [stream("pairing", *key, r) for r in range(runs)]
    if control == SHUFFLED or (control == WITHIN_CLASS and len(labels) == 0):
        return [permute_rows(len(labels), generator) for generator in streams]
    if control == WITHIN_CLASS:
        return [permute_within(labels, generator) for generator in streams]
    return [torch.arange(len(labels))] * runs


def fvu_by_run(dictionary: Dictionary, samples: Joint) -> Float[Tensor, " runs"]:
    """FVU of each run's units; NaN where there are no samples, and of a dictionary that diverged."""
    if dictionary.diverged:
        return torch.full((len(samples.widths),), torch.nan, dtype=torch.float64)
    residual, total = (torch.zeros(samples.units, dtype=torch.float64, device=samples.device) for _ in range(2))
    for x in samples.blocks():
        residual += (x - dictionary.reconstruct(dictionary.codes(x))).double().square().sum(0)
        total += (x.double() - samples.mean).square().sum(0)
    of_runs = [part.sum() for array in (residual, total) for part in torch.split(array, samples.widths)]
    return (torch.stack(of_runs[: len(samples.widths)]) / torch.stack(of_runs[len(samples.widths) :])).cpu()


def _describe(
    fitted: Dictionary, member: Member, label: str, control: str, joint: Joint, test: Joint, gauges: list[Gauge]
) -> JointDictionary:
    """The member on the CPU with all that is known of it, units in each run's own order."""
    fvu, fvu_test = fvu_by_run(fitted, joint), fvu_by_run(fitted, test)
    described = describe(fitted, member, label, test)
    described = replace(described, member={"control": control, **described.member})
    dictionary = _in_model_order(described, joint.widths, gauges)
    return JointDictionary(dictionary, joint.widths, joint.factors, fvu, fvu_test)


def _in_model_order(dictionary: Dictionary, widths: list[int], gauges: list[Gauge]) -> Dictionary:
    def restored(array: Tensor) -> Tensor:
        parts = zip(torch.split(array, widths, 1), gauges, strict=True)
        return torch.cat([gauge.to_model_order(part) for part, gauge in parts], 1)

    return replace(
        dictionary,
        directions=restored(dictionary.directions),
        encoder=restored(dictionary.encoder),
        bias=restored(dictionary.bias[None])[0],
    )
