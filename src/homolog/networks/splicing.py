"""How much of its loss does a network from outside keep with a dictionary's reconstruction at a hook point?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.corpora.base import Batch, Corpus
from homolog.decompositions.fit import choose_gauge
from homolog.dictionary import Dictionary
from homolog.loading import build
from homolog.networks.learning import IMITATE, Lesson, on_device
from homolog.networks.network import Network
from homolog.networks.places import as_places, laid_out_as
from homolog.networks.points import Point
from homolog.networks.reading import POSITIONS_AT_ONCE
from homolog.networks.replacing import Replacement, Replacing, is_read
from homolog.networks.restoring import restore_network
from homolog.networks.seen import one_point
from homolog.splicing import ablation, facts_by
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.store.activations import Activations
from homolog.streams import stream
from homolog.tasks.base import TEST, TRAIN

# Test inputs on which losses are measured: as many as have so many positions together, but no fewer than a standard
# error over inputs takes, and no more than one of a few percent does.
POSITIONS, FEWEST, MOST = 2**13, 32, 2**12


class Opened:
    """A network on a corpus, with one of its hook points open: what stands there can be replaced, row by row.

    The whole network runs, in float32 (or whatever its weights have), on the same batches whatever is replaced. Raises
    ValueError, one line, for a name that doesn't lead to one tensor.
    """

    def __init__(self, network: Network, corpus: Corpus, point: str, device: str | torch.device = "cpu") -> None:
        self.network, self.corpus, self.device = network.to(device), corpus, torch.device(device)
        batch = on_device(corpus.batches(torch.arange(min(2, corpus.inputs))), device)
        self.point: Point = one_point(point, network.seen_on(batch))

    @property
    def positions_at_once(self) -> int:
        """How many positions a batch has."""
        return POSITIONS_AT_ONCE[self.device.type]

    @property
    def inputs_at_once(self) -> int:
        """How many inputs a batch has."""
        return max(1, self.positions_at_once // (self.corpus.positions or 1))

    def call(self, inputs: Int[Tensor, " inputs"], replacement: Replacement) -> Callable[[Batch], Any]:
        """Runs the network on a batch of these `inputs`, with the kept rows (row, unit) at the hook point replaced."""
        keep = self.corpus.keep(inputs)

        def run(batch: Batch) -> Any:
            with Replacing(self.network.module, self.point) as replacing:
                return replacing.run(
                    lambda: self.network(batch), rows_replaced(self.point, self.corpus.positions, keep, replacement)
                )

        return run


def rows_replaced(
    point: Point, positions: int | None, keep: Bool[Tensor, "inputs positions"], replacement: Replacement
) -> Replacement:
    """What replaces a hook point's tensor, of what replaces its kept rows; padding and special tokens stay."""

    def replace(value: Tensor) -> Tensor:
        places = as_places(value, len(keep), positions, point)
        kept = keep.expand(places.shape[:2]).to(value.device)
        new = places.clone()
        new[kept] = replacement(places[kept]).to(value.dtype)
        return laid_out_as(value, new, positions)

    return replace


