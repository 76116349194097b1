"""What of a run must be read for its latents to be looked at: held-out activations, its network, its dictionaries?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.alignment.gauge import Gauge
from homolog.atlas.activity import SAMPLE, SHOWN, ActiveCodes, Activity, observe
from homolog.atlas.around import Around, codes_around
from homolog.atlas.effects import added_to_logits, maps
from homolog.atlas.network_effects import Added, added_by_latents, added_of
from homolog.atlas.pictures import Pictures, pixels_of
from homolog.atlas.shown import Numbers, Shown
from homolog.atlas.texts import Texts
from homolog.corpora.base import Corpus
from homolog.corpora.images import ImageCorpus
from homolog.corpora.text import Text
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary
from homolog.loading import build
from homolog.models.build import restore_model
from homolog.networks.effects import Changes
from homolog.networks.restoring import restore_network
from homolog.networks.splicing import Opened, check_corpus
from homolog.store.activation_samples import choose_samples, open_activations
from homolog.store.activations import Rows
from homolog.store.dictionaries import read_dictionaries
from homolog.store.models import read_model
from homolog.streams import stream
from homolog.tasks.base import TEST

# What the inputs are read from: all pictures of a task, as lines of pixels, or a corpus; None where nothing is known.
Source: TypeAlias = Tensor | Corpus | None


@dataclass(frozen=True)
class Inputs:
    """The held-out inputs that all runs of an experiment have read, and how they are shown."""

    shown: Shown
    values: Float[Tensor, "held_out inputs"] | None
    """What networks that are trained here read, where a picture of it means something."""
    priority: Int[np.ndarray, " held_out"]
    """In which order rows enter random samples."""
    image_shape: tuple[int, int] | None = None
    corpus: Corpus | None = None

    @classmethod
    def read(cls, spec: dict[str, Any], activations: str | Path, source: Source) -> Inputs:
        """The rows of one run's activation file, shown as the spec says.

        ``shown`` is of kind ``images`` (with a ``shape`` where `source` are lines of pixels), ``text`` or ``numbers``.
        Raises ValueError where the corpus isn't what the file says that was read.
        """
        stored = open_activations(activations, spec["hook_points"][0])
        rows, kind = stored.rows, spec["shown"]["kind"]
        index = rows.where(TEST).numpy()
        draw = torch.randperm(len(index), generator=stream("atlas", spec["experiment"])).numpy()
        if isinstance(source, Tensor):
            height, width = spec["shown"]["shape"]
            row_of = torch.empty(int(rows.input_id.max()) + 1, dtype=torch.int64)
            row_of[rows.input_id.long()] = torch.arange(len(source))
            pictures = source.reshape(-1, 1, height, width)
            shown: Shown = Pictures(rows, index, lambda inputs: pictures[row_of[inputs]], (height, width))
            return cls(shown, source[torch.from_numpy(index)], draw, (height, width))
        if source is None:
            return cls(Numbers(rows, index), None, draw)
        check_corpus(source, stored)
        if kind == Numbers.kind:
            return cls(Numbers(rows, index), None, draw, None, source)
        if isinstance(source, Text):
            return cls(Texts(rows, index, source), None, draw, None, source)
        return cls(_pictures(rows, index, source, spec["corpus"]), None, draw, None, source)


def _pictures(rows: Rows, index: Int[np.ndarray, " held_out"], corpus: Corpus, options: dict[str, Any]) -> Pictures:
    pixels = pixels_of(corpus, options)
    height, width = pixels(torch.tensor([0])).shape[2:]
    places = corpus.positions or int(rows.named("position").max()) + 1
    folders = None
    if isinstance(corpus, ImageCorpus):
        folders = [folder.name for folder in sorted({file.parent for file in corpus.files})]
    return Pictures(rows, index, pixels, (height, width), places, folders)


def read_source(spec: dict[str, Any]) -> Source:
    """All inputs of the task, or the corpus, that the spec names, where it says that they are shown."""
    if spec["corpus"] is not None:
        corpus: Corpus = build(spec["corpus"]).corpus()
        return corpus
    if spec["shown"]["kind"] != Pictures.kind:
        return None
    images: Tensor = build(spec["task"]).data().inputs
    return images


@dataclass(frozen=True)
class Looked:
    """All that is shown of the latents of one dictionary."""

    dictionary: Dictionary
    activity: Activity
    effects: Added | None
    """What each latent adds to the logits, where the network is at hand."""
    maps: Float[np.ndarray, "latents inputs"] | None
    around: Around | None
    """Codes on the inputs that are shown, first of the strongest rows, then of those at random; None where a row is all
    of its input."""


class RunReader:
    """One run's hook point in one gauge. `opened` says how its network is made, where it is known by its modules."""

    def __init__(
        self, folder: Path, hook_point: str, gauge: str, inputs: Inputs, opened: dict[str, Any] | None = None
    ) -> None:
        self.folder, self.hook_point, self._inputs = folder, hook_point, inputs
        stored = open_activations(folder / "activations.h5", hook_point)
        self.run = stored.run
        self._gauge: Gauge = choose_gauge(gauge, stored)
        index = stored.rows.where(TEST)
        self._samples: Samples = choose_samples(stored, index, self._gauge)
        self._names = stored.rows.input_id[index].numpy()
        recorded = json.loads(stored.attributes["spec"]).get("hook_points")
        self._model = None if recorded is None else self._read_model()
        self._changes = None if opened is None or inputs.corpus is None else self._open(opened, inputs.corpus)

    def _read_model(self) -> Any:
        saved = read_model(self.folder / "model.safetensors")
        return restore_model(json.loads(saved.attributes["spec"])["architecture"], saved.state, saved.sizes)

    def _open(self, opened: dict[str, Any], corpus: Corpus) -> Changes:
        weights = self.folder / "model.safetensors" if opened["trained"] else None
        network = restore_network(opened["network"], weights)
        return Changes(Opened(network, corpus, opened["points"][self.hook_point]))

    def looked(self, decomposition: str) -> dict[str, Looked]:
        """By label: of each grid point the member that is tracked, the one of the lowest seed fitted to all rows."""
        members = read_dictionaries(self.folder / self.hook_point / f"{decomposition}.h5")
        tracked: dict[str, Dictionary] = {}
        for one in sorted((d for d in members if d.member["rows"] == "all"), key=lambda d: int(d.member["seed"])):
            tracked.setdefault(str(one.member["label"]), self._in_order(one))
        return {label: self._look(label, one) for label, one in tracked.items()}

    def _in_order(self, fitted: Dictionary) -> Dictionary:
        """Units in canonical order, as the samples have them."""
        in_order = self._gauge.to_canonical_order
        return replace(
            fitted,
            directions=in_order(fitted.directions),
            encoder=in_order(fitted.encoder),
            bias=in_order(fitted.bias[None])[0],
        )

    def _look(self, label: str, dictionary: Dictionary) -> Looked:
        shown, codes = self._inputs.shown, ActiveCodes(dictionary, self._samples)
        activity = observe(codes, self._inputs.priority, shown.grouped)
        around = None
        if shown.grouped is not None:
            row = np.concatenate([kept.row[:, :SHOWN] for kept in (activity.top, activity.sample)], axis=1)
            around = codes_around(codes, row, shown.unit, shown.place)
        pictures = None
        if hasattr(self._model, "after") and self._inputs.values is not None:
            read = (self.hook_point, self._gauge, self._inputs.values)
            pictures = maps(self._model, *read, dictionary, activity.sample)
        return Looked(dictionary, activity, self._effects(label, dictionary, activity), pictures, around)

    def _effects(self, label: str, dictionary: Dictionary, activity: Activity) -> Added | None:
        draw = stream("atlas", "partner", self.run, self.hook_point, label)
        if self._changes is not None:
            return added_by_latents(self._changes, self._gauge, self._names, dictionary, activity.sample, draw)
        if not hasattr(self._model, "after"):
            return None
        place = (self.hook_point, self._gauge, self._samples)
        return added_of(SAMPLE, *added_to_logits(self._model, *place, dictionary, activity.sample, draw))
