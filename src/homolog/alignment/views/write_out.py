"""Do two latents write the same into the next layer?"""

from __future__ import annotations

from homolog.alignment.layer import Layer
from homolog.alignment.views.base import Signatures, View, unit_rows
from homolog.dictionary import Dictionary


class WriteOut(View):
    """Cosine of ``W_out d``: a direction as the next layer receives it, in that layer's basis.

    Legal when both runs share the weights out of the next layer, which fix what its units are.
    """

    name = "write_out"
    shares = "above"

    def defined(self, a: Layer, b: Layer) -> bool:
        return a.write_out is not None and b.write_out is not None and len(a.write_out) == len(b.write_out)

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        if layer.write_out is None:
            raise ValueError(f"write_out: no layer reads {layer.hook_point}: choose another view.")
        written = unit_rows(dictionary.directions @ layer.write_out.T)
        return Signatures(written, written)
