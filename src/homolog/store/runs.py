"""All that an analysis may ask of finished runs, read from their folders when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from homolog.alignment.layer import Layer, build_layer
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.start import start
from homolog.dictionary import Dictionary
from homolog.models.build import restore_model
from homolog.store.activation_samples import open_activations
from homolog.store.activations import read_activations
from homolog.store.curves import FinalLoss, read_final_loss
from homolog.store.dictionaries import read_dictionaries
from homolog.store.files import open_hdf5, plain_attributes
from homolog.store.members import ARTEFACT
from homolog.store.models import read_model


class StoredRun:
    """One run's folder, ``results/models/<model>/seed_<n>``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def final_loss(self) -> FinalLoss:
        """Held-out loss at both ends of training."""
        return read_final_loss(self.folder / "training.nc")

    def beside(self, name: str) -> StoredRun:
        """Another run's folder, by its name, ``<model>/seed_<n>``."""
        return StoredRun(self.folder.parents[1] / name)

    def layer(
        self,
        hook_point: str,
        gauge: str,
        device: str | torch.device = "cpu",
        conditional_on: str = "label",
        documents: str | None = None,
    ) -> Layer:
        """A hook point prepared for comparing, in the gauge that its dictionaries were fitted in."""
        path = self.folder / "activations.h5"
        activations = read_activations(path, hook_point)
        recorded = json.loads(activations.attributes["spec"]).get("hook_points")
        if recorded is None:  # Taken from others, without a network.
            return build_layer(
                None, activations, None, choose_gauge(gauge, activations), device, conditional_on, documents
            )
        saved = read_model(self.folder / "model.safetensors")
        model = restore_model(json.loads(saved.attributes["spec"])["architecture"], saved.state, saved.sizes)
        below = model.below(hook_point)
        read = read_activations(path, below) if below in recorded else None
        return build_layer(
            model, activations, read, choose_gauge(gauge, activations), device, conditional_on, documents
        )

    def dictionaries(self, layer: Layer, decomposition: str) -> list[Dictionary]:
        """All members of a decomposition fitted to `layer`, in float64, units in the layer's canonical order.

        What a direction has outside the span of the activations (along dead units, say) no data ever trained: it is
        what the initialisation left there, and is taken off.
        """
        fitted = read_dictionaries(self.folder / layer.hook_point / f"{decomposition}.h5")
        return [_in_order_of(layer, dictionary) for dictionary in fitted]

    def dictionaries_at_start(
        self, layer: Layer, decomposition: str, device: str | torch.device = "cpu"
    ) -> list[Dictionary]:
        """Members fitted to halves as they were before their own training, drawn again; trained methods only.

        The streams of an initialisation depend on nothing but what the file's spec says, so that nothing is stored.
        """
        with open_hdf5(self.folder / layer.hook_point / f"{decomposition}.h5", ARTEFACT) as file:
            spec = json.loads(str(plain_attributes(file)["spec"]))
        activations = open_activations(self.folder / "activations.h5", layer.hook_point)
        return [_in_order_of(layer, dictionary) for dictionary in start(spec, activations, device)]


def _in_order_of(layer: Layer, fitted: Dictionary) -> Dictionary:
    d = fitted.to(torch.float64).to(layer.order.device)
    in_order = layer.gauge.to_canonical_order
    return replace(
        d,
        directions=in_order(d.directions) @ layer.support,
        encoder=in_order(d.encoder),
        bias=in_order(d.bias[None])[0],
    )


def open_runs(activations: Iterable[str]) -> dict[str, StoredRun]:
    """Runs by their name, ``<model>/seed_<n>``, from the paths of their activations."""
    folders = [Path(path).parent for path in activations]
    return {f"{folder.parent.name}/{folder.name}": StoredRun(folder) for folder in folders}