def measured(corpus: Corpus) -> Int[Tensor, " inputs"]:
    """Numbers of the test inputs on which losses are measured, ascending: drawn at random, the same for all runs."""
    test = torch.nonzero(corpus.split == TEST).squeeze(1)
    wanted = min(MOST, max(FEWEST, POSITIONS // (corpus.positions or 1)))
    return test[torch.randperm(len(test), generator=stream("spliced", len(test)))[:wanted]].sort().values


def loss_recovered(
    lesson: Lesson,
    network: Network,
    hook_point: str,
    gauge: Gauge,
    mean: Float[Tensor, " units"],
    dictionaries: list[Dictionary],
    device: str | torch.device = "cpu",
) -> list[dict[str, float]]:
    """What `network` loses by each dictionary, of what `lesson` has it predict: the facts of `splicing.loss_recovered`.

    Means are over all that is to be predicted of the `measured` test inputs; rows that aren't recorded (padding,
    special tokens) keep their activations. Harm is told from 0 by its standard error over inputs, since tokens of one
    sequence aren't independent. Dictionaries are in the gauge, with units in the network's own order, `mean` that of
    the train rows before the gauge. One batch and one dictionary are in use at a time; each dictionary costs one pass
    over the inputs, and two more are made for all.

    Raises ValueError, one line, for a hook point on which nothing that is predicted depends, and for what `Lesson` and
    `Replacing` refuse.
    """
    opened, inputs = Opened(network, lesson.corpus, hook_point, device), measured(lesson.corpus)
    batches = torch.split(inputs, opened.inputs_at_once)

    def losses_and_inputs(replacement: Replacement) -> tuple[Tensor, Tensor]:
        parts = [lesson.losses(opened.call(batch, replacement), batch) for batch in batches]
        belongs = [batch[of.cpu()] for batch, (_, of) in zip(batches, parts, strict=True)]
        return torch.cat([each.cpu() for each, _ in parts]), torch.cat(belongs)

    original, belongs = losses_and_inputs(lambda values: values)
    lesson.check_any(len(original), inputs)
    ablated, _ = losses_and_inputs(ablation(mean))
    if torch.equal(original, ablated):
        _check_read(opened, lesson, batches[0][:2])
    return facts_by(lambda one: losses_and_inputs(one)[0], original, ablated, gauge, dictionaries, device, belongs)


def _check_read(opened: Opened, lesson: Lesson, inputs: Int[Tensor, " inputs"]) -> None:
    """Raise ValueError unless what is predicted depends on the hook point: on one that gives a constant it does."""
    batch = on_device(lesson.corpus.batches(inputs), opened.device)
    if not is_read(opened.network.module, opened.point, lambda: lesson.judged(opened.network(batch))):
        raise ValueError(
            f"{opened.network.name}: what it predicts doesn't depend on hook point {opened.point}, so that no loss is "
            "recovered there: choose one that is read on the way to it, or leave out `objective`."
        )


@dataclass(frozen=True)
class Spliced:
    """A run's network as its spec has it, what it is fed and for what it was trained, and a hook point of it."""

    network: dict[str, Any]
    corpus: dict[str, Any]
    objective: str
    point: str

    def with_loss_recovered(
        self,
        dictionaries: list[Dictionary],
        gauge_name: str,
        activations: Activations | StoredActivations,
        weights: str | Path | None = None,
        teacher: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> list[Dictionary]:
        """The `dictionaries` that were fitted to `activations`, each with the facts of `loss_recovered` in ``member``.

        Of those fitted to a half of the rows, which nobody splices in, what they lose is NaN: each would take a pass.
        `weights` and `teacher` are the files of weights that were found here, of the run and of the network that it
        imitates; nothing where others found them. Raises ValueError when the corpus isn't the one that was read.
        """
        corpus, rows = build(self.corpus).corpus(), activations.rows
        check_corpus(corpus, activations)
        imitated = restore_network(self.network, teacher).to(device) if self.objective == IMITATE else None
        lesson = Lesson(corpus, self.objective, device, imitated)
        gauge = choose_gauge(gauge_name, activations)
        mean = choose_samples(activations, rows.where(TRAIN), None, device).mean
        network = restore_network(self.network, weights)
        of_all = [d.member.get("rows", "all") == "all" for d in dictionaries]
        whole = [d for d, measured_too in zip(dictionaries, of_all, strict=True) if measured_too]
        facts = loss_recovered(lesson, network, self.point, gauge, mean, whole, device)
        known, halves = iter(facts), {**facts[0], "loss_spliced": nan, "loss_recovered": nan}
        found = [next(known) if measured_too else halves for measured_too in of_all]
        return [replace(d, member={**d.member, **one}) for d, one in zip(dictionaries, found, strict=True)]


def check_corpus(corpus: Corpus, activations: Activations | StoredActivations) -> None:
    """Raise ValueError when a corpus isn't the one that the activations were read on."""
    if corpus.digest() != activations.attributes.get("data"):
        raise ValueError(
            f"{activations.run} was read on another corpus than the one that is there now: delete its folder under "
            "results/models and build it again."
        )
