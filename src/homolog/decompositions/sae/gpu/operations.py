"""What does a stacked step compute: products, the largest codes, what they leave, gradients, Adam?

Each operation is a Triton kernel where there are Triton and a GPU (or its interpreter, TRITON_INTERPRET=1), and else
what stands here, which is also what the kernel is tested against. Tensors are stacked along a first axis of members.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.decompositions.sae.optimiser import BETA_1, BETA_2, EPSILON

TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Rows of more numbers than this don't fit in the registers of one program.
LONGEST = 2**16


def by_kernel(x: Tensor) -> bool:
    """Whether Triton's kernels can take tensors like this one."""
    return TRITON and (x.is_cuda or INTERPRETED) and x.shape[-1] <= LONGEST


def product(
    a: Float[Tensor, "members rows inner"], b: Float[Tensor, "members inner columns"]
) -> Float[Tensor, "members rows columns"]:
    """``a @ b`` with sums in float32, for operands in float32 or bfloat16."""
    if a.dtype == torch.float32:
        return torch.bmm(a, b)
    return torch.bmm(a, b, out_dtype=torch.float32) if a.is_cuda else torch.bmm(a.float(), b.float())


def pre_activations(
    x: Float[Tensor, "members batch units"],
    encoder: Float[Tensor, "members latents units"],
    bias: Float[Tensor, "members latents"],
) -> Float[Tensor, "members batch latents"]:
    """``x @ encoder.mT + bias`` in float32, for `x` in the dtype that is to be multiplied in.

    Adding the bias behind a product in bfloat16 would be one more pass over its result, the largest array of a step. A
    float32 is the sum of three bfloat16, so the bias goes into the product whole, as three columns that meet ones;
    five more, of zeros, keep rows aligned to the 16 bytes that tensor cores ask for.
    """
    if x.dtype == torch.float32:
        return torch.baddbmm(bias[:, None], x, encoder.mT)
    parts, left = [], bias
    for _ in range(3):
        parts.append(left.to(x.dtype))
        left = left - parts[-1].float()
    columns = torch.nn.functional.pad(torch.stack(parts, 2), (0, 5))
    ones = torch.nn.functional.pad(torch.ones_like(x[..., :3]), (0, 5))
    return product(torch.cat([x, ones], 2), torch.cat([encoder.to(x.dtype), columns], 2).mT)


def largest(
    pre: Float[Tensor, "members batch latents"],
    k: Int[Tensor, " members"],
    room: int,
    allowed: Bool[Tensor, "members latents"] | None = None,
) -> tuple[Int[Tensor, "members batch room"], Float[Tensor, "members batch room"]]:
    """Each sample's `k` largest positive codes among the latents that are `allowed`: their latents and values.

    `k`, int32, differs by member and is at most `room`; places that aren't used hold latent 0 with the code 0.
    """
    if by_kernel(pre):
        from homolog.decompositions.sae.gpu.kernels import select

        return select.largest(pre, k, room, allowed)
    offered = pre if allowed is None else pre.masked_fill(~allowed[:, None], -torch.inf)
    code, index = offered.topk(room, dim=2)
    unused = (torch.arange(room, device=pre.device) >= k[:, None, None]) | (code <= 0)
    return index.int().masked_fill(unused, 0), code.masked_fill(unused, 0)


def cut(pre: Float[Tensor, "members batch latents"], wanted: Int[Tensor, " members"]) -> Float[Tensor, " members"]:
    """The smallest of each member's `wanted` largest positive pre-activations of the batch; infinite without any."""
    if by_kernel(pre):
        from homolog.decompositions.sae.gpu.kernels import cut as kernel

        return kernel.cut(pre, wanted)
    falling = pre.flatten(1).sort(descending=True).values
    last = torch.minimum(wanted, (falling > 0).sum(1)) - 1
    return torch.where(last >= 0, falling.gather(1, last.clamp_min(0)[:, None])[:, 0], torch.inf)


def scattered(
    index: Int[Tensor, "members batch room"], code: Float[Tensor, "members batch room"], latents: int
) -> Float[Tensor, "members batch latents"]:
    """Codes of all latents from a list of the active ones."""
    # Added, since the places that aren't used all name latent 0.
    return code.new_zeros(*code.shape[:2], latents).scatter_add_(2, index.long(), code)


def decode(
    x: Float[Tensor, "members batch units"],
    decoder: Float[Tensor, "members latents units"],
    index: Int[Tensor, "members batch room"],
    code: Float[Tensor, "members batch room"],
    factor: Float[Tensor, " members"],
) -> tuple[
    Float[Tensor, "members batch units"], Float[Tensor, "members batch units"], Float[Tensor, "members batch room"]
]:
    """What the codes leave of `x`; `factor` times that, in the decoder's dtype; and its product with each direction."""
    if by_kernel(x):
        from homolog.decompositions.sae.gpu.kernels import decode as kernel

        return kernel.decode(x, decoder, index, code, factor)
    codes = scattered(index, code, decoder.shape[1])
    residual = x - product(codes.to(decoder.dtype), decoder)
    pull = (factor[:, None, None] * residual).to(decoder.dtype)
    by_code = product(pull, decoder.mT).gather(2, index.long())
    return residual, pull, by_code.masked_fill(code == 0, 0)


def gradients(
    x: Float[Tensor, "members batch units"],
    pull: Float[Tensor, "members batch units"],
    index: Int[Tensor, "members batch room"],
    code: Float[Tensor, "members batch room"],
    by_code: Float[Tensor, "members batch room"],
    latents: int,
) -> tuple[
    Float[Tensor, "members latents units"], Float[Tensor, "members latents"], Float[Tensor, "members latents units"]
]:
    """Of encoder, encoder's bias and decoder, in float32: sums over samples of by_code x, by_code, and code pull."""
    if by_kernel(x):
        from homolog.decompositions.sae.gpu.kernels import gradients as kernel

        return kernel.gradients(x, pull, index, code, by_code, latents)
    codes, by_codes = (scattered(index, values, latents) for values in (code, by_code))
    return product(by_codes.to(x.dtype).mT, x), by_codes.sum(1), product(codes.to(x.dtype).mT, pull)


def adam(
    p: Float[Tensor, "members rows units"],
    gradient: Float[Tensor, "members rows units"],
    first: Float[Tensor, "members rows units"],
    second: Float[Tensor, "members rows units"],
    rate: Float[Tensor, " members"],
    correction: Float[Tensor, " members"],
    on_sphere: bool,
) -> None:
    """One step of Adam in place; `on_sphere`: of rows of unit norm, by the part of the gradient that turns them.

    `rate` holds the first moment's correction, `correction` is 1 / sqrt(1 - beta_2^t).
    """
    if by_kernel(p):
        from homolog.decompositions.sae.gpu.kernels import adam as kernel

        kernel.adam(p, gradient, first, second, rate, correction, on_sphere)
        return
    if on_sphere:
        gradient = gradient - (gradient * p).sum(2, keepdim=True) * p
    first.lerp_(gradient, 1 - BETA_1)
    second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    p.sub_(rate[:, None, None] * first / (second.sqrt() * correction[:, None, None] + EPSILON))
    if on_sphere:
        p.div_(p.norm(dim=2, keepdim=True))
