"""How are latents that no longer fire brought back: by the residual that they could explain, or by a new start?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.decompositions.sae.base import Stack, on_unit_directions, sum_of_squares
from homolog.decompositions.sae.initial import own_stream
from homolog.encoding import top_k

# Parameters with a number for each latent.
BY_LATENT = ("encoder_bias", "threshold", "log_rescale", "magnitude_bias")


def dead(stack: Stack) -> Bool[Tensor, "members latents"]:
    """Latents that haven't fired for `dead_after` samples."""
    return stack.silent > stack.options["dead_after"]


def aux_k(options: dict[str, Any], units: int) -> int:
    """How many dead latents model the residual: half of the units unless given (Gao et al., 2024, appendix A.2)."""
    return min(options["aux_k"] or max(1, units // 2), options["n_latents"])


def auxiliary_loss(
    pre: Float[Tensor, "members batch latents"],
    residual: Float[Tensor, "members batch units"],
    decoder: Float[Tensor, "members latents units"],
    stack: Stack,
) -> Float[Tensor, " members"]:
    """AuxK: FVU of the detached residual as the dead latents' largest codes explain it; no bias (Gao et al., 2024)."""
    gone = dead(stack)
    if stack.options["dead"] != "auxk" or not bool(gone.any()):
        return residual.new_zeros(len(residual))
    target = residual.detach()
    chosen = top_k(pre.masked_fill(~gone[:, None], -torch.inf), aux_k(stack.options, residual.shape[2]))
    unexplained = sum_of_squares(target - torch.bmm(chosen, decoder))
    spread = sum_of_squares(target - target.mean(1, keepdim=True)).clamp_min(torch.finfo(target.dtype).tiny)
    return torch.where(gone.any(1), unexplained / spread, 0.0)


@torch.no_grad()
def resample(
    stack: Stack, x: Float[Tensor, "members batch units"], residual: Float[Tensor, "members batch units"]
) -> None:
    """Start dead latents anew at inputs that are badly explained (Bricken et al., 2023, appendix).

    An input is drawn with probability proportional to its squared loss; the direction points at it from the bias, the
    encoder row is a fifth of the mean norm of the living ones (each times its direction's norm, where that is free),
    biases are 0, and the optimiser forgets what it knew of the latent. A threshold is to the encoder row as at the
    start, so that a latent that reads so softly can fire.
    """
    p, gone = stack.parameters, dead(stack)
    read = on_unit_directions(p, stack.options)
    scalars = [name for name in BY_LATENT if name in p]
    if stack.held is not None:
        gone &= ~stack.held
    for i, member in enumerate(stack.members):
        latents = gone[i].nonzero().squeeze(1)
        alive = ~gone[i]
        weight = residual[i].double().square().sum(1).square().cpu()
        drawable = int((weight > 0).sum())
        # No weights where all is explained, or where the member has diverged, which is told elsewhere.
        if not len(latents) or not bool(alive.any()) or not drawable or not bool(weight.isfinite().all()):
            continue
        generator = own_stream("resample", member, stack.step)
        drawn = torch.multinomial(weight, len(latents), replacement=len(latents) > drawable, generator=generator)
        toward = x[i][drawn.to(x.device)] - p["bias"][i]
        toward = toward / toward.norm(dim=1, keepdim=True).clamp_min(1e-12)
        p["decoder"][i, latents] = toward
        if "encoder" in p:
            length = 0.2 * read["encoder"][i, alive].norm(dim=1).mean()
            p["encoder"][i, latents] = toward * length
            for name in scalars:
                p[name][i, latents] = stack.options["threshold_init"] * length if name == "threshold" else 0
        for moments in (stack.first, stack.second):
            for name in ("decoder", "encoder", *scalars):
                if name in moments:
                    moments[name][i, latents] = 0
        stack.silent[i, latents] = 0
