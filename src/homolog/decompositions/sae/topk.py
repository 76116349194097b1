"""TopK sparse autoencoders (Gao et al., 2024): the k largest pre-activations of each sample are its codes."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import auxiliary_loss
from homolog.decompositions.sae.base import (
    Losses,
    Parameters,
    SparseAutoencoder,
    Stack,
    as_dictionary,
    decode,
    mean_l0,
    pre_activations,
    sum_of_squares,
)
from homolog.dictionary import Dictionary
from homolog.encoding import top_k


class TopK(SparseAutoencoder):
    """``z = relu(topk(W_enc (x - b_dec) + b_enc))``.

    Loss: FVU over the batch, plus `aux_coefficient` times AuxK (Gao et al., 2024, appendix A.2), plus, for `multi`, an
    eighth of the FVU at 4 k (MultiTopK, ibid., section 5.3).
    """

    name = "TopK"

    def check(self, options: dict[str, Any]) -> None:
        super().check(options)
        if options["multi"] and 4 * options["k"] + options["dense"] > options["n_latents"]:
            raise ValueError(
                f"TopK: multi needs 4 k = {4 * options['k']} latents, but n_latents = {options['n_latents']}: lower k."
            )

    def losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        options = stack.options
        pre = pre_activations(p, x)
        codes = top_k(pre, options["k"], options["dense"])
        residual = x - decode(codes, p["decoder"], p["bias"])
        fvu = sum_of_squares(residual) / stack.total_variance(x)
        auxiliary = auxiliary_loss(pre, residual, p["decoder"], stack)
        total = fvu + options["aux_coefficient"] * auxiliary
        terms = {"fvu": fvu, "auxiliary": auxiliary, "l0": mean_l0(codes)}
        if options["multi"]:
            wide = top_k(pre, 4 * options["k"], options["dense"])
            terms["wide_fvu"] = sum_of_squares(x - decode(wide, p["decoder"], p["bias"])) / stack.total_variance(x)
            total = total + terms["wide_fvu"] / 8
        return Losses(total, terms, (codes > 0).any(1), residual)

    def fast_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.fast.topk import FastTopK

        return None if options["dense"] or options["multi"] else FastTopK

    def gpu_step(self, options: dict[str, Any]) -> Any:
        from homolog.decompositions.sae.gpu.topk import StackedTopK

        return None if options["dense"] or options["multi"] else StackedTopK

    def dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        return as_dictionary(p, p["decoder"], activation="topk", k=stack.options["k"], dense=stack.options["dense"])
