"""One training step on the CPU by the kernels: dense work in bfloat16 only proposes, all else is sparse float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import aux_k, dead
from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.kernels import Array
from homolog.decompositions.sae.optimiser import BETA_1, BETA_2, lr_factor

# Rows from which on a batch is split in two shards, which may run on two threads; fixed, so that bits are.
SPLIT = 2048
# Bytes of proposals that are made and used at a time, so that they stay in the second-level cache.
CACHE = 2**20

# What the bfloat16 product may err by, for inputs and encoder rows of unit norm, times the root of the units: 8
# standard deviations of the rounding (2^-9 each) of that many products.
ERROR = 8 * 2**-9
# Whether the processor multiplies bfloat16 by itself; else the proposals are made in float32.
NATIVE = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("amx_tile", "avx512_bf16"))
TINY = float(np.finfo(np.float32).tiny)
NOTHING = np.empty(0, np.float32)

Job = Callable[[], Any]
Run = Callable[[Sequence[Job]], None]


def one_by_one(jobs: Sequence[Job]) -> None:
    """Run jobs on the thread that asks."""
    for job in jobs:
        job()


@dataclass
class Chosen:
    """Active latents of some samples: which, their codes, and where in these lists each sample's begin and how many."""

    index: Array
    code: Array
    start: Array
    count: Array

    @classmethod
    def room(cls, samples: int, places: int, each: int = 0) -> Chosen:
        """Room for so many active latents; `each`: for so many of each sample."""
        start = np.arange(samples) * each
        return cls(np.zeros(places, np.int32), np.zeros(places, np.float32), start, np.zeros(samples, np.int32))

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """As the kernels take them."""
        return self.index, self.code, self.start, self.count


