"""What would a dictionary be that knows of its data no more than the space, or no more than the spectrum?"""

from __future__ import annotations

from dataclasses import replace

import torch

from homolog.alignment.layer import Layer
from homolog.alignment.nulls import isotropic_rows
from homolog.dictionary import Dictionary
from homolog.encoding import with_rates

ISOTROPIC, SPECTRAL = "isotropic", "spectral"


def random_dictionary(kind: str, layer: Layer, dictionary: Dictionary, generator: torch.Generator) -> Dictionary:
    """A dictionary that reads the same layer as `dictionary`, and shares with it what `kind` says.

    ``isotropic``: independent uniformly random directions; encoder rows along them, as long as they were.
    ``spectral``: the same dictionary turned in the layer's spectrum (`nulls.Spectrum`), so with its Gram matrix.
    Latents that fire above a threshold of their own fire as often as before.
    """
    if kind == SPECTRAL:
        drawn = dictionary.rotated(layer.spectrum.rotation(generator))
    else:
        latents, units = dictionary.directions.shape
        rows = isotropic_rows(latents, units, generator).to(dictionary.directions)
        lengths = dictionary.encoder.norm(dim=1, keepdim=True)
        drawn = replace(dictionary, directions=rows, encoder=rows * lengths)
    rated: Dictionary = with_rates(drawn, dictionary.firing_rate, layer.activations["match"])
    return rated
