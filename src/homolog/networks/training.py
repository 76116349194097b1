"""How is a network trained that is known by its modules: as a whole, or some of its modules, all else frozen?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from homolog.corpora.base import Corpus
from homolog.loading import build
from homolog.networks.bases import Ancestor, weights_digest
from homolog.networks.drawing import drawn_by, redraw
from homolog.networks.embeddings import check_embeddings
from homolog.networks.learning import Lesson
from homolog.networks.network import Network
from homolog.networks.restoring import restore_network
from homolog.store.saved_state import SavedState
from homolog.training import Curve, optimise

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Trained:
    """Weights on the CPU, the curve, what it was retrained of, the oldest first, and what was fed."""

    state: dict[str, Tensor]
    curve: Curve
    lineage: tuple[Ancestor, ...]
    digest: str


@dataclass(frozen=True)
class _Begun:
    """A network before its first step, what of it will be trained, and what was found of its parent."""

    network: Network
    trainable: set[str]
    lesson: Lesson
    lineage: tuple[Ancestor, ...]
    parent_loss: tuple[float, float] | None


def train_network(
    spec: dict[str, Any],
    parent: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> Trained:
    """Train the run that `spec` describes: ``run`` (the key of every random stream), ``network``, ``corpus``,
    ``objective``, ``training``, and of one that is retrained ``parent`` and ``reinitialise``.

    `parent` is the file of the parent's weights, nothing where others trained it. Each step draws what it draws
    (dropout) from a stream of its own, so that a training that was stopped goes on from its `checkpoint` to the same
    bits, if `fingerprint` is the same. Raises ValueError, one line, for an objective that doesn't fit, for modules that
    can't be drawn, and when the loss is no longer finite.
    """
    run = (spec["run"]["model"], spec["run"]["seed"])
    corpus = build(spec["corpus"]).corpus()
    begun = _retrained(spec, parent, corpus, device) if spec["parent"] else _from_start(spec, corpus, device)
    network, digest = begun.network, corpus.digest()
    identity = [fingerprint, torch.__version__, str(device), spec, digest, weights_digest(network.module)]
    saved = SavedState(checkpoint, identity)
    network.to(device)

    @contextmanager
    def during(step: int) -> Iterator[None]:
        with drawn_by("step", *run, step), _learning(network, begun.trainable, whole=not spec["parent"]):
            yield

    curve = optimise(
        network.module, begun.trainable, spec["training"], begun.lesson, run, progress, saved, network, during
    )
    curve.parent_loss = begun.parent_loss
    saved.remove()
    state = {name: one.detach().cpu().clone() for name, one in network.module.state_dict().items()}
    return Trained(state, curve, begun.lineage, digest)


def _from_start(spec: dict[str, Any], corpus: Corpus, device: str | torch.device) -> _Begun:
    """All of it is trained, from the weights that its source draws, or reads."""
    with drawn_by("init", spec["run"]["model"], spec["run"]["seed"]):
        network: Network = build(spec["network"])
    check_embeddings(network, corpus)
    every = {name for name, _ in network.module.named_parameters()}
    return _Begun(network, every, Lesson(corpus, spec["objective"], device), (), None)


def _retrained(spec: dict[str, Any], weights: str | Path | None, corpus: Corpus, device: str | torch.device) -> _Begun:
    """Some modules are drawn anew; the parent is measured before."""
    network = restore_network(spec["network"], weights)
    check_embeddings(network, corpus)
    teacher = copy.deepcopy(network).to(device)
    lesson = Lesson(corpus, spec["objective"], device, teacher)
    (loss, _), before = lesson.measure(teacher), weights_digest(network.module)
    drawn = redraw(network, spec["reinitialise"], "init", spec["run"]["model"], spec["run"]["seed"])
    lineage = (*network.lineage, Ancestor(before, tuple(sorted(drawn))))
    return _Begun(network, drawn, lesson, lineage, loss)


@contextmanager
def _learning(network: Network, trainable: set[str], whole: bool) -> Iterator[None]:
    """Within, what is trained behaves as in training (dropout, statistics of batches); all else as when it is read."""
    modules = [network.module]
    if not whole:
        modules = [network.module.get_submodule(name.rpartition(".")[0]) for name in trainable]
    for module in modules:
        module.train()
    try:
        yield
    finally:
        network.module.eval()