class Proposer:
    """The encoder in bfloat16, padded to whole columns: which latents may be active?

    The bias is a column of the product, whose inputs end in a one: `columns` `(units + 1, padded to a multiple of 32)`.
    """

    def __init__(self, latents: int, units: int, columns: int) -> None:
        self.latents, self.units, self.columns, self.blocks = latents, units, columns, -(-latents // columns)
        self.encoder = torch.zeros(self.blocks * columns, 32 * (units // 32 + 1), dtype=torch.bfloat16)
        self.encoder[latents:, units] = -3e38  # What is padded is never proposed.
        self.error = 0.0

    def inputs(self, samples: int) -> Tensor:
        """Room for inputs in bfloat16."""
        room = torch.zeros(samples, self.encoder.shape[1], dtype=torch.bfloat16)
        room[:, self.units] = 1
        return room

    def outputs(self, samples: int) -> Tensor:
        """Room for proposals: made once, since new memory costs as much as the product."""
        return torch.empty(samples, len(self.encoder), dtype=torch.bfloat16)

    def update(self, encoder: Array, encoder_bias: Array, norm: float, shift: float = 0.0) -> None:
        """Take the parameters of this step, for inputs of at most a `norm`; `error` is then what proposals may err by.

        Proposals are shifted up by that, and by `shift`: as integers only positive numbers are in order.
        """
        product = ERROR * norm * kernels.largest_norm(encoder) / self.units**0.5
        self.error = float(product + 2**-8 * np.abs(encoder_bias).max(initial=0))
        self.encoder[: self.latents, : self.units].copy_(torch.from_numpy(encoder))
        raised = encoder_bias + np.float32(shift + self.error)
        self.encoder[: self.latents, self.units].copy_(torch.from_numpy(raised))

    def __call__(self, inputs: Tensor, out: Tensor) -> Array:
        """Pre-activations `(sample, block, column)` of bfloat16 `inputs`, bfloat16 as int16, in `out`."""
        out = out[: len(inputs)]
        if NATIVE:
            torch.mm(inputs, self.encoder.T, out=out)
        else:
            out.copy_(torch.mm(inputs.float(), self.encoder.float().T))
        proposed: Array = out.view(torch.int16).numpy().reshape(len(inputs), self.blocks, self.columns)
        return proposed

    def padded(self, values: Array, fill: float) -> Array:
        """One number for each latent, in the layout of the proposals."""
        whole = np.full(self.blocks * self.columns, fill, values.dtype)
        whole[: self.latents] = values
        return whole.reshape(self.blocks, self.columns)


class FastStep:
    """The fast step of one member; a recipe says how its active latents are chosen and what its loss adds."""

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        self.recipe, self.stack, self.run = recipe, stack, run
        latents, units = stack.parameters["encoder"].shape[1:]
        self.latents, self.units = latents, units
        self.shards = [slice(0, batch)] if batch < SPLIT else [slice(0, batch // 2), slice(batch // 2, batch)]
        count = len(self.shards)
        self.array = {name: p[0].numpy() for name, p in stack.parameters.items()}
        self.gradient = {name: np.zeros((count, *np.atleast_2d(p).shape), np.float32) for name, p in self.array.items()}
        self.proposer = Proposer(latents, units, self.columns())
        self.x, self.residual = np.empty((batch, units), np.float32), np.empty((batch, units), np.float32)
        self.half = self.proposer.inputs(batch)
        self.room = [self.proposer.outputs(self.rows_at_once()) for _ in self.shards]
        self.steps = self._adam_steps()

    def _adam_steps(self) -> list[Callable[..., None]]:
        """Adam on each parameter, as jobs that still ask for rate and correction."""
        steps: list[Callable[..., None]] = []
        for name, p in self.array.items():
            on_sphere = name == "decoder" and self.recipe.on_sphere(self.stack.options)
            moments = (held[name][0].numpy() for held in (self.stack.first, self.stack.second))
            new, first, second = (np.atleast_2d(a) for a in (p, *moments))
            middle = 0 if len(self.shards) == 1 else len(new) // 2
            for part in (slice(0, middle), slice(middle, None)):
                if len(new[part]):
                    arrays = new[part], self.gradient[name][:, part], first[part], second[part]
                    steps.append(partial(kernels.adam_rows, *arrays, on_sphere))
        return steps

    # What recipes differ in

    def columns(self) -> int:
        """Columns of the proposals: enough that a bound on their maxima is near to the k-th largest."""
        wanted = 8 * self.stack.options.get("k", 8)
        return int(min(512, max(32, 2 ** round(np.log2(wanted)))))

    def rows_at_once(self) -> int:
        """Samples of a shard whose proposals are held at the same time."""
        return max(part.stop - part.start for part in self.shards)

    def choose(self) -> list[Chosen]:
        """Active latents of each shard, from `x` and `half`: the inputs less the bias, in float32 and bfloat16."""
        raise NotImplementedError

    def scale(self, batch: int, spread: float) -> float:
        """Twice the factor on the sum of squared errors; the loss is an FVU unless a recipe differs."""
        return 2 / spread

    def slope(self, chosen: Chosen, batch: int) -> Array:
        """Derivative of what the recipe adds to the loss by each code; empty where it adds nothing."""
        return NOTHING

    def terms(self, chosen: list[Chosen], squares: list[Any], spread: float, batch: int) -> dict[str, float]:
        """What is logged besides L0, from the sums of squares of each shard."""
        return {"fvu": sum(squares) / spread}

    def total(self, terms: dict[str, float], spread: float, batch: int) -> float:
        """The loss, without AuxK."""
        return terms["fvu"]

    def derivatives(self, s: int, chosen: Chosen) -> Array:
        """Where to put the derivative by each code of a shard, for the recipes that need it."""
        return NOTHING

    def own_gradients(self) -> None:
        """Add the gradients of a recipe's own parameters."""

    # The step

    def centre(self, x: Float[Tensor, "members batch units"]) -> None:
        """Put the inputs less the bias into `x` and `half`."""
        kernels.centre(x[0].numpy(), self.array["bias"], self.x)
        self.norm = kernels.largest_norm(self.x)
        self.half[:, : self.units].copy_(torch.from_numpy(self.x))

    @torch.no_grad()
    def __call__(self, recipe: SparseAutoencoder, stack: Stack, x: Float[Tensor, "members batch units"]) -> Losses:
        self.centre(x)
        return self.sparse_step(x.shape[1])

    def sparse_step(self, batch: int) -> Losses:
        """The step on the inputs that `centre` has put down."""
        stack, spread = self.stack, batch * float(self.stack.variance[0])
        chosen = self.choose()
        scale, squares = self.scale(batch, spread), [0.0] * len(chosen)

        def back(s: int) -> None:
            squares[s] = self.back(s, chosen[s], scale, batch)

        self.run([partial(back, s) for s in range(len(chosen))])
        fired = np.zeros(self.latents, bool)
        active = sum(kernels.mark_fired(*c.arrays(), fired) for c in chosen)
        terms = self.terms(chosen, squares, spread, batch)
        total = self.total(terms, spread, batch)
        if stack.options["dead"] == "auxk":
            terms["auxiliary"] = self.auxiliary()
            total += stack.options["aux_coefficient"] * terms["auxiliary"]
        terms["l0"] = active / batch
        self.update()
        values = torch.tensor([*terms.values(), total])
        named = {name: values[i : i + 1] for i, name in enumerate(terms)}
        residual = torch.from_numpy(self.residual)[None]
        return Losses(values[-1:], named, torch.from_numpy(fired)[None], residual)

    def back(self, s: int, chosen: Chosen, scale: float, batch: int) -> Any:
        """Add one shard's gradients to its buffers; its sum of squares."""
        x = self.x[self.shards[s]]
        return kernels.go_back(
            x, x, self.array["decoder"], *chosen.arrays(), self.slope(chosen, batch), scale, *self.buffers(s),
            self.residual[self.shards[s]], self.derivatives(s, chosen),
        )  # fmt: skip

    def buffers(self, s: int) -> tuple[Array, Array, Array, Array]:
        """Gradients of one shard: encoder, encoder bias, decoder, bias."""
        g = self.gradient
        return g["encoder"][s], g["encoder_bias"][s, 0], g["decoder"][s], g["bias"][s, 0]

    def auxiliary(self) -> float:
        """AuxK and its gradients: the dead latents alone as a small dictionary that explains the residual."""
        options, gone = self.stack.options, dead(self.stack)[0].numpy().nonzero()[0]
        if not len(gone):
            return 0.0
        encoder, encoder_bias, decoder = (self.array[name][gone] for name in ("encoder", "encoder_bias", "decoder"))
        samples, k = len(self.x), min(aux_k(options, self.units), len(gone))
        proposer = Proposer(len(gone), self.units, 32)
        proposer.update(encoder, encoder_bias, self.norm)
        chosen, proposed = Chosen.room(samples, samples * k, k), proposer(self.half, proposer.outputs(samples))
        kernels.choose_largest(proposed, proposer.error, self.x, encoder, encoder_bias, k, *chosen.arrays())
        spread = max(kernels.spread_of(self.residual), TINY)
        of_encoder, of_decoder, of_bias = (np.zeros_like(a) for a in (encoder, decoder, encoder_bias))
        squares = kernels.go_back(
            self.residual, self.x, decoder, *chosen.arrays(), NOTHING, 2 * options["aux_coefficient"] / spread,
            of_encoder, of_bias, of_decoder, np.zeros(self.units, np.float32), np.empty_like(self.residual), NOTHING,
        )  # fmt: skip
        for name, found in (("encoder", of_encoder), ("decoder", of_decoder)):
            self.gradient[name][0][gone] += found
        self.gradient["encoder_bias"][0, 0][gone] += of_bias
        return float(squares / spread)

    def update(self) -> None:
        """Adam on all parameters; gradient buffers come back empty."""
        stack, t = self.stack, self.stack.step + 1
        self.own_gradients()
        # The bias also acts through the encoder's input.
        self.gradient["bias"][0, 0] -= self.gradient["encoder_bias"].sum((0, 1)) @ self.array["encoder"]
        rate = self.recipe.learning_rate(stack.options) * lr_factor(stack.step, stack.options) / (1 - BETA_1**t)
        correction = 1 / (1 - BETA_2**t) ** 0.5
        self.run([partial(step, rate, correction) for step in self.steps])
        self.recipe.constrain(stack.parameters)


def fast_step_of(recipe: SparseAutoencoder, stack: Stack) -> type[FastStep] | None:
    """The fast step of a recipe where the kernels cover it, its options and its device; else None."""
    alone_on_cpu = stack.silent.device.type == "cpu" and len(stack.members) == 1
    if not alone_on_cpu or stack.options["engine"] != "auto" or stack.held is not None:
        return None
    if stack.variance.dtype != torch.float32:
        return None
    found: type[FastStep] | None = recipe.fast_step(stack.options)
    return found
