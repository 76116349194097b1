"""Do two latents have the same direction in unit space: as it stands, after a permutation, after a rotation?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, eye

from homolog.alignment.layer import Layer
from homolog.alignment.representations.procrustes import procrustes_rotation
from homolog.alignment.representations.units import unit_permutation
from homolog.alignment.views.base import OF_LOGITS, OF_STREAMS, OF_UNITS, Signatures, View, unit_rows
from homolog.dictionary import Dictionary


class Neuron(View):
    """Cosine of the directions, unit by unit: the founding document's literal measure.

    Retraining permutes and rescales hidden units, so between retrained runs it compares nothing.
    """

    name = "neuron"
    shares = "own"
    blind_to = OF_LOGITS
    instead = "write_out or read_in where the runs share a neighbour, else score or effect"

    def defined(self, a: Layer, b: Layer) -> bool:
        return a.units == b.units

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        directions = layer.gauge.to_model_order(unit_rows(dictionary.directions))
        return Signatures(directions, directions)


class NeuronPermuted(Neuron):
    """Cosine of the directions after the permutation of units that correlates them best on the match fold.

    A symmetry of the layer once its scales are fixed by the gauge (Li et al., 2016: bipartite matching of units).
    """

    name = "neuron_permuted"
    shares = ""
    blind_to = OF_UNITS | OF_LOGITS

    def identified(self, a: Layer, b: Layer) -> bool:
        return a.units == b.units and super().identified(a, b)

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        directions = unit_rows(dictionary.directions)
        return Signatures(directions, directions)

    def transport(self, a: Layer, b: Layer) -> Float[Tensor, "features_b features_a"]:
        index = unit_permutation(a.activations["match"], b.activations["match"])
        # Unit j of b is unit index[j] of a.
        return eye(b.units, dtype=a.covariance.dtype, device=index.device)[index]


class NeuronProcrustes(NeuronPermuted):
    """Cosine of the directions after the rotation that brings one layer's activations nearest to the other's.

    No layer of units allows a rotation: there, a bound on what any change of basis could show, not a comparison. A
    residual stream does.
    """

    name = "neuron_procrustes"
    blind_to = OF_UNITS | OF_STREAMS | OF_LOGITS
    caveat = "optimistic bound"

    def transport(self, a: Layer, b: Layer) -> Float[Tensor, "features_b features_a"]:
        source, target = b.activations["match"], a.activations["match"]
        return procrustes_rotation(source - source.mean(0), target - target.mean(0))
