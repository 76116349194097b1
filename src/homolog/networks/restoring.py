"""How does the network of a run come back: as its source makes it, with the weights that it was trained to?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from homolog.loading import build
from homolog.models.build import load_state
from homolog.networks.bases import from_text
from homolog.networks.drawing import drawn_by
from homolog.networks.network import Network
from homolog.store.models import read_model


def restore_network(made: dict[str, Any], weights: str | Path | None = None) -> Network:
    """The network of a run, on the CPU: `made` is the ``network`` of its spec, `weights` its ``model.safetensors``.

    Without weights (nothing, or an empty list) it is as its source makes it: others trained it. Raises ValueError where
    the weights are those of another network.
    """
    # What a source draws is written over, or is nobody's: torch's own generator is left alone.
    with drawn_by("made"):
        network: Network = build(made)
    if not weights:
        return network
    saved = read_model(weights)
    load_state(network.module, saved.state)
    return replace(network, lineage=from_text(saved.attributes["lineage"]))
