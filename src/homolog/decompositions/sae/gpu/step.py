"""One training step of a block of members as one tensor program: explicit gradients, and nothing that asks the host.

Members of a block have equal shapes; what differs between them is a vector of numbers on the device. Products are in
bfloat16 with sums in float32 on a GPU (all in float32 on the CPU); everything else is float32: parameters, moments,
pre-activations, what is left of the inputs, and the choice of active latents. For inputs and encoder rows of unit norm
in d units, rounding the operands moves a pre-activation by about 2^-9 / sqrt(d), where codes are of the order 1 /
sqrt(k): whom it swaps are near ties.

Gradients, with e = x - b - z W_dec and the loss c |e|^2 + penalty(z): g = dL/dx^ = -2 c e; dL/dz = g W_dec' + slope of
the penalty; dL/dpre is that on active latents; dW_dec = z' g; dW_enc = dL/dpre' (x - b); db_enc = the sum of dL/dpre
over samples; db = the sum of g - db_enc W_enc, since the bias also acts through the encoder's input.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import aux_k, dead
from homolog.decompositions.sae.base import Losses, Parameters, SparseAutoencoder, Stack, sum_of_squares
from homolog.decompositions.sae.gpu import operations
from homolog.decompositions.sae.gpu.numbers import Numbers, Rule
from homolog.decompositions.sae.gpu.operations import product


class StackedStep:
    """The step of one block; a recipe says how its active latents are chosen and what its loss adds.

    `half` is the dtype of products: bfloat16 on a GPU and float32 on the CPU, unless given.
    """

    # Options that may differ between the members of a block.
    varying: ClassVar[set[str]] = {"lr", "lr_warmup", "lr_decay", "order_seed", "aux_coefficient"}

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, half: torch.dtype | None = None) -> None:
        self.recipe, self.stack, self.batch = recipe, stack, batch
        self.latents, self.units = stack.parameters["encoder"].shape[1:]
        self.device = stack.silent.device
        self.half = half or (torch.float32 if self.device.type == "cpu" else torch.bfloat16)
        self.numbers = Numbers(recipe, stack, self.rules())
        self.options = stack.options  # Only for those that don't vary.
        self.spread = batch * stack.variance
        self.aux_coefficient = self.numbers.own("aux_coefficient")
        room = aux_k(self.options, self.units)
        self.aux_k, self.aux_room = torch.full((len(stack.members),), room, dtype=torch.int32).to(self.device), room
        self.gradient: Parameters = {}
        self.pull_sum = torch.empty(0)

    # What recipes differ in

    @classmethod
    def kind(cls, options: dict[str, Any]) -> Any:
        """What members of a block must share beside the options that don't vary."""
        return None

    def rules(self) -> dict[str, Rule]:
        """Numbers of the recipe's own that change with the step."""
        return {}

    def forth_and_back(self, pre: Float[Tensor, "members batch latents"]) -> Losses:
        """Choose the active latents and reconstruct; leaves all gradients; losses without AuxK."""
        raise NotImplementedError

    # The step

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "members batch units"], auxiliary: bool = True) -> Losses:
        """Take one step in place; the losses before it. `auxiliary`: whether any latent might be dead (it may err so).

        `numbers` must be loaded for the step. `stack.step` and `stack.silent` are left as they are.
        """
        p = self.stack.parameters
        self.encoder, self.decoder = p["encoder"].to(self.half), p["decoder"].to(self.half)
        self.x = x - p["bias"][:, None]
        self.inputs = self.x.to(self.half)
        pre = operations.pre_activations(self.inputs, p["encoder"], p["encoder_bias"])
        losses = self.forth_and_back(pre)
        if self.options["dead"] == "auxk":
            found = self.auxiliary(pre, losses.residual) if auxiliary else torch.zeros_like(losses.total)
            losses.terms = {**losses.terms, "auxiliary": found}
            losses.total = losses.total + self.aux_coefficient * found
        self.update()
        return losses

    def densely(
        self,
        codes: Float[Tensor, "members batch latents"],
        factor: Float[Tensor, " members"],
        slope: Float[Tensor, ...] | None = None,
    ) -> tuple[Float[Tensor, "members batch units"], Float[Tensor, "members batch latents"]]:
        """Back through `codes`, most of which are zero, by dense products: what they leave, and dL/dz of all latents.

        `factor` is -2 c; `slope` what a penalty adds to dL/dz.
        """
        half = codes.to(self.half)
        residual = self.x - product(half, self.decoder)
        pull = (factor[:, None, None] * residual).to(self.half)
        by_code = product(pull, self.decoder.mT)
        if slope is not None:
            by_code += slope
        self.gradient = self.by_rows(half, pull, torch.where(codes > 0, by_code, 0).to(self.half))
        self.pull_sum = pull.sum(1, dtype=torch.float32)
        return residual, by_code

    def by_rows(self, codes: Tensor, pull: Tensor, by_pre: Tensor) -> Parameters:
        """Gradients of encoder and decoder from codes, dL/dx^ and dL/dpre, all in the dtype of products."""
        return {
            "encoder": product(by_pre.mT, self.inputs),
            "encoder_bias": by_pre.sum(1, dtype=torch.float32),
            "decoder": product(codes.mT, pull),
        }

    def auxiliary(
        self, pre: Float[Tensor, "members batch latents"], residual: Float[Tensor, "members batch units"]
    ) -> Float[Tensor, " members"]:
        """AuxK's loss; its gradients are added. Members without dead latents have no code in it, so it changes nothing.

        Dead latents are a mask and their codes too many for lists, so the products are dense.
        """
        gone = dead(self.stack)
        index, code = operations.largest(pre, self.aux_k, self.aux_room, gone)
        codes = operations.scattered(index, code, self.latents)
        half = codes.to(self.half)
        left = residual - product(half, self.decoder)
        spread = sum_of_squares(residual - residual.mean(1, keepdim=True)).clamp_min(torch.finfo(residual.dtype).tiny)
        pull = ((-2 * self.aux_coefficient / spread)[:, None, None] * left).to(self.half)
        by_pre = torch.where(codes > 0, product(pull, self.decoder.mT), 0).to(self.half)
        for name, more in self.by_rows(half, pull, by_pre).items():
            self.gradient[name] += more
        return torch.where(gone.any(1), sum_of_squares(left) / spread, 0.0)

    def update(self) -> None:
        """Adam on all parameters."""
        stack, g = self.stack, self.gradient
        g["bias"] = self.pull_sum - torch.bmm(g["encoder_bias"][:, None], stack.parameters["encoder"])[:, 0]
        rate, correction = self.numbers.now("rate"), self.numbers.now("correction")
        for name, p in stack.parameters.items():
            rows, gradient, first, second = (
                t if t.ndim == 3 else t[:, None] for t in (p, g[name], stack.first[name], stack.second[name])
            )
            on_sphere = name == "decoder" and self.recipe.on_sphere(self.options)
            operations.adam(rows, gradient, first, second, rate, correction, on_sphere)
        self.recipe.constrain(stack.parameters)


def gpu_step_of(recipe: SparseAutoencoder, options: dict[str, Any]) -> type[StackedStep] | None:
    """The stacked step of a recipe where it covers `options`; else None."""
    if options["engine"] != "auto" or options["fixed"]:
        return None
    found: type[StackedStep] | None = recipe.gpu_step(options)
    return found
