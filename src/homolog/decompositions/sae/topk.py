"""TopK sparse autoencoders (Gao et al., 2024): the k largest pre-activations of each sample are its codes."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import (
    SELECTING,
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    k_at,
    pre_activations,
)
from homolog.dictionary import Dictionary
from homolog.encoding import top_k


class TopK(SparseAutoencoder):
    """``z = relu(topk(W_enc (x - b_dec) + b_enc))``.

    Loss: FVU over the batch, plus `aux_coefficient` times AuxK (Gao et al., 2024, appendix A.2), plus, for `multi`, an
    eighth of the FVU at 4 k (MultiTopK, ibid., section 5.3).
    """

    name = "TopK"
    decoders = SELECTING

    def check(self, options: dict[str, Any]) -> None:
        super().check(options)
        key = "k" if options["k_start"] is None else "k_start"
        wide = 4 * options[key]
        if options["multi"] and wide + options["dense"] > options["n_latents"]:
            raise ValueError(
                f"TopK: multi needs 4 {key} = {wide} latents, but n_latents = {options['n_latents']}: lower {key}."
            )

    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options = stack.options
        pre, k = pre_activations(p, x), k_at(options, stack.step)
        codes = top_k(pre, k, options["dense"])
        residual = x - decode(codes, p["decoder"], p["bias"])
        fvu = stack.fvu(residual)
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        total = fvu + options["aux_coefficient"] * auxiliary
        terms = {"fvu": fvu, "auxiliary": auxiliary}
        if options["multi"]:
            wide = top_k(pre, 4 * k, options["dense"])
            terms["wide_fvu"] = stack.fvu(x - decode(wide, p["decoder"], p["bias"]))
            total = total + terms["wide_fvu"] / 8
        return Losses.of(total, terms, codes, residual)

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.topk import FastTopK

        return None if options["dense"] or options["multi"] or self.weighs(options) else FastTopK

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.topk import StackedTopK

        return None if options["dense"] or options["multi"] or self.weighs(options) else StackedTopK

    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="topk", k=stack.options["k"], dense=stack.options["dense"])
