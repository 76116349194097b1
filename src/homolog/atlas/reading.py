"""What of a run must be read for its latents to be looked at: held-out activations, its network, its dictionaries?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from homolog.alignment.gauge import Gauge
from homolog.atlas.activity import SHOWN, Activity, Kept, codes_at, observe
from homolog.atlas.effects import added_to_logits, maps
from homolog.atlas.shown import Images, Numbers, Shown, Text
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary
from homolog.loading import build
from homolog.models.build import restore_model
from homolog.store.activation_samples import choose_samples, open_activations
from homolog.store.dictionaries import read_dictionaries
from homolog.store.models import read_model
from homolog.streams import stream
from homolog.tasks.base import TEST


@dataclass(frozen=True)
class Inputs:
    """The held-out inputs that all runs of an experiment have read, and how they are shown."""

    shown: Shown
    values: Float[torch.Tensor, "held_out inputs"] | None
    """What the networks read, where a picture of it means something."""
    priority: Int[np.ndarray, " held_out"]
    """In which order rows enter random samples."""
    image_shape: tuple[int, int] | None = None

    @classmethod
    def read(cls, spec: dict[str, Any], activations: str | Path, images: torch.Tensor | None) -> Inputs:
        """The rows of one run's activation file, shown as the spec says.

        ``shown`` is of kind ``images`` with a ``shape`` (then `images` are all inputs, (sample, input)), ``text`` with
        the path of a ``vocabulary``, a JSON list of the text of each token id, or ``numbers``.
        """
        rows = open_activations(activations, spec["hook_points"][0]).rows
        index = rows.where(TEST).numpy()
        draw = torch.randperm(len(index), generator=stream("atlas", spec["experiment"])).numpy()
        how = spec["shown"]
        if images is not None:
            height, width = how["shape"]
            shown = Images(rows, index, images.numpy(), (height, width))
            return cls(shown, images[torch.from_numpy(index)], draw, (height, width))
        if how["kind"] == Text.kind:
            vocabulary = list(json.loads(Path(how["vocabulary"]).read_text(encoding="utf-8")))
            return cls(Text(rows, index, vocabulary), None, draw)
        return cls(Numbers(rows, index), None, draw)


def read_images(spec: dict[str, Any]) -> Float[torch.Tensor, "samples inputs"] | None:
    """All inputs of the task that the spec names, where they are images."""
    if spec["shown"]["kind"] != Images.kind:
        return None
    images: torch.Tensor = build(spec["task"]).data().inputs
    return images


@dataclass(frozen=True)
class Looked:
    """All that is shown of the latents of one dictionary."""

    dictionary: Dictionary
    activity: Activity
    effects: Float[np.ndarray, "latents classes"] | None
    null_effects: Float[np.ndarray, "latents classes"] | None
    maps: Float[np.ndarray, "latents inputs"] | None
    around: tuple[Float[np.ndarray, "latents top places"], Float[np.ndarray, "latents shown places"]] | None
    """Codes on the rows beside the top ones, and beside those at random."""


class RunReader:
    """One run's hook point in one gauge."""

    def __init__(self, folder: Path, hook_point: str, gauge: str, inputs: Inputs) -> None:
        self.folder, self.hook_point, self._inputs = folder, hook_point, inputs
        stored = open_activations(folder / "activations.h5", hook_point)
        self.run = stored.run
        self._gauge: Gauge = choose_gauge(gauge, stored)
        self._samples: Samples = choose_samples(stored, stored.rows.where(TEST), self._gauge)
        recorded = json.loads(stored.attributes["spec"]).get("hook_points")
        self._model = None if recorded is None else self._read_model()

    def _read_model(self) -> Any:
        saved = read_model(self.folder / "model.safetensors")
        return restore_model(json.loads(saved.attributes["spec"])["architecture"], saved.state, saved.sizes)

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
        activity = observe(dictionary, self._samples, self._inputs.priority)
        place = (self.hook_point, self._gauge, self._samples)
        effects = null = pictures = None
        if hasattr(self._model, "after"):
            draw = stream("atlas", "partner", self.run, self.hook_point, label)
            effects, null = added_to_logits(self._model, *place, dictionary, activity.sample, draw)
            if self._inputs.values is not None:
                read = (self.hook_point, self._gauge, self._inputs.values)
                pictures = maps(self._model, *read, dictionary, activity.sample)
        return Looked(dictionary, activity, effects, null, pictures, self._around(dictionary, activity))

    def _around(
        self, dictionary: Dictionary, activity: Activity
    ) -> tuple[Float[np.ndarray, "latents top places"], Float[np.ndarray, "latents shown places"]] | None:
        context = self._inputs.shown.context
        if not context.shape[1]:
            return None
        top, sample = (self._codes_around(dictionary, kept, context) for kept in (activity.top, activity.sample))
        return top, sample

    def _codes_around(
        self, dictionary: Dictionary, kept: Kept, context: Int[np.ndarray, "rows places"]
    ) -> Float[np.ndarray, "latents shown places"]:
        row = kept.row[:, :SHOWN]
        wanted = np.where(row[..., None] >= 0, context[np.maximum(row, 0)], -1)
        latent = np.broadcast_to(np.arange(len(row))[:, None, None], wanted.shape)
        return codes_at(dictionary, self._samples, latent.ravel(), wanted.ravel()).reshape(wanted.shape)
