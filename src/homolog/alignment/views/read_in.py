"""Are two latents read from the same things in the layer below?"""

from __future__ import annotations

from homolog.alignment.layer import FOLDS, Layer
from homolog.alignment.views.base import Signatures, View, unit_rows
from homolog.dictionary import Dictionary


class ReadIn(View):
    """Cosine of the gradient of each code with respect to the layer below, averaged over one common set of inputs.

    Legal when both runs share the layers below. The gradient runs through the code's own gate (a TopK latent that is
    off has none) and through the layer's nonlinearity.
    """

    name = "read_in"
    shares = "below"

    def defined(self, a: Layer, b: Layer) -> bool:
        both = a.below is not None and b.below is not None
        return both and a.jacobian["match"].shape[2] == b.jacobian["match"].shape[2]

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        gradients = {}
        for fold in FOLDS:
            jacobian = layer.jacobian[fold]
            rows, units, below = jacobian.shape
            gate = dictionary.gate(dictionary.codes(layer.activations[fold][:rows]))
            # Mean over inputs of gate x Jacobian, (latent, unit, below), then the encoder takes the sum over units.
            passed = (gate.T @ jacobian.reshape(rows, -1)).reshape(-1, units, below) / rows
            gradients[fold] = unit_rows((dictionary.encoder[:, None] @ passed).squeeze(1))
        return Signatures(gradients["match"], gradients["score"])
