"""What was a sparse autoencoder before its first step: the dictionary that its training began with?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from homolog.alignment.gauge import Gauge
from homolog.decompositions.base import Member
from homolog.decompositions.fit import choose_gauge, members_of, to_model_order
from homolog.decompositions.sae.base import SparseAutoencoder
from homolog.decompositions.sae.finishing import in_units
from homolog.decompositions.sae.initial import initialise
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.store.activation_samples import StoredActivations
from homolog.store.activations import Activations


def start(
    spec: dict[str, Any], activations: Activations | StoredActivations, device: str | torch.device = "cpu"
) -> list[Dictionary]:
    """The members of `spec` that are fitted to halves, at step 0: drawn again from the streams that they began with.

    On the CPU, in the gauge, units in the model's own order, with ``label``, ``seed`` and ``rows`` as their facts. No
    latent's firing rate is measured. Raises ValueError for a method that isn't trained.
    """
    recipe = load(spec["method"])()
    if not isinstance(recipe, SparseAutoencoder):
        raise ValueError(f"{spec['name']}: {spec['method']} isn't trained step by step: it has no step 0.")
    gauge = choose_gauge(spec["gauge"], activations)
    members = members_of(spec, activations, device=device)
    labels = [label for label in spec["labels"] for _ in range(len(members) // len(spec["grid"]))]
    return [
        _begin(recipe, member, label, gauge)
        for member, label in zip(members, labels, strict=True)
        if member.rows in ("a", "b")
    ]


@torch.no_grad()
def _begin(recipe: SparseAutoencoder, member: Member, label: str, gauge: Gauge) -> Dictionary:
    begun = in_units(recipe, initialise(recipe, [member]), 0).to("cpu")
    facts: dict[str, str | int | float] = {"label": label, "seed": member.seed, "rows": member.rows}
    return to_model_order(replace(begun, member=facts), gauge)
