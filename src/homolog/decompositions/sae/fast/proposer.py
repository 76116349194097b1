"""Which latents may be active? The encoder's product in bfloat16 proposes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homolog.decompositions.sae.fast.kernels.compiled import Array
from homolog.decompositions.sae.fast.kernels.proposing import halve, halve_raised

# What the bfloat16 product may err by, for inputs and encoder rows of unit norm, times the root of the units: 8
# standard deviations of the rounding (2^-9 each) of that many products.
ERROR = 8 * 2**-9
# Whether the processor multiplies bfloat16 by itself; else the proposals are made in float32.
NATIVE = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("amx_tile", "avx512_bf16"))


class Proposer:
    """The encoder in bfloat16, padded to whole registers: which latents may be active?

    The bias is a column of the product, whose inputs end in a one: `columns` `(units + 1, padded to a multiple of 32)`.
    """

    def __init__(self, latents: int, units: int) -> None:
        self.latents, self.units = latents, units
        self.encoder = torch.zeros(32 * -(-latents // 32), 32 * (units // 32 + 1), dtype=torch.bfloat16)
        self.encoder[latents:, units] = -3e38  # What is padded is never proposed.
        self.bits = bits_in(self.encoder)
        self.error = 0.0

    def inputs(self, samples: int) -> Tensor:
        """Room for inputs in bfloat16."""
        room = torch.zeros(samples, self.encoder.shape[1], dtype=torch.bfloat16)
        room[:, self.units] = 1
        return room

    def outputs(self, samples: int) -> Tensor:
        """Room for proposals: made once, since new memory costs as much as the product."""
        return torch.empty(samples, len(self.encoder), dtype=torch.bfloat16)

    def update(self, encoder: Array, encoder_bias: Array, norm: float) -> None:
        """Take the parameters of this step, for inputs of at most a `norm`; `error` is then what proposals may err by.

        Proposals are shifted up by that: as integers only positive numbers are in order.
        """
        product = ERROR * norm * halve(encoder, self.bits) / self.units**0.5
        self.error = halve_raised(encoder_bias, product, self.bits, self.units)

    def __call__(self, inputs: Tensor, out: Tensor) -> Array:
        """Pre-activations `(sample, latent)` of bfloat16 `inputs`, bfloat16 as int16, in `out`."""
        out = out if len(out) == len(inputs) else out[: len(inputs)]
        if NATIVE:
            torch.mm(inputs, self.encoder.T, out=out)
        else:
            out.copy_(torch.mm(inputs.float(), self.encoder.float().T))
        return bits_in(out)


def bits_in(values: Tensor) -> Array:
    """Bfloat16 numbers as 16-bit integers, in the same memory."""
    bits: Array = values.view(torch.int16).numpy()
    return bits


def bits_of(value: float) -> int:
    """A positive number as bfloat16, cut off."""
    return int(np.float32(value).view(np.uint32) >> 16)


def value_of(bits: int) -> float:
    """The bfloat16 of some bits."""
    return float(np.uint32(bits << 16).view(np.float32))
